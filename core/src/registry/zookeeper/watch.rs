//! Watches services. Nothing is read again unless the server has reported a change.
//!
//! ```text
//!  event ──► due ──► one read: children and data of everything due; each request sets the next watch ──► UpdateSink
//! ```
//!
//! A ZooKeeper watch fires once. A request that reads and sets a watch misses nothing: changes before the response are part
//! of it, changes after it fire the watch. Only watches that all versions support are used; the recursive ones of 3.6 would
//! fire for every service. A new connection has no watches, so everything is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::client::ZooKeeperClient;
use super::connection::{MAX_IN_FLIGHT, ZooKeeperConnection, ZooKeeperError};
use super::jute::{NodeChange, NodeEvent};
use super::read::{NodeRead, concerns_one_service};
use super::session::{SessionEvent, SessionState, ZooKeeperSession};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::registry::async_bridge::{WatchCommand, WatchCommands};
use crate::registry::json_record::{service_path, unescape};
use crate::registry::rate_limiter::RateLimiter;
use crate::registry::reconnect::ReconnectBackoff;
use crate::registry::types::{Listing, UpdateSink};

/// The minimum interval between two reads while much changes. The first changes are read at once, the others together.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// How often host names are resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// Watches what the commands subscribe to, until the handle is dropped.
pub(super) async fn follow(
    client: Arc<ZooKeeperClient>,
    sink: Arc<dyn UpdateSink>,
    mut commands: WatchCommands,
) {
    let session = client.with_session(|session: &ZooKeeperSession| (session.state(), session.subscribe()));
    let (mut state, mut events) = match session {
        Ok(session) => session,
        Err(error) => return sink.on_failure(error),
    };
    state.mark_changed();
    let mut watcher = ZooKeeperWatcher::new(client, sink);
    loop {
        let is_due = watcher.connection.is_some() && watcher.is_due();
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => watcher.on_command(command),
                None => return,
            },
            Ok(()) = state.changed() => {
                let now = state.borrow_and_update().clone();
                watcher.on_state(now);
            }
            Some(event) = events.recv() => watcher.on_event(event),
            () = sleep_until(watcher.next_read), if is_due => watcher.read_due().await,
            else => return,
        }
    }
}

struct ZooKeeperWatcher {
    client: Arc<ZooKeeperClient>,
    sink: Arc<dyn UpdateSink>,
    connection: Option<Arc<ZooKeeperConnection>>,
    services: BTreeMap<String, ServiceNodes>,
    all: bool,
    due: PendingReads,
    /// The services without read permission; read again with each ping.
    refused: BTreeSet<String>,
    /// The last permission error, until it is reported or known to concern single services only.
    refusal: Option<Error>,
    next_read: Instant,
    resolved: Instant,
    reconnect: ReconnectBackoff,
    limiter: RateLimiter,
}

/// The nodes of a watched service, by their last path segments.
#[derive(Default)]
struct ServiceNodes {
    nodes: BTreeMap<String, NodeRead>,
    /// Read once for a refresh, not watched.
    is_refresh_only: bool,
    /// Whether the last read failed for lack of permission.
    is_refused: bool,
    /// Whether it was read successfully on this connection.
    was_read: bool,
}

/// Everything that must be read.
#[derive(Default)]
struct PendingReads {
    names: bool,
    services: BTreeSet<String>,
    /// By service and last path segment.
    nodes: BTreeSet<(String, String)>,
}

impl ZooKeeperWatcher {
    fn new(client: Arc<ZooKeeperClient>, sink: Arc<dyn UpdateSink>) -> ZooKeeperWatcher {
        let now = Instant::now();
        ZooKeeperWatcher {
            client,
            sink,
            connection: None,
            services: BTreeMap::new(),
            all: false,
            due: PendingReads::default(),
            refused: BTreeSet::new(),
            refusal: None,
            next_read: now,
            resolved: now,
            reconnect: ReconnectBackoff::default(),
            limiter: RateLimiter::new(MIN_INTERVAL),
        }
    }

    fn is_due(&self) -> bool {
        self.due.names || !self.due.services.is_empty() || !self.due.nodes.is_empty()
    }

    // === input ===

    fn on_command(&mut self, command: WatchCommand) {
        match command {
            WatchCommand::Subscribe(service) => {
                self.services.entry(service.clone()).or_default().is_refresh_only = false;
                self.due.services.insert(service);
            }
            WatchCommand::Unsubscribe(service) if !self.all => {
                self.services.remove(&service);
            }
            WatchCommand::Unsubscribe(_) => {}
            WatchCommand::SubscribeAll => {
                self.all = true;
                self.due.names = true;
            }
            WatchCommand::Refresh(service) => {
                let refresh_only = || ServiceNodes { is_refresh_only: true, ..ServiceNodes::default() };
                self.services.entry(service.clone()).or_insert_with(refresh_only).nodes.clear();
                self.due.services.insert(service);
            }
        }
    }

    fn on_state(&mut self, state: SessionState) {
        match state {
            SessionState::Connecting(None) => {}
            SessionState::Connecting(Some(error)) | SessionState::Failed(error) => {
                self.connection = None;
                self.sink.on_failure(error);
            }
            SessionState::Connected(connection) => {
                if self.connection.take().is_some() {
                    let message = format!("{}: the connection was replaced", connection.label());
                    self.sink.on_failure(Error::new(Kind::Unavailable, message));
                }
                self.connection = Some(connection);
                self.reconnect.succeeded();
                self.next_read = Instant::now();
                self.mark_all_due();
            }
        }
    }

    fn mark_all_due(&mut self) {
        self.due.names = self.all;
        for (service, watched) in &mut self.services {
            watched.nodes.clear();
            watched.was_read = false;
            self.due.services.insert(service.clone());
        }
    }

    fn on_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::WatchFired(event) => self.on_node_event(&event),
            SessionEvent::PingAnswered => self.on_ping_answer(),
        }
    }

    fn on_node_event(&mut self, NodeEvent { change, path }: &NodeEvent) {
        let Some(below) = path.strip_prefix(&self.client.prefix) else { return };
        match below.strip_prefix('/').map(|below| below.split_once('/')) {
            None if below.is_empty() => self.due.names = self.all,
            None => {}
            Some(None) => {
                let service = unescape(&below[1..]);
                // A service node has no data of its own.
                if *change != NodeChange::Data && self.services.contains_key(&service) {
                    self.due.services.insert(service);
                }
            }
            Some(Some((service, segment))) => {
                let service = unescape(service);
                if self.services.contains_key(&service) {
                    self.due.nodes.insert((service, segment.to_owned()));
                }
            }
        }
    }

    /// The server answered a ping: all events so far have been received.
    fn on_ping_answer(&mut self) {
        if self.resolved.elapsed() > RESOLVE_INTERVAL {
            self.resolved = Instant::now();
            let has_name = |read: &NodeRead| matches!(read, NodeRead::Found(found) if found.has_name());
            for (service, watched) in &mut self.services {
                if watched.nodes.values().any(has_name) {
                    watched.nodes.clear();
                    self.due.services.insert(service.clone());
                }
            }
        }
        if let Some(connection) =
            self.connection.as_ref().filter(|_| !self.is_due() && self.refused.is_empty())
        {
            self.sink.on_update(self.client.update_for(connection, Vec::new(), true));
        }
        self.due.services.append(&mut self.refused);
    }

    // === reads ===

    async fn read_due(&mut self) {
        let Some(connection) = self.connection.clone() else { return };
        match self.read_pending(&connection).await {
            Ok(lists) => {
                self.reconnect.succeeded();
                self.next_read = Instant::now() + self.limiter.next_wait(clock::now());
                let confirms_all = !self.is_due() && self.refused.is_empty();
                // A permission error concerns only its service, unless no service can be read.
                let is_well = |watched: &ServiceNodes| watched.was_read && !watched.is_refused;
                let refusal = self.refusal.take().filter(|_| !self.services.values().any(is_well));
                if confirms_all || !lists.is_empty() || (refusal.is_none() && !self.refused.is_empty()) {
                    self.sink.on_update(self.client.update_for(&connection, lists, confirms_all));
                }
                if let Some(error) = refusal {
                    self.sink.on_failure(error);
                }
                self.services.retain(|service, watched| {
                    !watched.is_refresh_only || self.due.services.contains(service)
                });
            }
            Err(error) => {
                // Some services may have been read partially.
                self.mark_all_due();
                self.next_read = Instant::now() + self.reconnect.failed(connection.timeout, fastrand::f64());
                self.sink.on_failure(error);
            }
        }
    }

    /// Reads everything that is due. Returns the lists of the services that have changed.
    async fn read_pending(
        &mut self,
        connection: &Arc<ZooKeeperConnection>,
    ) -> Result<Vec<(String, Listing)>> {
        if std::mem::take(&mut self.due.names) {
            self.read_names(connection).await?;
        }
        let mut changed = BTreeSet::new();
        let services: Vec<String> = std::mem::take(&mut self.due.services).into_iter().collect();
        for batch in services.chunks(MAX_IN_FLIGHT) {
            self.read_children(connection, batch, &mut changed).await?;
        }
        let nodes: Vec<_> = std::mem::take(&mut self.due.nodes).into_iter().collect();
        let reads = self.client.read_nodes(connection, &nodes, true).await?;
        for ((service, segment), read) in nodes.into_iter().zip(reads) {
            let Some(watched) = self.services.get_mut(&service) else { continue };
            match read {
                NodeRead::Gone => watched.nodes.remove(&segment),
                read => watched.nodes.insert(segment, read),
            };
            changed.insert(service);
        }
        let mut lists = Vec::with_capacity(changed.len());
        for service in changed {
            if let Some(watched) = self.services.get(&service) {
                let listing = self.client.listing(watched.nodes.values()).await;
                lists.push((service, listing));
            }
        }
        Ok(lists)
    }

    async fn read_names(&mut self, connection: &Arc<ZooKeeperConnection>) -> Result<()> {
        let prefix = &self.client.prefix;
        match connection.children(prefix, true).await {
            Err(ZooKeeperError::NoNode) => {
                // The node may have been created in the meantime; otherwise the watch fires when it is.
                self.due.names = connection.exists(prefix, true).await?.is_some();
            }
            listed => {
                for segment in listed? {
                    let service = unescape(&segment);
                    let watched = self.services.entry(service.clone()).or_insert_with(|| {
                        self.due.services.insert(service);
                        ServiceNodes::default()
                    });
                    watched.is_refresh_only = false;
                }
            }
        }
        Ok(())
    }

    async fn read_children(
        &mut self,
        connection: &Arc<ZooKeeperConnection>,
        services: &[String],
        changed: &mut BTreeSet<String>,
    ) -> Result<()> {
        let path = |service: &String| service_path(&self.client.prefix, service);
        let response: Vec<_> =
            services.iter().map(|service| connection.children(&path(service), true)).collect();
        let mut missing = Vec::new();
        for (service, response) in services.iter().zip(response) {
            let Some(watched) = self.services.get_mut(service) else { continue };
            match response
                .await
                .map_err(|failure| (matches!(failure, ZooKeeperError::NoNode), Error::from(failure)))
            {
                Ok(segments) => {
                    let segments: BTreeSet<String> = segments.into_iter().collect();
                    watched.nodes.retain(|segment, _| segments.contains(segment));
                    let new = segments.into_iter().filter(|segment| !watched.nodes.contains_key(segment));
                    self.due.nodes.extend(new.map(|segment| (service.clone(), segment)));
                    (watched.is_refused, watched.was_read) = (false, true);
                    changed.insert(service.clone());
                }
                Err((true, _)) => missing.push(service),
                Err((_, error)) if concerns_one_service(&error) => {
                    if !std::mem::replace(&mut watched.is_refused, true) {
                        tracing::warn!(source = %self.client.source, service, %error, "no permission to read this service");
                    }
                    self.refused.insert(service.clone());
                    self.refusal = Some(error);
                }
                Err((_, error)) => return Err(error),
            }
        }
        let response: Vec<_> =
            missing.iter().map(|service| connection.exists(&path(service), true)).collect();
        for (service, response) in missing.into_iter().zip(response) {
            if response.await?.is_some() {
                self.due.services.insert(service.clone());
            } else if let Some(watched) = self.services.get_mut(service) {
                watched.nodes.clear();
                (watched.is_refused, watched.was_read) = (false, true);
                changed.insert(service.clone());
            }
        }
        Ok(())
    }
}
