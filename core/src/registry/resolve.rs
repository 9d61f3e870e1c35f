//! Host names become addresses in the background: the system's resolver cannot be told to hurry.
//!
//! An answer is good for half a minute; then it is still given, while a new one is fetched. Only the first
//! question about a name waits, and no longer than its asker wants to.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};

use super::address::HostPort;
use super::{Setup, Wait};
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::SLICE;
use crate::runtime::{Priority, Runtime, TaskQueue};

const FRESH: Duration = Duration::from_secs(30);
/// A name that could not be resolved is tried again after this.
const FAILED: Duration = Duration::from_secs(1);

/// Resolves and remembers.
pub struct Resolver {
    is_stub: bool,
    runtime: Runtime,
    lane: Arc<TaskQueue>,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    names: Mutex<HashMap<String, Name>>,
    changed: Condvar,
    /// The same news for those who wait on no thread.
    #[cfg(feature = "tokio")]
    told: tokio::sync::Notify,
}

#[derive(Default)]
struct Name {
    addresses: Vec<IpAddr>,
    error: Option<String>,
    /// When the last answer came; `None` before the first.
    at: Option<Tick>,
    asking: bool,
}

impl Resolver {
    /// A resolver with a queue of its own, so that a slow name server holds up nothing else.
    pub fn new(setup: &Setup) -> Resolver {
        Resolver {
            is_stub: setup.is_stub,
            runtime: setup.runtime.clone(),
            lane: TaskQueue::new(1),
            book: Arc::default(),
        }
    }

    /// The addresses of a name, or the one that it already is.
    pub fn resolve(&self, host: &str, wait: &Wait<'_>) -> Result<Vec<IpAddr>> {
        if let Some(address) = self.evident(host) {
            return Ok(vec![address]);
        }
        let mut names = self.book.names.lock();
        loop {
            if let Some(known) = self.look(&mut names, host) {
                return known;
            }
            // The caller's own code is asked, which may call us: not under the lock.
            let left =
                MutexGuard::unlocked(&mut names, || wait.left()).map_err(|error| match error.kind() {
                    Kind::Timeout => late(host),
                    _ => error,
                })?;
            if names.get(host).is_none_or(|name| name.asking) {
                self.book.changed.wait_for(&mut names, left.min(SLICE));
            }
        }
    }

    /// The same for whoever may not wait on a thread.
    #[cfg(feature = "tokio")]
    pub(super) async fn found(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>> {
        if let Some(address) = self.evident(host) {
            return Ok(vec![address]);
        }
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            // What is answered between the look and the wait is not missed.
            let told = self.book.told.notified();
            let known = self.look(&mut self.book.names.lock(), host);
            if let Some(known) = known {
                return known;
            }
            if tokio::time::timeout_at(deadline, told).await.is_err() {
                return Err(late(host));
            }
        }
    }

    /// The address of a host for which nobody has to be asked.
    fn evident(&self, host: &str) -> Option<IpAddr> {
        host.parse().ok().or_else(|| self.is_stub.then(|| made_up(host)))
    }

    /// What is known of a name by now; asks where nothing is, or where it is old.
    fn look(&self, names: &mut HashMap<String, Name>, host: &str) -> Option<Result<Vec<IpAddr>>> {
        let name = names.entry(host.to_owned()).or_default();
        let age = name.at.map(|at| clock::now().since(at));
        let good_for = if name.error.is_some() { FAILED } else { FRESH };
        if age.is_none_or(|age| age > good_for) && !name.asking {
            name.asking = true;
            self.ask(host);
        }
        if !name.addresses.is_empty() {
            return Some(Ok(name.addresses.clone()));
        }
        let error = name.error.as_ref().filter(|_| !name.asking)?;
        Some(Err(Error::new(Kind::Unavailable, format!("{host} has no address: {error}"))))
    }

    /// This machine's address on the way to a host.
    pub(super) fn local_ip_towards(&self, host: &HostPort, wait: &Wait<'_>) -> Option<IpAddr> {
        let ip = *self.resolve(&host.host, wait).ok()?.first()?;
        super::local_ip_towards((ip, host.port).into())
    }

    fn ask(&self, host: &str) {
        let (book, host) = (self.book.clone(), host.to_owned());
        // Beats may wait for it: it takes its turn among them, not after them.
        self.runtime.post(&self.lane, Priority::Heartbeat, move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            let mut names = book.names.lock();
            let name = names.entry(host).or_default();
            name.asking = false;
            name.at = Some(clock::now());
            match found {
                Ok(found) => {
                    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
                    addresses.sort_unstable();
                    addresses.dedup();
                    name.error = addresses.is_empty().then(|| "the answer was empty".to_owned());
                    name.addresses = addresses;
                }
                // What was known stays: a name server that is away does not move machines.
                Err(error) => name.error = Some(error.to_string()),
            }
            drop(names);
            book.changed.notify_all();
            #[cfg(feature = "tokio")]
            book.told.notify_waiters();
        });
    }
}

fn late(host: &str) -> Error {
    Error::new(Kind::Timeout, format!("the address of {host} was not found in time"))
}

/// An address for a name that only a stub answers to, from the range kept for benchmarks (RFC 2544).
fn made_up(host: &str) -> IpAddr {
    let [a, b, ..] = xxhash_rust::xxh64::xxh64(host.as_bytes(), 0).to_le_bytes();
    std::net::Ipv4Addr::new(198, 18, a, b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Never;

    #[test]
    fn a_name_becomes_its_addresses() {
        let resolver = Resolver::new(&crate::registry::open::tests::setup());
        let wait = Wait::new(Duration::from_secs(5), &Never);
        assert_eq!(resolver.resolve("10.0.0.7", &wait).unwrap(), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        let found = resolver.resolve("localhost", &wait).unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
