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
use crate::registry::address::User;
use crate::registry::grpc::{GrpcConnection, GrpcServer};
use crate::registry::http_host::is_outage;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::WaitLimit;

/// A ping is sent after this long without traffic. The connection is broken if there is no response for as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The largest response. Lists of services can be long.
const MOST_BYTES: usize = 64 << 20;

/// The members of the cluster, and the connection to one of them.
pub(super) struct Lines {
    doors: Vec<GrpcServer>,
    user: Option<User>,
    timeout: Duration,
    ttl: Arc<AtomicU64>,
    present: tokio::sync::Mutex<Present>,
}

#[derive(Default)]
struct Present {
    connected: Option<Connected>,
    /// The index of the member that is tried next.
    turn: usize,
    /// The number of the last connection.
    number: u64,
}

/// A connection with the token of its login.
#[derive(Clone)]
pub(super) struct Connected {
    line: GrpcConnection,
    token: Option<AsciiMetadataValue>,
    number: u64,
}

impl Lines {
    pub(super) fn new(
        address: &Address,
        setup: &RegistrySetup,
        names: &Arc<Resolver>,
        ttl: Arc<AtomicU64>,
    ) -> Result<Lines> {
        let secure = address.scheme == "etcd+tls";
        let door = |host| GrpcServer::new(host, address.scheme, secure, setup, names.clone());
        Ok(Lines {
            doors: address.hosts.iter().map(door).collect::<Result<_>>()?,
            user: address.user.clone(),
            timeout: setup.timeout,
            ttl,
            present: tokio::sync::Mutex::default(),
        })
    }

    /// The address of this machine on the route to the cluster.
    pub(super) fn local_ip(&self, wait: &WaitLimit<'_>) -> Option<std::net::IpAddr> {
        self.doors.iter().find_map(|door| door.local_ip(wait))
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The timeout for requests that keep a registration alive: much less than its TTL.
    fn beat_timeout(&self) -> Duration {
        self.timeout.min(Duration::from_millis(self.ttl.load(Ordering::Relaxed)) / 6)
    }

    /// The current connection. Without one, connects to the first member that answers.
    pub(super) async fn connected(&self) -> Result<Connected> {
        let mut present = self.present.lock().await;
        if let Some(connected) = &present.connected {
            return Ok(connected.clone());
        }
        let mut outcome = Err(Error::new(Kind::Internal, "no member"));
        for _ in &self.doors {
            let door = &self.doors[present.turn % self.doors.len()];
            outcome = self.connect(door, present.number + 1).await;
            match &outcome {
                Err(error) if is_outage(error) => present.turn += 1,
                _ => break,
            }
        }
        let connected = outcome?;
        present.number = connected.number;
        present.connected = Some(connected.clone());
        Ok(connected)
    }

    async fn connect(&self, door: &GrpcServer, number: u64) -> Result<Connected> {
        let line = door.connect(KEEP_ALIVE).await?;
        let token = match &self.user {
            Some(user) => self.authenticate(&line, user).await?,
            None => None,
        };
        Ok(Connected { line, token, number })
    }

    /// Logs in. Returns the token; `None` if the cluster does not use authentication.
    async fn authenticate(&self, line: &GrpcConnection, user: &User) -> Result<Option<AsciiMetadataValue>> {
        let request = AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
        let mut client = AuthClient::new(line.channel.clone());
        match line.request(self.timeout, client.authenticate(request)).await {
            Ok(answer) => answer.token.parse().map(Some).map_err(|_| {
                Error::new(Kind::Protocol, format!("{} returned an invalid token", line.label()))
            }),
            Err(error) if error.message().contains("authentication is not enabled") => {
                tracing::debug!(
                    member = line.label(),
                    "a user and a password are given, but authentication is not enabled"
                );
                Ok(None)
            }
            Err(error) if error.kind() == Kind::InvalidArgument => {
                let message = format!("{}: invalid user or password", line.label());
                Err(Error::new(Kind::Unauthenticated, message))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a request. It is sent to the next member if one fails, and again after a new login if the token is invalid.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(Connected) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        self.ask_within(self.timeout, question).await
    }

    /// Like `request`, for requests that keep a registration alive.
    pub(super) async fn ask_in_time<T, F>(&self, question: impl Fn(Connected) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        self.ask_within(self.beat_timeout(), question).await
    }

    async fn ask_within<T, F>(&self, limit: Duration, question: impl Fn(Connected) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        let mut logins = 1;
        let mut tries = self.doors.len().max(2);
        loop {
            tries -= 1;
            let connected = self.connected().await?;
            let error = match connected.line.request(limit, question(connected.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => connected.explained(error),
            };
            if is_outage(&error) {
                self.broken(&connected).await;
                // A timeout has used up the available time.
                if tries > 0 && (error.kind() != Kind::Timeout || self.doors.len() > 1) {
                    continue;
                }
            } else if error.kind() == Kind::Unauthenticated && self.user.is_some() && logins > 0 {
                logins -= 1;
                tries += 1;
                self.log_in_again(&connected).await;
                continue;
            }
            return Err(error);
        }
    }

    /// Drops this connection after a failure; the next one goes to the next member.
    pub(super) async fn broken(&self, connected: &Connected) {
        let mut present = self.present.lock().await;
        if present.connected.as_ref().is_some_and(|known| known.number == connected.number) {
            present.connected = None;
            present.turn += 1;
        }
    }

    /// Drops this connection; the next one goes to the same member and logs in again.
    pub(super) async fn log_in_again(&self, connected: &Connected) {
        let mut present = self.present.lock().await;
        if present.connected.as_ref().is_some_and(|known| known.number == connected.number) {
            present.connected = None;
        }
    }
}

impl Connected {
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
        KvClient::new(self.line.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(super) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.line.channel.clone())
    }

    pub(super) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.line.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    /// For messages.
    pub(super) fn label(&self) -> &str {
        self.line.label()
    }

    /// The error for the status of a stream.
    pub(super) fn failed(&self, status: &Status) -> Error {
        self.explained(self.line.error_for(status))
    }

    /// Refines an error: etcd uses one status code for invalid requests and for missing credentials.
    fn explained(&self, error: Error) -> Error {
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
