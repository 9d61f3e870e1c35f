//! The one connection: to which member of the cluster, as which user.

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
use crate::registry::address::User;
use crate::registry::grpc::{Door, Line};
use crate::registry::resolve::Resolver;
use crate::registry::web::is_away;
use crate::registry::{Address, Setup, Wait};

/// A silence this long is ended by a ping, and one as long after it by us.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Lists of services can be long.
const MOST_BYTES: usize = 64 << 20;

/// The members of the cluster, and the connection to one of them.
pub(super) struct Lines {
    doors: Vec<Door>,
    user: Option<User>,
    timeout: Duration,
    ttl: Arc<AtomicU64>,
    present: tokio::sync::Mutex<Present>,
}

#[derive(Default)]
struct Present {
    connected: Option<Connected>,
    /// Which member is tried next.
    turn: usize,
    /// Counts connections.
    number: u64,
}

/// A connection, as whoever we are there.
#[derive(Clone)]
pub(super) struct Connected {
    line: Line,
    token: Option<AsciiMetadataValue>,
    number: u64,
}

impl Lines {
    pub(super) fn new(
        address: &Address,
        setup: &Setup,
        names: &Arc<Resolver>,
        ttl: Arc<AtomicU64>,
    ) -> Result<Lines> {
        let secure = address.scheme == "etcd+tls";
        let door = |host| Door::new(host, address.scheme, secure, setup, names.clone());
        Ok(Lines {
            doors: address.hosts.iter().map(door).collect::<Result<_>>()?,
            user: address.user.clone(),
            timeout: setup.timeout,
            ttl,
            present: tokio::sync::Mutex::default(),
        })
    }

    /// This machine's address on the way to the cluster.
    pub(super) fn local_ip(&self, wait: &Wait<'_>) -> Option<std::net::IpAddr> {
        self.doors.iter().find_map(|door| door.local_ip(wait))
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same for one that keeps something registered: far less than that lasts.
    fn beat_timeout(&self) -> Duration {
        self.timeout.min(Duration::from_millis(self.ttl.load(Ordering::Relaxed)) / 6)
    }

    /// The connection; opened where there is none, to the first member that answers.
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
                Err(error) if is_away(error) => present.turn += 1,
                _ => break,
            }
        }
        let connected = outcome?;
        present.number = connected.number;
        present.connected = Some(connected.clone());
        Ok(connected)
    }

    async fn connect(&self, door: &Door, number: u64) -> Result<Connected> {
        let line = door.connect(KEEP_ALIVE).await?;
        let token = match &self.user {
            Some(user) => self.authenticate(&line, user).await?,
            None => None,
        };
        Ok(Connected { line, token, number })
    }

    /// The token of a user; none where nobody needs one.
    async fn authenticate(&self, line: &Line, user: &User) -> Result<Option<AsciiMetadataValue>> {
        let request = AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
        let mut client = AuthClient::new(line.channel.clone());
        match line.ask(self.timeout, client.authenticate(request)).await {
            Ok(answer) => answer.token.parse().map(Some).map_err(|_| {
                Error::new(Kind::Protocol, format!("{} gave a token that is none", line.label()))
            }),
            Err(error) if error.message().contains("authentication is not enabled") => {
                tracing::debug!(
                    member = line.label(),
                    "a user and a password are given, but nobody asks for them"
                );
                Ok(None)
            }
            Err(error) if error.kind() == Kind::InvalidArgument => {
                let message = format!("{} does not accept this user and password", line.label());
                Err(Error::new(Kind::Unauthenticated, message))
            }
            Err(error) => Err(error),
        }
    }

    /// One request, one answer; from another member where one is away, and after logging in again where the token
    /// is no longer good.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(Connected) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<Response<T>, Status>>,
    {
        self.ask_within(self.timeout, question).await
    }

    /// The same for what keeps something registered.
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
            let error = match connected.line.ask(limit, question(connected.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => connected.explained(error),
            };
            if is_away(&error) {
                self.broken(&connected).await;
                // One that does not answer in time has cost the time there was.
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

    /// This connection is no good any more; the next one goes to the next member.
    pub(super) async fn broken(&self, connected: &Connected) {
        let mut present = self.present.lock().await;
        if present.connected.as_ref().is_some_and(|known| known.number == connected.number) {
            present.connected = None;
            present.turn += 1;
        }
    }

    /// Connects anew to the same member, which is how one logs in.
    pub(super) async fn log_in_again(&self, connected: &Connected) {
        let mut present = self.present.lock().await;
        if present.connected.as_ref().is_some_and(|known| known.number == connected.number) {
            present.connected = None;
        }
    }
}

impl Connected {
    /// A request that says who asks, and that only a member with a leader may answer.
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

    /// What a refusal of a stream means.
    pub(super) fn failed(&self, status: &Status) -> Error {
        self.explained(self.line.failed(status))
    }

    /// etcd says with one code that a request is wrong and that it does not know who asks.
    fn explained(&self, error: Error) -> Error {
        let says = |text| error.message().contains(text);
        if says("user name is empty") {
            let message =
                format!("{} wants to know who asks: give user:password@ in the address", self.label());
            return Error::new(Kind::Unauthenticated, message);
        }
        if says("auth revision") || says("revision of auth store is old") || says("invalid auth token") {
            return Error::new(Kind::Unauthenticated, error.message());
        }
        error
    }
}
