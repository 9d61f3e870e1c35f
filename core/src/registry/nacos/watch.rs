//! Watches services: subscriptions, pushes, and regular reads.
//!
//! ```text
//!  connected ─► subscribes to every service; the response is its list ─► pushes ─► connection lost ─► again
//!                    └─ reads each service every 30 s, in case a push was lost
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client::{ConnectionState, NacosClient};
use super::connection::{KEEP_ALIVE, NacosConnection};
use super::message::{ServiceInfo, ServiceInfoResponse};
use super::names;
use crate::clock::Tick;
use crate::error::{Error, Result};
use crate::registry::async_bridge::{WatchCommand, WatchCommands};
use crate::registry::http_host::is_outage;
use crate::registry::polling::jittered;
use crate::registry::types::{Listing, Registry, RegistryUpdate, UpdateSink};

/// How often each service is read, even without a push.
const READ_INTERVAL: Duration = Duration::from_secs(30);
/// How often to check which services are due.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the names of all services are read: servers do not push them.
const NAMES_INTERVAL: Duration = Duration::from_secs(3);
/// When a failed request about a service is retried,
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// and when it is retried after the server has rejected it.
const REJECTED_DELAY: Duration = Duration::from_secs(10);
/// How many requests are in flight at the same time.
const MAX_IN_FLIGHT: usize = 64;

/// Everything that one client watches.
struct NacosWatcher {
    client: Arc<NacosClient>,
    sink: Arc<dyn UpdateSink>,
    /// A name that was listed once is watched from then on, so that its end is noticed too.
    subscribed: BTreeSet<String>,
    all: bool,
}

/// The watched services on one connection.
struct ConnectionWatch {
    connection: Arc<NacosConnection>,
    services: BTreeMap<String, WatchedService>,
    /// The requests in flight.
    requests: JoinSet<WatchResult>,
    gate: Arc<Semaphore>,
    names_due: Instant,
    confirmed_at: Tick,
}

#[derive(Default)]
struct WatchedService {
    /// The time of the last list, by the clock of the server.
    last_ref: i64,
    /// Whether the server has accepted the subscription.
    subscribed: bool,
    /// Whether the server rejected the last request.
    rejected: bool,
    /// When to read it next; `None` while a request is in flight.
    due: Option<Instant>,
}

/// The result of a request or a push.
enum WatchResult {
    Listed { service: String, last_ref: i64, listing: Listing, subscribed: bool },
    Failed { service: String, error: Error },
    Names(Result<Vec<String>>),
}

impl Drop for NacosWatcher {
    fn drop(&mut self) {
        self.subscribed.iter().for_each(|service| self.client.remove_watch(service));
    }
}

/// Watches what the commands subscribe to, until the handle is dropped. The registry is held, because the connection ends
/// with it.
pub(super) async fn follow_commands(
    client: Arc<NacosClient>,
    _registry: Arc<dyn Registry>,
    sink: Arc<dyn UpdateSink>,
    mut commands: WatchCommands,
) {
    let mut pushes = client.subscribe_pushes();
    let mut state = client.state.subscribe();
    let mut watcher = NacosWatcher { client, sink, subscribed: BTreeSet::new(), all: false };
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            ConnectionState::Connected(connection) => {
                if !watcher.follow(connection, &mut commands, &mut pushes).await {
                    return;
                }
            }
            ConnectionState::Failed(error) => watcher.sink.on_failure(error),
            ConnectionState::Connecting => {}
        }
        // Wait for the next state of the connection.
        loop {
            tokio::select! {
                changed = state.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                command = commands.recv() => match command {
                    Some(command) => { watcher.apply(&command); }
                    None => return,
                },
            }
        }
    }
}

impl NacosWatcher {
    /// Applies a command. Returns the service to request.
    fn apply(&mut self, command: &WatchCommand) -> Option<String> {
        match command {
            WatchCommand::Subscribe(service) => self.add(service).then(|| service.clone()),
            WatchCommand::Refresh(service) => Some(service.clone()),
            WatchCommand::Unsubscribe(service) => {
                if !self.all && self.subscribed.remove(service) {
                    self.client.remove_watch(service);
                }
                None
            }
            WatchCommand::SubscribeAll => {
                self.all = true;
                None
            }
        }
    }

    /// Adds a service; false if it was watched already.
    fn add(&mut self, service: &str) -> bool {
        let is_new = self.subscribed.insert(service.to_owned());
        if is_new {
            self.client.add_watch(service);
        }
        is_new
    }

    /// Serves one connection until it ends. False once the handle has been dropped.
    async fn follow(
        &mut self,
        connection: Arc<NacosConnection>,
        commands: &mut WatchCommands,
        pushes: &mut UnboundedReceiver<ServiceInfo>,
    ) -> bool {
        // Earlier pushes belong to another connection.
        while pushes.try_recv().is_ok() {}
        let now = Instant::now();
        let mut watch = ConnectionWatch {
            connection: connection.clone(),
            services: BTreeMap::new(),
            requests: JoinSet::new(),
            gate: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            names_due: now,
            confirmed_at: Tick::ZERO,
        };
        self.report_up(&connection);
        self.subscribed.iter().for_each(|service| watch.subscribe(&self.client, service));
        let mut round = now + CHECK_INTERVAL;
        let broken = connection.wait_broken();
        tokio::pin!(broken);
        loop {
            tokio::select! {
                _ = &mut broken => return true,
                command = commands.recv() => match command {
                    Some(command) => self.on_command(&mut watch, &command),
                    None => return false,
                },
                push = pushes.recv() => match push {
                    Some(info) => watch.on_push(&self.client, info),
                    None => return false,
                },
                Some(answer) = watch.requests.join_next() => match answer {
                    Ok(answer) => self.on_result(&mut watch, answer),
                    Err(error) => tracing::error!(%error, "a request panicked; please report it"),
                },
                () = sleep_until(round) => {
                    round = Instant::now() + CHECK_INTERVAL;
                    self.read_due(&mut watch);
                }
            }
        }
    }

    /// Reports that the registry answers, even if nothing is watched yet.
    fn report_up(&self, connection: &NacosConnection) {
        self.sink.on_update(RegistryUpdate {
            epoch: Some(self.client.epoch_of(connection)),
            ..RegistryUpdate::default()
        });
    }

    fn on_command(&mut self, watch: &mut ConnectionWatch, command: &WatchCommand) {
        let service_to_request = self.apply(command);
        match command {
            WatchCommand::Subscribe(_) => {
                service_to_request.iter().for_each(|service| watch.subscribe(&self.client, service));
            }
            WatchCommand::Refresh(_) => {
                service_to_request.iter().for_each(|service| watch.read(&self.client, service));
            }
            WatchCommand::Unsubscribe(service) => {
                if !self.all && watch.services.remove(service).is_some() {
                    watch.unsubscribe(&self.client, service);
                }
            }
            WatchCommand::SubscribeAll => watch.read_names(&self.client),
        }
    }

    fn on_result(&mut self, watch: &mut ConnectionWatch, answer: WatchResult) {
        match answer {
            WatchResult::Listed { service, last_ref, listing, subscribed } => {
                let watched = watch.services.get_mut(&service);
                if let Some(watched) = watched {
                    if subscribed {
                        watched.subscribed = true;
                        watched.due = Some(Instant::now() + jittered(READ_INTERVAL));
                    }
                    // Older than the last list: a late push, or a read that is out of date.
                    if last_ref < watched.last_ref {
                        return;
                    }
                    watched.last_ref = last_ref;
                    watched.rejected = false;
                }
                self.sink.on_update(self.client.update_for(&watch.connection, &service, listing));
                self.confirm(watch);
            }
            WatchResult::Failed { service, error } => {
                if let Some(error) = watch.on_failure(&self.client, &service, error) {
                    self.sink.on_failure(error);
                }
            }
            WatchResult::Names(Ok(names)) => {
                let news: Vec<String> =
                    names.into_iter().filter(|name| !self.subscribed.contains(name)).collect();
                for name in news {
                    watch.subscribe(&self.client, &name);
                    self.add(&name);
                }
            }
            WatchResult::Names(Err(error)) => {
                tracing::debug!(source = %self.client.source, %error, "reading the names of all services failed");
            }
        }
    }

    /// Sends the due requests, and confirms the unchanged services while the connection is alive.
    fn read_due(&mut self, watch: &mut ConnectionWatch) {
        let now = Instant::now();
        let is_due = |watched: &WatchedService| watched.due.is_some_and(|due| due <= now);
        let due: Vec<(String, bool)> = watch
            .services
            .iter()
            .filter(|(service, watched)| {
                is_due(watched) && (!watched.subscribed || self.sink.is_in_use(service))
            })
            .map(|(service, watched)| (service.clone(), watched.subscribed))
            .collect();
        for (service, subscribed) in due {
            if subscribed {
                if let Some(watched) = watch.services.get_mut(&service) {
                    watched.due = Some(now + jittered(READ_INTERVAL));
                }
                watch.read(&self.client, &service);
            } else {
                watch.subscribe(&self.client, &service);
            }
        }
        if self.all && watch.names_due <= now {
            watch.read_names(&self.client);
        }
        self.confirm(watch);
    }

    /// Confirms the services without a push, once every subscription has been accepted, and then again with each sign of
    /// life of the server.
    fn confirm(&mut self, watch: &mut ConnectionWatch) {
        let last_received = watch.connection.last_received();
        let is_due = watch.confirmed_at == Tick::ZERO
            || last_received.since(watch.confirmed_at) + CHECK_INTERVAL >= KEEP_ALIVE;
        if is_due && watch.services.values().all(|watched| watched.subscribed) {
            watch.confirmed_at = last_received;
            let epoch = Some(self.client.epoch_of(&watch.connection));
            self.sink.on_update(RegistryUpdate { epoch, confirms_all: true, ..RegistryUpdate::default() });
        }
    }
}

impl ConnectionWatch {
    /// Handles a failed request about a service. Returns an error if it concerns the whole registry: a rejection concerns
    /// only its service, unless all services are rejected.
    fn on_failure(&mut self, client: &NacosClient, service: &str, error: Error) -> Option<Error> {
        let is_refused = !is_outage(&error);
        let has_succeeded = |watched: &WatchedService| watched.subscribed && !watched.rejected;
        let others_succeed =
            self.services.iter().any(|(name, watched)| name != service && has_succeeded(watched));
        let watched = self.services.get_mut(service)?;
        watched.due = Some(Instant::now() + jittered(if is_refused { REJECTED_DELAY } else { RETRY_DELAY }));
        if !is_refused {
            tracing::debug!(source = %client.source, service, %error, "request failed; retrying");
            return None;
        }
        if !std::mem::replace(&mut watched.rejected, true) {
            tracing::warn!(source = %client.source, service, %error, "cannot read this service");
        }
        (!others_succeed).then_some(error)
    }

    /// Subscribes to a service; the response is its list.
    fn subscribe(&mut self, client: &Arc<NacosClient>, service: &str) {
        let watched = self.services.entry(service.to_owned()).or_default();
        watched.due = None;
        self.start_request(client, service, true);
    }

    /// Reads the list of a service.
    fn read(&mut self, client: &Arc<NacosClient>, service: &str) {
        self.start_request(client, service, false);
    }

    fn start_request(&mut self, client: &Arc<NacosClient>, service: &str, subscribe: bool) {
        let (client, connection, gate, service) =
            (client.clone(), self.connection.clone(), self.gate.clone(), service.to_owned());
        self.requests.spawn(async move {
            let _place = gate.acquire_owned().await;
            match request(&client, &connection, &service, subscribe).await {
                Ok(info) => {
                    let last_ref = info.last_ref_time;
                    let listing = client.listing(&connection, &service, info).await;
                    WatchResult::Listed { service, last_ref, listing, subscribed: subscribe }
                }
                Err(error) => WatchResult::Failed { service, error },
            }
        });
    }

    /// Handles a push.
    fn on_push(&mut self, client: &Arc<NacosClient>, info: ServiceInfo) {
        let Some(service) = client.service_of(&info) else { return };
        if !self.services.contains_key(&service) {
            // The service is not watched any more.
            self.unsubscribe(client, &service);
            return;
        }
        let (client, connection) = (client.clone(), self.connection.clone());
        self.requests.spawn(async move {
            let last_ref = info.last_ref_time;
            let listing = client.listing(&connection, &service, info).await;
            WatchResult::Listed { service, last_ref, listing, subscribed: false }
        });
    }

    /// Ends a subscription, unless another watch uses it. Later pushes are ignored.
    fn unsubscribe(&self, client: &Arc<NacosClient>, service: &str) {
        if client.is_watched(service) {
            return;
        }
        let (client, connection, service) = (client.clone(), self.connection.clone(), service.to_owned());
        // Runs to its end, because the next subscription relies on that.
        tokio::spawn(async move {
            if let Err(error) = end_subscription(&client, &connection, &service).await {
                tracing::debug!(source = %client.source, service, %error, "ending the subscription failed");
            }
        });
    }

    fn read_names(&mut self, client: &Arc<NacosClient>) {
        self.names_due = Instant::now() + jittered(NAMES_INTERVAL);
        let (client, connection) = (client.clone(), self.connection.clone());
        self.requests.spawn(async move { WatchResult::Names(client.services_of(&connection).await) });
    }
}

async fn request(
    client: &NacosClient,
    connection: &NacosConnection,
    service: &str,
    subscribe: bool,
) -> Result<ServiceInfo> {
    let name = names::escape(service)?;
    let question = if subscribe { client.scope.subscribe(&name, true) } else { client.scope.query(&name) };
    let response: ServiceInfoResponse = client.request_as(connection, &question).await?;
    Ok(response.service_info.unwrap_or_default())
}

/// Ends a subscription. Subscribes again if a watch was added in the meantime, because the order in which the server
/// handled the requests is unknown. The response is handled like a push.
async fn end_subscription(client: &NacosClient, connection: &NacosConnection, service: &str) -> Result<()> {
    let name = names::escape(service)?;
    client.request(connection, &client.scope.subscribe(&name, false)).await?;
    if client.is_watched(service) {
        let response: ServiceInfoResponse =
            client.request_as(connection, &client.scope.subscribe(&name, true)).await?;
        response.service_info.iter().for_each(|info| client.forward_push(info));
    }
    Ok(())
}
