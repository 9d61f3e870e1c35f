//! Resolves host names in the background, because the resolver of the system has no timeout.
//!
//! A result is valid for half a minute. After that it is still returned, while a new one is fetched. Only the first
//! lookup of a name waits, at most as long as its caller allows.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};

use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::registry::address::HostPort;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::WaitLimit;
use crate::runtime::{Priority, Runtime, TaskQueue};

/// How long a result is valid.
const VALID: Duration = Duration::from_secs(30);
/// When a failed lookup is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A resolver with a cache.
pub struct Resolver {
    is_stub: bool,
    runtime: Runtime,
    queue: Arc<TaskQueue>,
    cache: Arc<AddressCache>,
}

#[derive(Default)]
struct AddressCache {
    names: Mutex<HashMap<String, CachedName>>,
    changed: Condvar,
    /// Notifies the tasks on the tokio thread of the same change.
    #[cfg(feature = "tokio")]
    notify: tokio::sync::Notify,
}

#[derive(Default)]
struct CachedName {
    addresses: Vec<IpAddr>,
    error: Option<String>,
    /// When the last result arrived; `None` before the first one.
    resolved_at: Option<Tick>,
    is_pending: bool,
}

impl Resolver {
    /// A resolver with its own queue, so that a slow name server does not delay other work.
    pub fn new(setup: &RegistrySetup) -> Resolver {
        Resolver {
            is_stub: setup.is_stub,
            runtime: setup.runtime.clone(),
            queue: TaskQueue::new(1),
            cache: Arc::default(),
        }
    }

    /// The addresses of a host name. An IP address resolves to itself.
    pub fn resolve(&self, host: &str, wait: &WaitLimit<'_>) -> Result<Vec<IpAddr>> {
        if let Some(address) = self.without_lookup(host) {
            return Ok(vec![address]);
        }
        let mut names = self.cache.names.lock();
        loop {
            if let Some(known) = self.cached(&mut names, host) {
                return known;
            }
            // This calls the interrupt of the caller, which may use the resolver: not under the lock.
            let left = MutexGuard::unlocked(&mut names, || wait.remaining()).map_err(|error| match error
                .kind()
            {
                Kind::Timeout => timed_out(host),
                _ => error,
            })?;
            if names.get(host).is_none_or(|name| name.is_pending) {
                self.cache.changed.wait_for(&mut names, left.min(SLICE));
            }
        }
    }

    /// Like [`resolve`](Resolver::resolve), for tasks, which must not block their thread.
    #[cfg(feature = "tokio")]
    pub(super) async fn resolve_async(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>> {
        if let Some(address) = self.without_lookup(host) {
            return Ok(vec![address]);
        }
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            // Registered before the lookup, so that no result between the two is missed.
            let notified = self.cache.notify.notified();
            let known = self.cached(&mut self.cache.names.lock(), host);
            if let Some(known) = known {
                return known;
            }
            if tokio::time::timeout_at(deadline, notified).await.is_err() {
                return Err(timed_out(host));
            }
        }
    }

    /// The address of a host that needs no lookup.
    fn without_lookup(&self, host: &str) -> Option<IpAddr> {
        host.parse().ok().or_else(|| self.is_stub.then(|| stub_address(host)))
    }

    /// The cached result for a name. Starts a lookup if there is none or it is no longer valid.
    fn cached(&self, names: &mut HashMap<String, CachedName>, host: &str) -> Option<Result<Vec<IpAddr>>> {
        let name = names.entry(host.to_owned()).or_default();
        let age = name.resolved_at.map(|at| clock::now().since(at));
        let good_for = if name.error.is_some() { RETRY_AFTER } else { VALID };
        if age.is_none_or(|age| age > good_for) && !name.is_pending {
            name.is_pending = true;
            self.start_lookup(host);
        }
        if !name.addresses.is_empty() {
            return Some(Ok(name.addresses.clone()));
        }
        let error = name.error.as_ref().filter(|_| !name.is_pending)?;
        Some(Err(Error::new(Kind::Unavailable, format!("{host} has no address: {error}"))))
    }

    /// The address of this machine on the route to a host.
    pub(super) fn local_ip_towards(&self, host: &HostPort, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        let ip = *self.resolve(&host.host, wait).ok()?.first()?;
        crate::registry::types::local_ip_towards((ip, host.port).into())
    }

    fn start_lookup(&self, host: &str) {
        let (cache, host) = (self.cache.clone(), host.to_owned());
        // Heartbeats may depend on the result, so the lookup has their priority.
        self.runtime.post(&self.queue, Priority::Heartbeat, move || {
            let result = (host.as_str(), 0).to_socket_addrs();
            let mut names = cache.names.lock();
            let name = names.entry(host).or_default();
            name.is_pending = false;
            name.resolved_at = Some(clock::now());
            match result {
                Ok(found) => {
                    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                    addresses.sort_unstable();
                    addresses.dedup();
                    name.error = addresses.is_empty().then(|| "the result is empty".to_owned());
                    name.addresses = addresses;
                }
                // The last addresses stay: a failure of the name server does not change them.
                Err(error) => name.error = Some(error.to_string()),
            }
            drop(names);
            cache.changed.notify_all();
            #[cfg(feature = "tokio")]
            cache.notify.notify_waiters();
        });
    }
}

fn timed_out(host: &str) -> Error {
    Error::new(Kind::Timeout, format!("{host} was not resolved in time"))
}

/// A made-up address for a name that only a stub uses, from the range reserved for benchmarks (RFC 2544).
fn stub_address(host: &str) -> IpAddr {
    let [a, b, ..] = xxhash_rust::xxh64::xxh64(host.as_bytes(), 0).to_le_bytes();
    std::net::Ipv4Addr::new(198, 18, a, b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Never;

    #[test]
    fn resolves_names_and_addresses() {
        let resolver = Resolver::new(&crate::registry::setup::test_setup());
        let wait = WaitLimit::new(Duration::from_secs(5), &Never);
        assert_eq!(resolver.resolve("10.0.0.7", &wait).unwrap(), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        let found = resolver.resolve("localhost", &wait).unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
