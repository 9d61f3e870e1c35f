//! `zookeeper://`: an ensemble of ZooKeeper servers, over their own protocol.
//!
//! ```text
//!  mod            ZooKeeperRegistry: the registry; every request runs on the tokio thread
//!  client         the shared state: the session, and the nodes that were written
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

mod client;
mod connection;
mod jute;
mod read;
mod registrations;
#[cfg(test)]
mod scripted_tests;
mod session;
mod socket;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;

use self::client::ZooKeeperClient;
use self::session::{SessionConfig, SessionState};
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::async_bridge::{run, run_for_each, start_watch};
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::{
    HeartbeatResult, Registry, RegistryEntry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle,
};
use crate::runtime::TaskQueue;
use crate::sync::Mutex;

/// The default session timeout.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time for one request. It is also at most a sixth of the session timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// An ensemble of ZooKeeper servers as a registry.
pub(super) struct ZooKeeperRegistry {
    client: Arc<ZooKeeperClient>,
    queue: Arc<TaskQueue>,
}

impl ZooKeeperRegistry {
    /// The registry of the ensemble that an address names.
    pub(super) fn new(address: &Address, setup: &RegistrySetup) -> Result<ZooKeeperRegistry> {
        if address.path.split('/').any(|segment| matches!(segment, "." | "..")) {
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
        let config = SessionConfig {
            servers: address.hosts.clone(),
            user: address.user.clone(),
            session_timeout,
            connect_timeout: setup.connect_timeout,
            request_timeout: setup.timeout.min(REQUEST_TIMEOUT),
            resolver: Arc::new(Resolver::new(setup)),
        };
        let source = address.source().into();
        let client = ZooKeeperClient {
            record_warnings: RecordWarnings::new(&source),
            source,
            prefix: address.path.clone(),
            config: Arc::new(config),
            runtime: setup.runtime.clone(),
            session: Mutex::default(),
            written: Mutex::default(),
            parents: Mutex::default(),
            ended: Mutex::default(),
            lists_ephemerals: AtomicBool::new(true),
        };
        Ok(ZooKeeperRegistry { client: Arc::new(client), queue })
    }

    /// Runs a request for many entries on the tokio thread. If it cannot run, every entry gets the error.
    fn run_each<T: Send + 'static, F: Future<Output = Vec<Result<T>>> + Send + 'static>(
        &self,
        entries: &[RegistryEntry],
        wait: &WaitLimit<'_>,
        request: impl FnOnce(Arc<ZooKeeperClient>, Vec<RegistryEntry>) -> F,
    ) -> Vec<Result<T>> {
        let request = request(self.client.clone(), entries.to_vec());
        run_for_each(&self.client.runtime, wait, entries, async { Ok(request.await) })
    }
}

impl Registry for ZooKeeperRegistry {
    fn source(&self) -> &Arc<str> {
        &self.client.source
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn ttl(&self) -> Duration {
        let session = self.client.session.lock();
        match session.as_ref().map(|session| session.state().borrow().clone()) {
            Some(SessionState::Connected(connection)) => connection.timeout,
            _ => self.client.config.session_timeout,
        }
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, service: &str, wait: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        let (client, service) = (self.client.clone(), service.to_owned());
        run(&self.client.runtime, wait, async move { client.read(&service).await })
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        let client = self.client.clone();
        run(&self.client.runtime, wait, async move { client.services().await })
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        let (client, watch_sink) = (self.client.clone(), sink.clone());
        start_watch(&self.client.runtime, &sink, move |commands| watch::follow(client, watch_sink, commands))
    }

    fn register(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<()>> {
        self.run_each(entries, wait, |client, entries| async move { client.register(&entries).await })
    }

    fn heartbeat(&self, entries: &[RegistryEntry], wait: &WaitLimit<'_>) -> Vec<Result<HeartbeatResult>> {
        self.run_each(entries, wait, |client, entries| async move { client.heartbeat(&entries).await })
    }

    fn deregister(&self, entry: &RegistryEntry, doubtful: bool, wait: &WaitLimit<'_>) -> Result<()> {
        // If another registration owns the node now, it stays.
        let Some(path) = self.client.remove_registration(entry, doubtful) else { return Ok(()) };
        let (sender, receiver) = oneshot::channel();
        let task =
            self.client.runtime.spawn(registrations::delete_node(Arc::downgrade(&self.client), path, sender));
        let closed = || Error::new(Kind::Closed, "the client was closed");
        // Goes on if the caller gives up: the node exists as long as the session.
        task.ok_or_else(closed)?.leave();
        run(&self.client.runtime, wait, async move { receiver.await.unwrap_or_else(|_| Err(closed())) })
    }

    fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        let resolver = &self.client.config.resolver;
        self.client.config.servers.iter().find_map(|server| resolver.local_ip_towards(server, wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::setup::test_setup;

    fn opened(address: &str) -> Result<ZooKeeperRegistry> {
        ZooKeeperRegistry::new(&Address::parse(address).unwrap(), &test_setup())
    }

    #[test]
    fn address_sets_prefix_and_session_timeout() {
        let registry = opened("zookeeper://me:hush@a:1,b").unwrap();
        assert_eq!(&**registry.source(), "zookeeper://a:1,b:2181/laravel-go/services");
        assert_eq!((registry.ttl(), registry.batch_size()), (SESSION_TIMEOUT, usize::MAX));
        let registry = opened("zookeeper://a/x/y?session_timeout=3s").unwrap();
        assert_eq!((registry.ttl(), registry.client.prefix.as_str()), (Duration::from_secs(3), "/x/y"));
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
