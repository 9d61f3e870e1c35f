//! `zookeeper://`: an ensemble of ZooKeeper servers, over their own protocol.
//!
//! ```text
//!  mod            ZooKeeperRegistry: the registry; every request runs on the tokio thread
//!  session        one session: opened, kept alive, resumed at another server, replaced after it expires
//!  connection     one connection of the session, from the perspective of its users
//!  socket         the same connection, from the perspective of its loop: writes, reads, pings
//!  jute           the binary format (pure)
//!  registrations  one ephemeral node per registration: created, verified, deleted
//!  read           reads lists of endpoints
//!  watch          watches services
//! ```
//!
//! Existing client crates are not used: they use vectored writes, which raise SIGPIPE in a program that does not ignore it,
//! and they keep one reactor thread per process, which does not exist in a forked child.

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
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::async_bridge::{run, run_for_each, start_watch};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::{Runtime, TaskQueue};
use crate::sync::Mutex;

/// The default session timeout.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time for one request. It is also at most a sixth of the session timeout.
const REQUEST: Duration = Duration::from_secs(2);

/// An ensemble of ZooKeeper servers as a registry.
pub(super) struct ZooKeeper {
    core: Arc<Core>,
    queue: Arc<TaskQueue>,
}

/// The state that all tasks on the tokio thread share.
struct Core {
    source: Arc<str>,
    /// The parent path of all services.
    prefix: String,
    terms: Arc<Terms>,
    runtime: Runtime,
    /// `None` before the first use.
    session: Mutex<Option<Session>>,
    /// The nodes that were written, by path.
    written: Mutex<HashMap<String, Written>>,
    /// The parent nodes that were created in a session, so that they are not created again for each node.
    parents: Mutex<(i64, HashSet<String>)>,
    /// Registrations (path and generation) that ended while a request for them might be in flight, and when they ended.
    ended: Mutex<HashMap<(String, String), Instant>>,
    record_warnings: RecordWarnings,
    /// Whether the server can list the nodes of a session. Servers before 3.6 cannot.
    lists_ephemerals: AtomicBool,
}

/// A node that was written.
#[derive(Clone)]
struct Written {
    session: i64,
    /// The generation of its registration.
    generation: String,
    well: bool,
}

impl Written {
    fn of(entry: &RegistryEntry, session: i64) -> Written {
        Written { session, generation: entry.generation.clone(), well: entry.is_healthy() }
    }
}

impl ZooKeeper {
    /// The registry of the ensemble that an address names.
    pub(super) fn new(address: &Address, setup: &RegistrySetup) -> Result<ZooKeeper> {
        if address.path.split('/').any(|step| matches!(step, "." | "..")) {
            return Err(Error::invalid(format!(
                "the zookeeper:// address has the path {:?}; ZooKeeper allows neither . nor .. in paths",
                address.path
            )));
        }
        let session_timeout = address.duration("session_timeout")?.unwrap_or(SESSION_TIMEOUT);
        if session_timeout.is_zero() {
            return Err(Error::invalid("registry parameter session_timeout: must be greater than 0"));
        }
        let queue = TaskQueue::new(2);
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
            record_warnings: RecordWarnings::new(&source),
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
        Ok(ZooKeeper { core: Arc::new(core), queue })
    }

    /// Runs a request for many entries on the tokio thread. If it cannot run, every entry gets the error.
    fn for_each<T: Send + 'static, F: Future<Output = Vec<Result<T>>> + Send + 'static>(
        &self,
        entries: &[RegistryEntry],
        wait: &WaitLimit<'_>,
        asked: impl FnOnce(Arc<Core>, Vec<RegistryEntry>) -> F,
    ) -> Vec<Result<T>> {
        let asked = asked(self.core.clone(), entries.to_vec());
        run_for_each(&self.core.runtime, wait, entries, async { Ok(asked.await) })
    }
}

impl Core {
    /// Accesses the session. It is started if necessary.
    fn with_session<T>(&self, use_it: impl FnOnce(&Session) -> T) -> Result<T> {
        let mut session = self.session.lock();
        if session.is_none() {
            *session = Session::begin(self.terms.clone(), &self.runtime);
        }
        let closed = || Error::new(Kind::Closed, "the client was closed");
        session.as_ref().map(use_it).ok_or_else(closed)
    }

    /// The connection. Waits while it is being opened.
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

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        let (core, service) = (self.core.clone(), service.to_owned());
        run(&self.core.runtime, wait, async move { core.read(&service).await })
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        let core = self.core.clone();
        run(&self.core.runtime, wait, async move { core.services().await })
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        let (core, hears) = (self.core.clone(), sink.clone());
        start_watch(&self.core.runtime, &sink, move |wishes| watch::follow(core, hears, wishes))
    }

    fn register(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        self.for_each(entries, wait, |core, entries| async move { core.register(&entries).await })
    }

    fn heartbeat(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        self.for_each(entries, wait, |core, entries| async move { core.heartbeat(&entries).await })
    }

    fn deregister(&self, entry: &RegistryEntry, doubtful: bool, wait: &WaitLimit<'_>) -> Result<()> {
        // If another registration owns the node now, it stays.
        let Some(path) = self.core.forget(entry, doubtful) else { return Ok(()) };
        let (tell, told) = oneshot::channel();
        let task = self.core.runtime.spawn(write::see_off(Arc::downgrade(&self.core), path, tell));
        let closed = || Error::new(Kind::Closed, "the client was closed");
        // Goes on if the caller gives up: the node exists as long as the session.
        task.ok_or_else(closed)?.leave();
        run(&self.core.runtime, wait, async move { told.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        let resolver = &self.core.terms.names;
        self.core.terms.servers.iter().find_map(|server| resolver.local_ip_towards(server, wait))
    }
}

/// Whether an error may be temporary.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::setup::test_setup;

    fn opened(address: &str) -> Result<ZooKeeper> {
        ZooKeeper::new(&Address::parse(address).unwrap(), &test_setup())
    }

    #[test]
    fn address_sets_prefix_and_session_timeout() {
        let zoo = opened("zookeeper://me:hush@a:1,b").unwrap();
        assert_eq!(&**zoo.source(), "zookeeper://a:1,b:2181/laravel-go/services");
        assert_eq!((zoo.ttl(), zoo.batch_size()), (SESSION_TIMEOUT, usize::MAX));
        let zoo = opened("zookeeper://a/x/y?session_timeout=3s").unwrap();
        assert_eq!((zoo.ttl(), zoo.core.prefix.as_str()), (Duration::from_secs(3), "/x/y"));
    }

    #[test]
    fn rejects_invalid_addresses() {
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
