//! Prepares a request for the wire: its headers, and the agent of its endpoint.

use std::sync::Arc;

use arc_swap::Guard;

use super::Request;
use super::hooks::Outgoing;
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::membership::{Connections, Member};
use crate::model::Endpoint;
use crate::transport::{Agent, Options, Target, tls};

/// Sent unless the request or the configuration says otherwise.
const DEFAULTS: [(&str, &str); 3] = [
    ("User-Agent", concat!("plumline/", env!("CARGO_PKG_VERSION"))),
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip"),
];

/// The headers of a request, borrowed from the request and the settings.
pub(super) struct Prepared<'a> {
    /// All headers except Host and Content-Length.
    pub(super) headers: Vec<(&'a str, &'a str)>,
    /// The Host header, if it is not the endpoint's.
    pub(super) host: Option<&'a str>,
}

impl<'a> Prepared<'a> {
    /// The request's own headers, then the configured ones it does not set, then the defaults.
    pub(super) fn new(request: &'a Request, settings: &'a Settings) -> Prepared<'a> {
        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(request.headers.len() + 4);
        headers.extend(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let own = headers.len();
        if let Some(content_type) = request.content_type {
            add_unless_set(&mut headers, own, "Content-Type", content_type);
        }
        let own = headers.len();
        for (name, value) in &settings.headers {
            add_unless_set(&mut headers, own, name, value);
        }
        let said = headers.len();
        for (name, value) in DEFAULTS {
            add_unless_set(&mut headers, said, name, value);
        }
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let host = headers.iter().find(|(name, _)| is_host(name)).map(|(_, value)| *value);
        // Servers must refuse a request with two Host headers: only the first is sent.
        headers.retain(|(name, _)| !is_host(name));
        let host = host.or(settings.host_header.as_deref());
        Prepared { headers, host }
    }

    /// An owned copy for hooks and transports.
    pub(super) fn to_outgoing(&self, request: &Request, attempt: u32) -> Outgoing {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Outgoing {
            method: request.method.to_string(),
            service: request.query.service.clone(),
            path: request.path.clone(),
            headers: self.headers.iter().map(owned).collect(),
            body: request.body.clone(),
            attempt,
        }
    }
}

/// Adds a header unless one of the first `said` has its name.
fn add_unless_set<'a>(headers: &mut Vec<(&'a str, &'a str)>, said: usize, name: &'a str, value: &'a str) {
    if !headers[..said].iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
        headers.push((name, value));
    }
}

/// The holder of an endpoint's agent: created on first use, dropped with the endpoint.
pub(super) fn connections_of(
    member: &Member,
    settings: &Settings,
) -> Result<Guard<Option<Arc<Connections>>>> {
    let connections = &member.state.connections;
    let kept = connections.load();
    if kept.is_some() {
        return Ok(kept);
    }
    let made = Arc::new(Connections(Box::new(new_agent(&member.endpoint, settings)?)));
    // If two threads create one at the same time, the first is kept.
    connections.compare_and_swap(&None::<Arc<Connections>>, Some(made));
    Ok(connections.load())
}

/// The agent in its holder.
pub(super) fn agent_of(connections: Option<&Arc<Connections>>) -> Result<&Agent> {
    connections
        .and_then(|kept| kept.0.downcast_ref())
        .ok_or_else(|| Error::new(Kind::Internal, "an endpoint holds connections of another transport"))
}

fn new_agent(endpoint: &Endpoint, settings: &Settings) -> Result<Agent> {
    let tls = match endpoint.protocol.as_str() {
        "https" => Some(tls::Name::new(server_name(endpoint, settings), &settings.tls)?),
        _ => None,
    };
    let target = Target { address: endpoint.socket_addr(), host: host_header(endpoint), tls };
    Ok(Agent::new(target, Options { connect_timeout: settings.connect_timeout }))
}

/// The name that the certificate is verified against: the setting, else the endpoint's label, else its host.
fn server_name<'a>(endpoint: &'a Endpoint, settings: &'a Settings) -> &'a str {
    let label = || endpoint.labels.get("tls_server_name").map(String::as_str);
    settings.tls.server_name.as_deref().or_else(label).unwrap_or(&endpoint.host)
}

/// The endpoint's host, with its port unless it is the default of the protocol.
fn host_header(endpoint: &Endpoint) -> String {
    let host = match endpoint.host.parse() {
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => endpoint.host.clone(),
    };
    match (endpoint.protocol.as_str(), endpoint.port) {
        ("http", 80) | ("https", 443) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let headers = [("accept".into(), "text/plain".into()), ("X-Team".into(), "blue".into())];
        Settings { headers: headers.into_iter().collect(), ..Settings::default() }
    }

    #[test]
    fn request_headers_override_settings_and_settings_defaults() {
        let (request, settings) =
            (Request::get("s", "/").header("x-team", "red").header("x-team", "green"), settings());
        let prepared = Prepared::new(&request, &settings);
        let all = |name: &str| {
            prepared
                .headers
                .iter()
                .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| *value)
                .collect::<Vec<_>>()
        };
        assert_eq!(all("x-team"), ["red", "green"]);
        assert_eq!(all("accept"), ["text/plain"]);
        assert_eq!(all("accept-encoding"), ["gzip"]);
    }

    #[test]
    fn host_header_defaults_to_the_endpoint() {
        let request = Request::get("s", "/").header("Host", "shop.example").header("host", "other");
        let settings = settings();
        let prepared = Prepared::new(&request, &settings);
        assert_eq!(prepared.host, Some("shop.example"));
        assert!(!prepared.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")));
        let endpoint = |ip: &str, port| Endpoint::new("s", ip.parse().unwrap(), port);
        assert_eq!(host_header(&endpoint("::1", 8080)), "[::1]:8080");
        assert_eq!(host_header(&endpoint("10.0.0.1", 80)), "10.0.0.1");
    }
}
