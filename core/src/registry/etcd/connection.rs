//! The connection to one member of the cluster, and its login.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::proto::AuthenticateRequest;
use super::proto::auth_client::AuthClient;
use super::proto::kv_client::KvClient;
use super::proto::lease_client::LeaseClient;
use super::proto::watch_client::WatchClient;
use crate::error::{Error, Kind, Result};
use crate::registry::address::Address;
use crate::registry::address::Credentials;
use crate::registry::grpc::{GrpcConnection, GrpcServer};
use crate::registry::http_host::is_outage;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::WaitLimit;

/// A ping is sent after this long without traffic. The connection is broken if there is no response for as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The largest response. Lists of services can be long.
const MAX_BYTES: usize = 64 << 20;

/// The members of the cluster, and the connection to one of them.
pub(super) struct EtcdCluster {
    servers: Vec<GrpcServer>,
    user: Option<Credentials>,
    timeout: Duration,
    ttl: Arc<AtomicU64>,
    current: tokio::sync::Mutex<CurrentConnection>,
}

#[derive(Default)]
struct CurrentConnection {
    connection: Option<EtcdConnection>,
    /// The index of the member that is tried next.
    turn: usize,
    /// The number of the last connection.
    number: u64,
}

/// A connection with the token of its login.
#[derive(Clone)]
pub(super) struct EtcdConnection {
    grpc: GrpcConnection,
    token: Option<AsciiMetadataValue>,
    number: u64,
}

impl EtcdCluster {
    pub(super) fn new(
        address: &Address,
        setup: &RegistrySetup,
        resolver: &Arc<Resolver>,
        ttl: Arc<AtomicU64>,
    ) -> Result<EtcdCluster> {
        let secure = address.scheme == "etcd+tls";
        let server = |host| GrpcServer::new(host, address.scheme, secure, setup, resolver.clone());
        Ok(EtcdCluster {
            servers: address.hosts.iter().map(server).collect::<Result<_>>()?,
            user: address.user.clone(),
            timeout: setup.timeout,
            ttl,
            current: tokio::sync::Mutex::default(),
        })
    }

    /// The address of this machine on the route to the cluster.
    pub(super) fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<std::net::IpAddr> {
        self.servers.iter().find_map(|server| server.local_ip(wait))
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The timeout for requests that keep a registration alive: much less than its TTL.
    fn heartbeat_timeout(&self) -> Duration {
        self.timeout.min(Duration::from_millis(self.ttl.load(Ordering::Relaxed)) / 6)
    }

    /// The current connection. Without one, connects to the first member that answers.
    pub(super) async fn connection(&self) -> Result<EtcdConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok(connection.clone());
        }
        let mut outcome = Err(Error::new(Kind::Internal, "no member"));
        for _ in &self.servers {
            let server = &self.servers[current.turn % self.servers.len()];
            outcome = self.connect(server, current.number + 1).await;
            match &outcome {
                Err(error) if is_outage(error) => current.turn += 1,
                _ => break,
            }
        }
        let connection = outcome?;
        current.number = connection.number;
        current.connection = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(&self, server: &GrpcServer, number: u64) -> Result<EtcdConnection> {
        let grpc = server.connect(KEEP_ALIVE).await?;
        let token = match &self.user {
            Some(user) => self.authenticate(&grpc, user).await?,
            None => None,
        };
        Ok(EtcdConnection { grpc, token, number })
    }

    /// Logs in. Returns the token; `None` if the cluster does not use authentication.
    async fn authenticate(
        &self,
        grpc: &GrpcConnection,
        user: &Credentials,
    ) -> Result<Option<AsciiMetadataValue>> {
        let request = AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
        let mut client = AuthClient::new(grpc.channel.clone());
        match grpc.request(self.timeout, client.authenticate(request)).await {
            Ok(response) => response.token.parse().map(Some).map_err(|_| {
                Error::new(Kind::Protocol, format!("{} returned an invalid token", grpc.label()))
            }),
            Err(error) if error.message().contains("authentication is not enabled") => {
                tracing::debug!(
                    member = grpc.label(),
                    "a user and a password are given, but authentication is not enabled"
                );
                Ok(None)
            }
            Err(error) if error.kind() == Kind::InvalidArgument => {
                let message = format!("{}: invalid user or password", grpc.label());
                Err(Error::new(Kind::Unauthenticated, message))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a request. It is sent to the next member if one fails, and again after a new login if the token is invalid.
    pub(super) async fn request<T, F>(&self, send: impl Fn(EtcdConnection) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        self.request_with_timeout(self.timeout, send).await
    }

    /// Like `request`, for requests that keep a registration alive.
    pub(super) async fn request_within_ttl<T, F>(&self, send: impl Fn(EtcdConnection) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        self.request_with_timeout(self.heartbeat_timeout(), send).await
    }

    async fn request_with_timeout<T, F>(
        &self,
        limit: Duration,
        send: impl Fn(EtcdConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        let mut logins = 1;
        let mut tries = self.servers.len().max(2);
        loop {
            tries -= 1;
            let connection = self.connection().await?;
            let error = match connection.grpc.request(limit, send(connection.clone())).await {
                Ok(response) => return Ok(response),
                Err(error) => connection.refine_error(error),
            };
            if is_outage(&error) {
                self.connection_failed(&connection).await;
                // A timeout has used up the available time.
                if tries > 0 && (error.kind() != Kind::Timeout || self.servers.len() > 1) {
                    continue;
                }
            } else if error.kind() == Kind::Unauthenticated && self.user.is_some() && logins > 0 {
                logins -= 1;
                tries += 1;
                self.force_login(&connection).await;
                continue;
            }
            return Err(error);
        }
    }

    /// Drops this connection after a failure; the next one goes to the next member.
    pub(super) async fn connection_failed(&self, connection: &EtcdConnection) {
        let mut current = self.current.lock().await;
        if current.connection.as_ref().is_some_and(|known| known.number == connection.number) {
            current.connection = None;
            current.turn += 1;
        }
    }

    /// Drops this connection; the next one goes to the same member and logs in again.
    pub(super) async fn force_login(&self, connection: &EtcdConnection) {
        let mut current = self.current.lock().await;
        if current.connection.as_ref().is_some_and(|known| known.number == connection.number) {
            current.connection = None;
        }
    }
}

impl EtcdConnection {
    /// A request with the token. Only a member with a leader may answer it.
    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("hasleader", AsciiMetadataValue::from_static("true"));
        if let Some(token) = &self.token {
            metadata.insert("token", token.clone());
        }
        request
    }

    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.grpc.channel.clone()).max_decoding_message_size(MAX_BYTES)
    }

    pub(super) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.grpc.channel.clone())
    }

    pub(super) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.grpc.channel.clone()).max_decoding_message_size(MAX_BYTES)
    }

    /// For messages.
    pub(super) fn label(&self) -> &str {
        self.grpc.label()
    }

    /// The error for the status of a stream.
    pub(super) fn error_for(&self, status: &Status) -> Error {
        self.refine_error(self.grpc.error_for(status))
    }

    /// Refines an error: etcd uses one status code for invalid requests and for missing credentials.
    fn refine_error(&self, error: Error) -> Error {
        let says = |text| error.message().contains(text);
        if says("user name is empty") {
            let message =
                format!("{} requires authentication: add user:password@ to the address", self.label());
            return Error::new(Kind::Unauthenticated, message);
        }
        if says("auth revision") || says("revision of auth store is old") || says("invalid auth token") {
            return Error::new(Kind::Unauthenticated, error.message());
        }
        error
    }
}
