//! `zookeeper://`: an ensemble of ZooKeeper servers, in their own protocol.
//!
//! ```text
//!  mod      ZooKeeper: the registry; everything it is asked goes to the tokio thread
//!  session  one session: opened, kept alive, resumed at another server, made anew
//!  line     one connection of it, as those see it who ask
//!  wire     the same, as its loop sees it: writes, reads, pings
//!  jute     bytes (pure)
//!  write    an ephemeral node for each registration: created, kept, deleted
//!  read     lists of endpoints, read once
//!  watch    lists that are followed
//! ```
//!
//! The client is our own because what programs embed may not do what the crates at hand do: write vectored, which
//! raises SIGPIPE in a program that has not ignored it, and keep a reactor thread for the whole process, which a
//! forked child lacks without knowing.

mod jute;
mod line;
mod read;
#[cfg(test)]
mod scripted;
mod session;
mod watch;
mod wire;
mod write;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::line::Line;
use self::session::{Session, State, Terms};
use super::pushed::{self, ask, ask_for_each};
use super::resolve::Resolver;
use super::unreadable::Unreadable;
use super::{Address, Entry, HeartbeatResult, Registry, RegistryUpdate, Setup, Sink, Wait, Watch};
use crate::error::{Error, Kind, Result};
use crate::runtime::{Runtime, TaskQueue};
use crate::sync::Mutex;

/// How long a session outlives its last message, unless the address says otherwise.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// One request takes no longer than this, and no longer than a sixth of the session's time.
const REQUEST: Duration = Duration::from_secs(2);

/// An ensemble, seen as one registry.
pub(super) struct ZooKeeper {
    core: Arc<Core>,
    lane: Arc<TaskQueue>,
}

/// What runs on the tokio thread shares this.
struct Core {
    source: Arc<str>,
    /// Where services lie.
    prefix: String,
    terms: Arc<Terms>,
    runtime: Runtime,
    /// None before it is first used.
    session: Mutex<Option<Session>>,
    /// What was written where.
    written: Mutex<HashMap<String, Written>>,
    /// Parents that were made in a session, so that they are not made for each node again.
    parents: Mutex<(i64, HashSet<String>)>,
    /// Registrations (path and generation) that ended while they might still have been on their way, and when.
    ended: Mutex<HashMap<(String, String), Instant>>,
    unreadable: Unreadable,
    /// Whether the server lists a session's nodes; those before 3.6 do not.
    lists_ephemerals: AtomicBool,
}

/// A node that was written.
#[derive(Clone)]
struct Written {
    session: i64,
    /// By which registration.
    generation: String,
    well: bool,
}

impl Written {
    fn of(entry: &Entry, session: i64) -> Written {
        Written { session, generation: entry.generation.clone(), well: entry.is_well() }
    }
}

impl ZooKeeper {
    /// The ensemble that an address names.
    pub(super) fn new(address: &Address, setup: &Setup) -> Result<ZooKeeper> {
        if address.path.split('/').any(|step| matches!(step, "." | "..")) {
            return Err(Error::invalid(format!(
                "the zookeeper:// address has the path {:?}; ZooKeeper takes neither . nor .. in paths",
                address.path
            )));
        }
        let session_timeout = address.duration("session_timeout")?.unwrap_or(SESSION_TIMEOUT);
        if session_timeout.is_zero() {
            return Err(Error::invalid("registry parameter session_timeout: a session of no time is none"));
        }
        let lane = TaskQueue::new(2);
        let terms = Terms {
            servers: address.hosts.clone(),
            user: address.user.clone(),
            session_timeout,
            connect_timeout: setup.connect_timeout,
            request_timeout: setup.timeout.min(REQUEST),
            names: Arc::new(Resolver::new(setup)),
        };
        let source = address.source().into();
        let core = Core {
            unreadable: Unreadable::new(&source),
            source,
            prefix: address.path.clone(),
            terms: Arc::new(terms),
            runtime: setup.runtime.clone(),
            session: Mutex::default(),
            written: Mutex::default(),
            parents: Mutex::default(),
            ended: Mutex::default(),
            lists_ephemerals: AtomicBool::new(true),
        };
        Ok(ZooKeeper { core: Arc::new(core), lane })
    }

    /// Asks on the tokio thread for each of these; what keeps all from being asked is the answer for each.
    fn for_each<T: Send + 'static, F: Future<Output = Vec<Result<T>>> + Send + 'static>(
        &self,
        entries: &[Entry],
        wait: &Wait<'_>,
        asked: impl FnOnce(Arc<Core>, Vec<Entry>) -> F,
    ) -> Vec<Result<T>> {
        let asked = asked(self.core.clone(), entries.to_vec());
        ask_for_each(&self.core.runtime, wait, entries, async { Ok(asked.await) })
    }
}

impl Core {
    /// Something of the session, which is begun if need be.
    fn with_session<T>(&self, use_it: impl FnOnce(&Session) -> T) -> Result<T> {
        let mut session = self.session.lock();
        if session.is_none() {
            *session = Session::begin(self.terms.clone(), &self.runtime);
        }
        let closed = || Error::new(Kind::Closed, "the client was closed");
        session.as_ref().map(use_it).ok_or_else(closed)
    }

    /// A connection, waited for while one is being opened.
    async fn line(&self) -> Result<Arc<Line>> {
        session::line(self.with_session(Session::state)?).await
    }
}

impl Registry for ZooKeeper {
    fn source(&self) -> &Arc<str> {
        &self.core.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn ttl(&self) -> Duration {
        let session = self.core.session.lock();
        match session.as_ref().map(|session| session.state().borrow().clone()) {
            Some(State::Up(line)) => line.timeout,
            _ => self.core.terms.session_timeout,
        }
    }

    fn lane(&self) -> &Arc<TaskQueue> {
        &self.lane
    }

    fn read(&self, service: &str, wait: &Wait<'_>) -> Result<RegistryUpdate> {
        let (core, service) = (self.core.clone(), service.to_owned());
        ask(&self.core.runtime, wait, async move { core.read(&service).await })
    }

    fn services(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        let core = self.core.clone();
        ask(&self.core.runtime, wait, async move { core.services().await })
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn Sink>) -> Box<dyn Watch> {
        let (core, hears) = (self.core.clone(), sink.clone());
        pushed::begin(&self.core.runtime, &sink, move |wishes| watch::follow(core, hears, wishes))
    }

    fn register(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<()>> {
        self.for_each(entries, wait, |core, entries| async move { core.register(&entries).await })
    }

    fn heartbeat(&self, entries: &[Entry], wait: &Wait<'_>) -> Vec<Result<HeartbeatResult>> {
        self.for_each(entries, wait, |core, entries| async move { core.heartbeat(&entries).await })
    }

    fn deregister(&self, entry: &Entry, doubtful: bool, wait: &Wait<'_>) -> Result<()> {
        // Where another registration has taken the place, it is that one's to leave.
        let Some(path) = self.core.forget(entry, doubtful) else { return Ok(()) };
        let (tell, told) = oneshot::channel();
        let task = self.core.runtime.spawn(write::see_off(Arc::downgrade(&self.core), path, tell));
        let closed = || Error::new(Kind::Closed, "the client was closed");
        // It goes on where the caller gives up: while the session lives, its nodes do.
        task.ok_or_else(closed)?.leave();
        ask(&self.core.runtime, wait, async move { told.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn local_ip(&self, wait: &Wait<'_>) -> Option<IpAddr> {
        let resolver = &self.core.terms.names;
        self.core.terms.servers.iter().find_map(|server| resolver.local_ip_towards(server, wait))
    }
}

/// Whether it may be different in a moment.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::open::tests::setup;

    fn opened(address: &str) -> Result<ZooKeeper> {
        ZooKeeper::new(&Address::parse(address).unwrap(), &setup())
    }

    #[test]
    fn an_address_says_where_services_lie_and_how_long_a_session_lasts() {
        let zoo = opened("zookeeper://me:hush@a:1,b").unwrap();
        assert_eq!(&**zoo.source(), "zookeeper://a:1,b:2181/laravel-go/services");
        assert_eq!((zoo.ttl(), zoo.batch()), (SESSION_TIMEOUT, usize::MAX));
        let zoo = opened("zookeeper://a/x/y?session_timeout=3s").unwrap();
        assert_eq!((zoo.ttl(), zoo.core.prefix.as_str()), (Duration::from_secs(3), "/x/y"));
    }

    #[test]
    fn an_address_that_cannot_be_right_is_refused() {
        for (address, says) in [
            ("zookeeper://a/x/../y", "neither . nor .."),
            ("zookeeper://a?session_timeout=0s", "session_timeout"),
            ("zookeeper://a?session_timeout=soon", "session_timeout"),
        ] {
            let error = opened(address).err().unwrap();
            assert!(error.kind() == Kind::InvalidArgument && error.message().contains(says), "{error}");
        }
    }
}
