//! The HTTP part that Plum, Consul and Nacos share: a host, the requests to it, and the meaning of its responses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::registry::address::HostPort;
use crate::registry::resolver::Resolver;
use crate::registry::setup::RegistrySetup;
use crate::registry::types::WaitLimit;
use crate::transport::longpoll::LongPoll;
use crate::transport::{Agent, Answer, Exchange, Failure, Limits, Options, Target, tls};

/// The largest response body. Lists of services can be long.
pub(super) const MAX_BODY: u64 = 64 << 20;

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a path segment or a value of a query string.
pub(super) fn escape(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// Deserializes a JSON body.
pub(super) fn read<'a, T: Deserialize<'a>>(response: &'a Answer, sender: &str) -> Result<T> {
    serde_json::from_slice(&response.body)
        .map_err(|error| Error::new(Kind::Protocol, format!("{sender} sent invalid JSON: {error}")))
}

/// Serializes a JSON body.
pub(super) fn write(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

/// A request to a registry.
pub(super) struct HttpRequest<'a> {
    method: &'a str,
    path: &'a str,
    body: Option<&'a [u8]>,
    content_type: &'static str,
}

const JSON: &str = "application/json";

impl<'a> HttpRequest<'a> {
    pub(super) const fn get(path: &'a str) -> HttpRequest<'a> {
        HttpRequest { method: "GET", path, body: None, content_type: JSON }
    }

    pub(super) const fn post(path: &'a str, body: &'a [u8]) -> HttpRequest<'a> {
        HttpRequest { method: "POST", path, body: Some(body), content_type: JSON }
    }

    /// A POST request with a form as its body.
    #[cfg(feature = "nacos")]
    pub(super) const fn form(path: &'a str, body: &'a [u8]) -> HttpRequest<'a> {
        let content_type = "application/x-www-form-urlencoded";
        HttpRequest { method: "POST", path, body: Some(body), content_type }
    }

    pub(super) const fn put(path: &'a str, body: &'a [u8]) -> HttpRequest<'a> {
        HttpRequest { method: "PUT", path, body: Some(body), content_type: JSON }
    }

    pub(super) const fn delete(path: &'a str) -> HttpRequest<'a> {
        HttpRequest { method: "DELETE", path, body: None, content_type: JSON }
    }

    /// Passes the request with all its headers to `then`.
    pub(super) fn send_with<T>(
        &self,
        credentials: Option<(&str, &str)>,
        then: impl FnOnce(&Exchange<'_>) -> T,
    ) -> T {
        let content = self.body.map(|_| ("Content-Type", self.content_type));
        let headers: Vec<(&str, &str)> = content.into_iter().chain(credentials).collect();
        let (method, path, body) = (self.method, self.path, self.body);
        // All requests to registries are idempotent.
        then(&Exchange { method, path, host: None, headers: &headers, body, repeatable: true })
    }
}

/// One host of a registry that speaks HTTP.
pub(super) struct HttpHost {
    pub(super) name: HostPort,
    /// `plum`, `consul+tls`, …; for messages.
    scheme: &'static str,
    tls: Option<tls::Name>,
    connect_timeout: Duration,
    agent: Mutex<Option<(IpAddr, Arc<Agent>)>>,
    /// Which address of the host name is tried next. Every failure advances it.
    next_address: AtomicUsize,
}

impl HttpHost {
    /// A host, reached over TLS if `secure`. Fails only if the TLS settings are invalid.
    pub(super) fn new(
        name: &HostPort,
        scheme: &'static str,
        secure: bool,
        setup: &RegistrySetup,
    ) -> Result<HttpHost> {
        let verified = setup.tls.server_name.as_deref().unwrap_or(&name.host);
        let tls = secure.then(|| tls::Name::new(verified, &setup.tls)).transpose()?;
        let connect_timeout = setup.connect_timeout;
        let (agent, next_address) = (Mutex::default(), AtomicUsize::new(0));
        Ok(HttpHost { name: name.clone(), scheme, tls, connect_timeout, agent, next_address })
    }

    /// The name of the host in messages.
    pub(super) fn label(&self) -> String {
        format!("{}://{}", self.scheme, self.name)
    }

    /// Sends one request and returns the response, whatever its status.
    pub(super) fn exchange(
        &self,
        request: &HttpRequest<'_>,
        credentials: Option<(&str, &str)>,
        resolver: &Resolver,
        wait: &WaitLimit<'_>,
    ) -> Result<Answer> {
        wait.remaining()?;
        let agent = self.agent(resolver, wait)?;
        let limits = Limits { deadline: wait.deadline, max_body: MAX_BODY, interrupt: wait.interrupt };
        request
            .send_with(credentials, |exchange| agent.exchange(exchange, &limits))
            .map_err(|failure| self.error_for(failure))
    }

    /// Opens a connection for a long poll.
    pub(super) fn connect(&self, resolver: &Resolver, wait: &WaitLimit<'_>) -> Result<LongPoll> {
        let limits = Limits { deadline: wait.deadline, max_body: MAX_BODY, interrupt: wait.interrupt };
        let target = self.target(resolver, wait)?;
        LongPoll::open(&target, self.connect_timeout, &limits).map_err(|failure| self.error_for(failure))
    }

    /// The address of this machine on the route to the host.
    pub(super) fn local_ip(&self, resolver: &Resolver, wait: &WaitLimit<'_>) -> Option<IpAddr> {
        resolver.local_ip_towards(&self.name, wait)
    }

    /// The error for a request without a response. The next request goes to the next address of the host name.
    pub(super) fn error_for(&self, failure: Failure) -> Error {
        if let Failure::Interrupted(error) = failure {
            return error;
        }
        self.next_address.fetch_add(1, Ordering::Relaxed);
        Error::new(failure.kind(), format!("{}: {failure}", self.label()))
    }

    /// The error for an unexpected status, with the first 200 bytes of the body.
    pub(super) fn status_error(&self, response: &Answer) -> Error {
        let kind = match response.status {
            401 => Kind::Unauthenticated,
            403 => Kind::PermissionDenied,
            408 | 429 | 500..=599 => Kind::Unavailable,
            _ => Kind::Protocol,
        };
        let text = String::from_utf8_lossy(&response.body[..response.body.len().min(200)]);
        let why = text.trim();
        let colon = if why.is_empty() { "" } else { ": " };
        Error::new(kind, format!("{} answered {}{colon}{why}", self.label(), response.status))
    }

    fn target(&self, resolver: &Resolver, wait: &WaitLimit<'_>) -> Result<Target> {
        let addresses = resolver.resolve(&self.name.host, wait)?;
        let Some(ip) = addresses.get(self.next_address.load(Ordering::Relaxed) % addresses.len().max(1))
        else {
            return Err(Error::new(Kind::Unavailable, format!("{} has no address", self.name.host)));
        };
        let address = (*ip, self.name.port).into();
        Ok(Target { address, host: self.name.to_string(), tls: self.tls.clone() })
    }

    fn agent(&self, resolver: &Resolver, wait: &WaitLimit<'_>) -> Result<Arc<Agent>> {
        let target = self.target(resolver, wait)?;
        let ip = target.address.ip();
        let mut current = self.agent.lock();
        match &*current {
            Some((address, agent)) if *address == ip => Ok(agent.clone()),
            _ => {
                let agent = Arc::new(Agent::new(target, Options { connect_timeout: self.connect_timeout }));
                *current = Some((ip, agent.clone()));
                Ok(agent)
            }
        }
    }
}

/// Whether an error says that the server failed, so that another server may succeed.
pub(super) fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::Timeout | Kind::Protocol)
}
