//! The state that all parts of a Nacos registry share: the servers, the connection, and requests on it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::connection::NacosConnection;
use super::login::AccessToken;
use super::message::{self, NacosMessage, ServiceInfo, ServiceScope};
use super::names;
use super::registrations::NacosRegistrations;
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::address::{Credentials, HostPort};
use crate::registry::grpc::GrpcServer;
use crate::registry::http_host::HttpHost;
use crate::registry::record_warnings::RecordWarnings;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::DEFAULT_TTL;
use crate::runtime::TaskQueue;
use crate::sync::Mutex;

/// The namespace without an id; servers accept its name instead.
pub(super) const PUBLIC: &str = "public";
const GROUP: &str = "DEFAULT_GROUP";
/// The offset of the gRPC port from the HTTP port.
const GRPC_PORT_OFFSET: u16 = 1000;

/// One server: its gRPC port, and its HTTP port for logins.
pub(super) struct NacosServer {
    pub(super) grpc: GrpcServer,
    pub(super) host: Arc<HttpHost>,
    pub(super) name: HostPort,
}

/// The state of the connection.
#[derive(Clone)]
pub(super) enum ConnectionState {
    /// Being opened.
    Connecting,
    /// Established.
    Connected(Arc<NacosConnection>),
    /// Failed; another attempt follows.
    Failed(Error),
}

/// Everything that the parts of one registry share.
pub(super) struct NacosClient {
    pub(super) source: Arc<str>,
    pub(super) scope: ServiceScope,
    /// The cluster to register in. Only instances of this cluster are read.
    pub(super) cluster: Option<String>,
    servers: Mutex<Vec<Arc<NacosServer>>>,
    /// The index of the server in use.
    pub(super) next_server: AtomicUsize,
    pub(super) setup: RegistrySetup,
    pub(super) resolver: Arc<Resolver>,
    pub(super) timeout: Duration,
    pub(super) user: Option<Credentials>,
    pub(super) token: Mutex<Option<AccessToken>>,
    pub(super) login_lock: tokio::sync::Mutex<()>,
    /// Heartbeats wait for a login, so logins have their own queue.
    pub(super) logins: Arc<TaskQueue>,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) registrations: NacosRegistrations,
    /// The receivers of pushes.
    push_receivers: Mutex<Vec<UnboundedSender<ServiceInfo>>>,
    /// How many watches subscribe to each service.
    watch_counts: Mutex<HashMap<String, usize>>,
    pub(super) record_warnings: RecordWarnings,
}

impl NacosClient {
    pub(super) fn new(address: &Address, setup: &RegistrySetup) -> Result<NacosClient> {
        let param = |name: &str, default: &str| address.param(name).unwrap_or(default).to_owned();
        let scope = ServiceScope { namespace: param("namespace", PUBLIC), group: param("group", GROUP) };
        for (what, value) in [
            ("namespace", Some(&scope.namespace)),
            ("group", Some(&scope.group)),
            ("cluster", address.param("cluster").map(str::to_owned).as_ref()),
        ] {
            check(what, value.map_or("", String::as_str))?;
        }
        let resolver = Arc::new(Resolver::new(setup));
        let servers: Vec<Arc<NacosServer>> =
            address.hosts.iter().map(|name| server(name, setup, &resolver)).collect::<Result<_>>()?;
        let source = address.source().into();
        Ok(NacosClient {
            record_warnings: RecordWarnings::new(&source),
            source,
            scope,
            cluster: address.param("cluster").map(str::to_owned),
            // A random first server, so that clients spread over all servers.
            next_server: AtomicUsize::new(fastrand::usize(..servers.len().max(1))),
            servers: Mutex::new(servers),
            setup: setup.clone(),
            resolver,
            timeout: request_timeout(setup),
            user: address.user.clone(),
            token: Mutex::default(),
            login_lock: tokio::sync::Mutex::default(),
            logins: TaskQueue::new(1),
            state: watch::Sender::new(ConnectionState::Connecting),
            registrations: NacosRegistrations::default(),
            push_receivers: Mutex::default(),
            watch_counts: Mutex::default(),
        })
    }

    // === servers ===

    /// The server in use.
    pub(super) fn server(&self) -> Arc<NacosServer> {
        let servers = self.servers.lock();
        servers[self.next_server.load(Ordering::Relaxed) % servers.len()].clone()
    }

    /// The number of servers.
    pub(super) fn server_count(&self) -> usize {
        self.servers.lock().len()
    }

    /// Selects the next server.
    pub(super) fn select_next(&self) {
        self.next_server.fetch_add(1, Ordering::Relaxed);
    }

    /// Selects this server, which may be unknown so far.
    pub(super) fn select(&self, name: &HostPort) -> Result<()> {
        let mut servers = self.servers.lock();
        let known = servers.iter().position(|server| server.name == *name);
        if known.is_none() {
            servers.push(server(name, &self.setup, &self.resolver)?);
        }
        self.next_server.store(known.unwrap_or(servers.len() - 1), Ordering::Relaxed);
        Ok(())
    }

    // === the connection ===

    /// The connection, or the error of the last attempt. Waits while it is being opened, but not for long, because the
    /// caller blocks a thread.
    pub(super) async fn connection(&self) -> Result<Arc<NacosConnection>> {
        let mut state = self.state.subscribe();
        let found = state.wait_for(|state| !matches!(state, ConnectionState::Connecting));
        let Ok(found) = tokio::time::timeout(self.timeout, found).await else {
            return Err(Error::new(Kind::Timeout, format!("{}: could not connect in time", self.source)));
        };
        match found.as_deref() {
            Ok(ConnectionState::Connected(connection)) => Ok(connection.clone()),
            Ok(ConnectionState::Failed(error)) => Err(error.clone()),
            _ => Err(Error::new(Kind::Closed, "the client was closed")),
        }
    }

    /// The connection. After a failure, waits for the next attempt.
    pub(super) async fn connection_after_failure(&self) -> Result<Arc<NacosConnection>> {
        let mut state = self.state.subscribe();
        let lost = match &*state.borrow_and_update() {
            ConnectionState::Failed(error) => Some(error.clone()),
            _ => None,
        };
        if let Some(error) = lost {
            // The next attempt may take long. At the deadline, return the reason of the failure.
            if tokio::time::timeout(self.timeout, state.changed()).await.is_err() {
                return Err(error);
            }
        }
        self.connection().await
    }

    /// The epoch of the responses on a connection.
    pub(super) fn epoch_of(&self, connection: &NacosConnection) -> String {
        format!("{}#{}", self.source, connection.epoch)
    }

    /// Sends one request. If the token is rejected, logs in again, once.
    pub(super) async fn request(
        &self,
        connection: &NacosConnection,
        message: &NacosMessage,
    ) -> Result<super::proto::Payload> {
        let token = self.token();
        let outcome = connection.request(message, token.as_deref(), self.timeout).await;
        let Err(error) = outcome else { return outcome };
        if error.kind() != Kind::PermissionDenied {
            return Err(error);
        }
        if self.user.is_none() {
            let message = format!("{}; add user:password@ to the address", error.message());
            return Err(Error::new(Kind::Unauthenticated, message));
        }
        if !self.log_in_again(token.as_deref()).await? {
            return Err(error);
        }
        connection.request(message, self.token().as_deref(), self.timeout).await
    }

    /// Sends one request, and deserializes the response.
    pub(super) async fn request_as<T: DeserializeOwned>(
        &self,
        connection: &NacosConnection,
        message: &NacosMessage,
    ) -> Result<T> {
        let response = self.request(connection, message).await?;
        message::read(&response, connection.label())
    }

    // === pushes ===

    /// A receiver of all pushes from now on.
    pub(super) fn subscribe_pushes(&self) -> UnboundedReceiver<ServiceInfo> {
        let (sender, receiver) = unbounded_channel();
        self.push_receivers.lock().push(sender);
        receiver
    }

    /// Forwards a push to the watches.
    pub(super) fn forward_push(&self, info: &ServiceInfo) {
        self.push_receivers.lock().retain(|receiver| receiver.send(info.clone()).is_ok());
    }

    /// Counts another watch of a service.
    pub(super) fn add_watch(&self, service: &str) {
        *self.watch_counts.lock().entry(service.to_owned()).or_default() += 1;
    }

    /// Counts one watch of a service less.
    pub(super) fn remove_watch(&self, service: &str) {
        let mut counts = self.watch_counts.lock();
        if let Some(count) = counts.get_mut(service) {
            *count -= 1;
            if *count == 0 {
                counts.remove(service);
            }
        }
    }

    /// Whether any watch subscribes to the service. All watches share one subscription per connection.
    pub(super) fn is_watched(&self, service: &str) -> bool {
        self.watch_counts.lock().contains_key(service)
    }

    /// The service of a push; `None` if it belongs to another group.
    pub(super) fn service_of(&self, info: &ServiceInfo) -> Option<String> {
        let group = info.group_name.as_deref().filter(|group| !group.is_empty());
        if group.is_some_and(|group| group != self.scope.group) {
            return None;
        }
        let name = info.name.as_deref()?;
        let name = name.split_once("@@").map_or(name, |(_, name)| name);
        Some(names::unescape(name))
    }
}

fn server(name: &HostPort, setup: &RegistrySetup, resolver: &Arc<Resolver>) -> Result<Arc<NacosServer>> {
    let port = name.port.checked_add(GRPC_PORT_OFFSET).ok_or_else(|| {
        Error::invalid(format!(
            "nacos://{name}: the gRPC port would be this port plus {GRPC_PORT_OFFSET}, which exceeds 65535"
        ))
    })?;
    let grpc = HostPort { host: name.host.clone(), port };
    let grpc = GrpcServer::new(&grpc, "nacos", false, setup, resolver.clone())?
        .with_label(format!("nacos://{name} (gRPC port {port})"));
    let host = Arc::new(HttpHost::new(name, "nacos", false, setup)?);
    Ok(Arc::new(NacosServer { grpc, host, name: name.clone() }))
}

/// How long one request may take: much less than the TTL.
fn request_timeout(setup: &RegistrySetup) -> Duration {
    setup.timeout.min(DEFAULT_TTL / 6)
}

/// Checks the name of a namespace, a group or a cluster.
fn check(what: &str, name: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if let Some(c) = name.chars().find(|c| !is_allowed(*c)) {
        let message = format!("the {what} {name:?} contains {c:?}: Nacos allows letters, digits and -_.:");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Runs a future to its end, even if the caller gives up.
pub(super) async fn run_to_end<T: Send + 'static>(
    what: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    tokio::spawn(what).await.map_err(|error| {
        if error.is_panic() {
            return Error::new(Kind::Internal, "a request panicked; please report it");
        }
        Error::new(Kind::Closed, "the client was closed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::setup::test_setup;

    fn client(address: &str) -> Result<NacosClient> {
        NacosClient::new(&Address::parse(address)?, &test_setup())
    }

    #[test]
    fn rejects_invalid_addresses_and_names_the_mistake() {
        for (address, says) in [
            ("nacos://a:64600", "the gRPC port would be this port plus 1000"),
            ("nacos://a?group=a%20b", "the group \"a b\" contains ' '"),
            ("nacos://a?namespace=a%40%40b", "the namespace"),
            ("nacos://a?cluster=a,b", "the cluster"),
        ] {
            let error = client(address).err().expect(address);
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn selects_a_named_server_even_if_it_is_unknown() {
        let client = client("nacos://10.0.0.1,10.0.0.2").unwrap();
        let named = |host: &str| HostPort { host: host.into(), port: 8848 };
        for host in ["10.0.0.2", "10.0.0.9", "10.0.0.1", "10.0.0.9"] {
            client.select(&named(host)).unwrap();
            assert_eq!(client.server().name.host, host);
        }
        assert_eq!(client.server_count(), 3);
    }

    #[test]
    fn ignores_pushes_of_other_groups() {
        let client = client("nacos://a?group=g").unwrap();
        let of = |name: &str, group: Option<&str>| {
            client.service_of(&ServiceInfo {
                name: Some(name.into()),
                group_name: group.map(Into::into),
                ..ServiceInfo::default()
            })
        };
        assert_eq!(of("orders", Some("g")).unwrap(), "orders");
        assert_eq!(of("g@@a%20b", None).unwrap(), "a b");
        assert_eq!(of("orders", Some("h")), None);
    }
}
