//! The catalog with a registry whose updates overtake its responses.

use std::sync::Arc;
use std::time::Duration;

use plumline::catalog::Catalog;
use plumline::config::CacheConfig;
use plumline::interrupt::{Closing, Never};
use plumline::registry::{Listing, Registry, RegistryUpdate, UpdateSink, WaitLimit, WatchHandle};
use plumline::runtime::{Runtime, TaskQueue};
use plumline::sync::Mutex;
use plumline::{Endpoint, Kind, Result};

/// A scripted registry: it answers `now`, and before that its watch delivers `late`.
struct Told {
    source: Arc<str>,
    queue: Arc<TaskQueue>,
    sink: Mutex<Option<Arc<dyn UpdateSink>>>,
    now: Mutex<Vec<u16>>,
    late: Mutex<Vec<Vec<u16>>>,
}

fn list(ports: &[u16]) -> RegistryUpdate {
    let endpoint = |port: &u16| Endpoint::new("s", "127.0.0.1".parse().unwrap(), *port);
    let listing = Listing { endpoints: ports.iter().map(endpoint).collect(), removed: Vec::new() };
    RegistryUpdate { lists: vec![("s".into(), listing)], ..RegistryUpdate::default() }
}

impl Told {
    fn tell(&self, ports: &[u16]) {
        let sink = self.sink.lock().clone();
        sink.expect("a watch is running").on_update(list(ports));
    }
}

struct Watched;

impl WatchHandle for Watched {
    fn subscribe(&self, _: &str) {}
    fn unsubscribe(&self, _: &str) {}
    fn subscribe_all(&self) {}
    fn refresh(&self, _: &str) {}
}

impl Registry for Told {
    fn source(&self) -> &Arc<str> {
        &self.source
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }

    fn read(&self, _: &str, _: &WaitLimit<'_>) -> Result<RegistryUpdate> {
        let answer = list(&self.now.lock());
        if let Some(late) = self.late.lock().pop() {
            self.tell(&late);
        }
        Ok(answer)
    }

    fn services(&self, wait: &WaitLimit<'_>) -> Result<Vec<String>> {
        wait.remaining()?;
        Ok(vec!["s".into()])
    }

    fn watch(self: Arc<Self>, sink: Arc<dyn UpdateSink>) -> Box<dyn WatchHandle> {
        *self.sink.lock() = Some(sink);
        Box::new(Watched)
    }

    fn local_ip(&self, _: &WaitLimit<'_>) -> Option<std::net::IpAddr> {
        None
    }
}

fn ports(catalog: &Catalog) -> Vec<u16> {
    let known = catalog.service("s", &WaitLimit::new(Duration::from_secs(5), &Never)).unwrap();
    let mut ports: Vec<u16> =
        known.service().snapshot().members.iter().map(|member| member.endpoint.port).collect();
    ports.sort_unstable();
    ports
}

fn told(ports: &[u16]) -> (Catalog, Arc<Told>) {
    let told = Arc::new(Told {
        source: "told://".into(),
        queue: TaskQueue::new(1),
        sink: Mutex::default(),
        now: Mutex::new(ports.to_vec()),
        late: Mutex::default(),
    });
    (Catalog::new(vec![told.clone()], &CacheConfig::default(), Runtime::get()), told)
}

#[test]
fn timeout_of_one_names_lookup_is_not_cached() {
    let (catalog, _) = told(&[1]);
    let closed = Closing::default();
    closed.close();
    let given_up = WaitLimit::new(Duration::from_secs(5), &closed);
    assert_eq!(catalog.names(&given_up).unwrap_err().kind(), Kind::Closed);
    assert_eq!(catalog.names(&WaitLimit::new(Duration::ZERO, &Never)).unwrap_err().kind(), Kind::Timeout);
    assert_eq!(catalog.names(&WaitLimit::new(Duration::from_secs(5), &Never)).unwrap(), ["s"]);
}

#[test]
fn clear_ignores_updates_in_flight() {
    let (catalog, told) = told(&[1]);
    assert_eq!(ports(&catalog), [1]);
    *told.now.lock() = vec![1, 2];
    catalog.clear();
    // An update that was in flight when the list was cleared...
    told.tell(&[1]);
    assert_eq!(ports(&catalog), [1, 2]);
    // ...and one that arrives during the read: the response it overtakes is read again.
    *told.now.lock() = vec![1, 2, 3];
    told.late.lock().push(vec![1, 2]);
    catalog.clear();
    assert_eq!(ports(&catalog), [1, 2, 3]);
    // Without a clear, an update that overtakes a response is newer.
    told.tell(&[4]);
    assert!(ports(&catalog).contains(&4));
}
