//! What registries that speak HTTP share: one of their hosts, how it is reached, what its answers mean.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::address::HostPort;
use super::resolve::Resolver;
use super::{Setup, Wait};
use crate::error::{Error, Kind, Result};
use crate::transport::longpoll::LongPoll;
use crate::transport::{Agent, Answer, Exchange, Failure, Limits, Options, Target, tls};

/// Lists of services can be long.
pub(super) const MAX_BODY: u64 = 64 << 20;

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A step of a path or a value of a query string, whatever script it is in.
pub(super) fn escape(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// Reads a JSON body.
pub(super) fn read<'a, T: Deserialize<'a>>(answer: &'a Answer, whose: &str) -> Result<T> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        Error::new(Kind::Protocol, format!("{whose} sent JSON that is not as agreed: {error}"))
    })
}

/// Writes a JSON body.
pub(super) fn write(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

/// A request to a host.
pub(super) struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    body: Option<&'a [u8]>,
    content_type: &'static str,
}

const JSON: &str = "application/json";

impl<'a> Ask<'a> {
    pub(super) const fn get(path: &'a str) -> Ask<'a> {
        Ask { method: "GET", path, body: None, content_type: JSON }
    }

    pub(super) const fn post(path: &'a str, body: &'a [u8]) -> Ask<'a> {
        Ask { method: "POST", path, body: Some(body), content_type: JSON }
    }

    /// The body is a form.
    #[cfg(feature = "nacos")]
    pub(super) const fn form(path: &'a str, body: &'a [u8]) -> Ask<'a> {
        let content_type = "application/x-www-form-urlencoded";
        Ask { method: "POST", path, body: Some(body), content_type }
    }

    pub(super) const fn put(path: &'a str, body: &'a [u8]) -> Ask<'a> {
        Ask { method: "PUT", path, body: Some(body), content_type: JSON }
    }

    pub(super) const fn delete(path: &'a str) -> Ask<'a> {
        Ask { method: "DELETE", path, body: None, content_type: JSON }
    }

    /// Hands over the exchange with its headers.
    pub(super) fn with<T>(
        &self,
        credentials: Option<(&str, &str)>,
        then: impl FnOnce(&Exchange<'_>) -> T,
    ) -> T {
        let content = self.body.map(|_| ("Content-Type", self.content_type));
        let headers: Vec<(&str, &str)> = content.into_iter().chain(credentials).collect();
        let (method, path, body) = (self.method, self.path, self.body);
        // Every request of ours can be sent twice: the second does what the first did.
        then(&Exchange { method, path, host: None, headers: &headers, body, repeatable: true })
    }
}

/// One host of a registry.
pub(super) struct Host {
    pub(super) name: HostPort,
    /// `plum`, `consul+tls`, …, for messages.
    scheme: &'static str,
    tls: Option<tls::Name>,
    connect_timeout: Duration,
    agent: Mutex<Option<(IpAddr, Arc<Agent>)>>,
    /// Which of the name's addresses is tried; moved on by every failure.
    turn: AtomicUsize,
}

impl Host {
    /// A host, reached over TLS where `secure`. Fails only for what the settings of TLS say.
    pub(super) fn new(name: &HostPort, scheme: &'static str, secure: bool, setup: &Setup) -> Result<Host> {
        let verified = setup.tls.server_name.as_deref().unwrap_or(&name.host);
        let tls = secure.then(|| tls::Name::new(verified, &setup.tls)).transpose()?;
        let connect_timeout = setup.connect_timeout;
        let (agent, turn) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Host { name: name.clone(), scheme, tls, connect_timeout, agent, turn })
    }

    /// For messages.
    pub(super) fn label(&self) -> String {
        format!("{}://{}", self.scheme, self.name)
    }

    /// One request, one answer of whatever status.
    pub(super) fn exchange(
        &self,
        ask: &Ask<'_>,
        credentials: Option<(&str, &str)>,
        resolver: &Resolver,
        wait: &Wait<'_>,
    ) -> Result<Answer> {
        wait.left()?;
        let agent = self.agent(resolver, wait)?;
        let limits = Limits { deadline: wait.deadline, max_body: MAX_BODY, interrupt: wait.interrupt };
        ask.with(credentials, |exchange| agent.exchange(exchange, &limits))
            .map_err(|failure| self.failed(failure))
    }

    /// A connection for a question whose answer may take its time.
    pub(super) fn connect(&self, resolver: &Resolver, wait: &Wait<'_>) -> Result<LongPoll> {
        let limits = Limits { deadline: wait.deadline, max_body: MAX_BODY, interrupt: wait.interrupt };
        let target = self.target(resolver, wait)?;
        LongPoll::open(&target, self.connect_timeout, &limits).map_err(|failure| self.failed(failure))
    }

    /// This machine's address on the way to it.
    pub(super) fn local_ip(&self, resolver: &Resolver, wait: &Wait<'_>) -> Option<IpAddr> {
        resolver.local_ip_towards(&self.name, wait)
    }

    /// No answer came; the next try goes to the name's next address.
    pub(super) fn failed(&self, failure: Failure) -> Error {
        if let Failure::Interrupted(error) = failure {
            return error;
        }
        self.turn.fetch_add(1, Ordering::Relaxed);
        Error::new(failure.kind(), format!("{}: {failure}", self.label()))
    }

    /// What an answer of an unwelcome status means, with the beginning of what it says.
    pub(super) fn refusal(&self, answer: &Answer) -> Error {
        let kind = match answer.status {
            401 => Kind::Unauthenticated,
            403 => Kind::PermissionDenied,
            408 | 429 | 500..=599 => Kind::Unavailable,
            _ => Kind::Protocol,
        };
        let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
        let why = text.trim();
        let colon = if why.is_empty() { "" } else { ": " };
        Error::new(kind, format!("{} answered {}{colon}{why}", self.label(), answer.status))
    }

    fn target(&self, resolver: &Resolver, wait: &Wait<'_>) -> Result<Target> {
        let addresses = resolver.resolve(&self.name.host, wait)?;
        let Some(ip) = addresses.get(self.turn.load(Ordering::Relaxed) % addresses.len().max(1)) else {
            return Err(Error::new(Kind::Unavailable, format!("{} has no address", self.name.host)));
        };
        let address = (*ip, self.name.port).into();
        Ok(Target { address, host: self.name.to_string(), tls: self.tls.clone() })
    }

    fn agent(&self, resolver: &Resolver, wait: &Wait<'_>) -> Result<Arc<Agent>> {
        let target = self.target(resolver, wait)?;
        let ip = target.address.ip();
        let mut known = self.agent.lock();
        match &*known {
            Some((address, agent)) if *address == ip => Ok(agent.clone()),
            _ => {
                let agent = Arc::new(Agent::new(target, Options { connect_timeout: self.connect_timeout }));
                *known = Some((ip, agent.clone()));
                Ok(agent)
            }
        }
    }
}

/// Whether another host might answer where this one did not.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout | Kind::Protocol)
}
