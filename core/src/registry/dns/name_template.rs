//! The DNS name of a service: `{service}.ns.svc.cluster.local:8080`.

use hickory_proto::rr::Name;

use crate::error::{Error, Result};

const PLACEHOLDER: &str = "{service}";
/// The longest label in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// The template of an address for the names of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameTemplate {
    /// Contains `{service}` in place of the service name. Without it, all services have the same DNS name.
    text: String,
    /// The port of every endpoint; `None` if SRV records contain the ports.
    pub(super) port: Option<u16>,
    example: &'static str,
}

/// The DNS name of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueryName {
    pub(super) name: Name,
    /// Whether it ended with a dot: then no search domain is appended.
    pub(super) is_absolute: bool,
}

impl NameTemplate {
    /// Parses the path of an address, with its leading slash. `has_port`: whether it must end with a port.
    pub(super) fn new(scheme: &str, path: &str, has_port: bool) -> Result<NameTemplate> {
        let example = if has_port {
            "dns:///{service}.default.svc.cluster.local:8080"
        } else {
            "dns+srv:///_http._tcp.{service}.example"
        };
        let refuse = |what: String| {
            Error::invalid(format!("the {scheme}:// address {what}; write for example {example}"))
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let (text, port) = match path.rsplit_once(':') {
            None if has_port => return Err(refuse(format!("has no port after the name {path:?}"))),
            None => (path, None),
            Some(_) if !has_port => {
                return Err(refuse(format!("has a port in {path:?}: SRV records contain the ports")));
            }
            Some((text, port)) => {
                let number = port.parse().ok().filter(|port| *port != 0);
                (
                    text,
                    Some(number.ok_or_else(|| {
                        refuse(format!("has the port {port:?}: the port must be a number from 1 to 65535"))
                    })?),
                )
            }
        };
        if text.trim_end_matches('.').parse::<std::net::IpAddr>().is_ok() {
            return Err(refuse(format!(
                "has the IP address {text:?} instead of a name: use static:// for IP addresses"
            )));
        }
        let template = NameTemplate { text: text.to_owned(), port, example };
        let sample = template.text.replace(PLACEHOLDER, "service");
        if let Some(open) = sample.find(['{', '}']) {
            return Err(refuse(format!(
                "has {:?} in its name: {PLACEHOLDER} is the only placeholder",
                &sample[open..]
            )));
        }
        read(&sample).map_err(|what| refuse(format!("has the name {text:?}: {what}")))?;
        Ok(template)
    }

    /// The DNS name of a service; an error if it is not valid.
    pub(super) fn query_name(&self, service: &str) -> Result<QueryName> {
        let own = |what| Error::invalid(format!("the service name {service:?} is not valid in DNS: {what}"));
        if self.text.contains(PLACEHOLDER) && (service.starts_with('.') || service.ends_with('.')) {
            return Err(own("a label is empty".to_owned()));
        }
        read(&self.text.replace(PLACEHOLDER, service)).map_err(own)
    }

    /// The protocol that the first label names, as in `_https._tcp`; otherwise `http`.
    pub(super) fn protocol(&self) -> &'static str {
        let label = self.text.split('.').next().unwrap_or_default();
        let named = |known: &&str| label.strip_prefix('_') == Some(known);
        ["https", "grpc"].into_iter().find(named).unwrap_or("http")
    }
}

/// Parses a name. Non-ASCII names are converted to their ASCII form.
fn read(text: &str) -> std::result::Result<QueryName, String> {
    let (body, is_absolute) = match text.strip_suffix('.') {
        Some(body) => (body, true),
        None => (text, false),
    };
    for label in body.split('.') {
        if label.is_empty() {
            return Err("a label is empty".into());
        }
        if let Some(odd) = label.chars().find(|c| !is_allowed(*c)) {
            return Err(format!("{odd:?} is not allowed; use letters, digits, '-', '_' and '.'"));
        }
        if label.is_ascii() && label.len() > MAX_LABEL {
            return Err(format!("a label has {} bytes; the maximum is {MAX_LABEL}", label.len()));
        }
    }
    let parse = if body.is_ascii() { Name::from_ascii::<&str> } else { Name::from_utf8::<&str> };
    let mut name = parse(body).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(QueryName { name, is_absolute })
}

fn is_allowed(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '-' || c == '_' } else { c.is_alphanumeric() }
}

/// A name without its final dot. `None` if it contains characters that are not valid in a host name.
pub(super) fn host_name(name: &Name) -> Option<String> {
    let text = name.to_ascii();
    let host = text.trim_end_matches('.');
    let is_clean = !host.is_empty() && host.chars().all(|c| is_allowed(c) || c == '.');
    is_clean.then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn dns(path: &str) -> Result<NameTemplate> {
        NameTemplate::new("dns", path, true)
    }

    fn name_of(path: &str, service: &str) -> Result<String> {
        dns(path)?.query_name(service).map(|query_name| host_name(&query_name.name).unwrap())
    }

    #[test]
    fn service_name_replaces_the_placeholder() {
        let template = dns("/{service}.ns.svc.cluster.local:8080").unwrap();
        assert_eq!(template.port, Some(8080));
        assert_eq!(
            host_name(&template.query_name("orders").unwrap().name).unwrap(),
            "orders.ns.svc.cluster.local"
        );
        assert!(!template.query_name("orders").unwrap().is_absolute);
        assert!(dns("/{service}.example.:80").unwrap().query_name("orders").unwrap().is_absolute);
        assert_eq!(name_of("/{service}.svc:80", "orders.prod").unwrap(), "orders.prod.svc");
        assert_eq!(name_of("/{service}-{service}.svc:80", "a").unwrap(), "a-a.svc");
        assert_eq!(name_of("/fixed.example:80", "anything at all").unwrap(), "fixed.example");
    }

    #[test]
    fn converts_non_ascii_names_to_their_ascii_form() {
        assert_eq!(name_of("/{service}.example:80", "bücher").unwrap(), "xn--bcher-kva.example");
        let srv = NameTemplate::new("dns+srv", "/_http._tcp.{service}.example", false).unwrap();
        assert_eq!(
            host_name(&srv.query_name("订单").unwrap().name).unwrap(),
            "_http._tcp.xn--4kr132k.example"
        );
    }

    #[test]
    fn rejects_invalid_service_names_with_the_reason() {
        let long = "x".repeat(64);
        for (service, says) in [
            ("", "a label is empty"),
            ("a..b", "a label is empty"),
            (".a", "a label is empty"),
            ("a.", "a label is empty"),
            ("a b", "' ' is not allowed"),
            ("a/b", "'/' is not allowed"),
            (long.as_str(), "64 bytes; the maximum is 63"),
        ] {
            let error = name_of("/{service}.example:80", service).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
        assert!(name_of("/{service}:80", &["abcdefg"; 40].join(".")).is_err());
    }

    #[test]
    fn names_the_mistake_in_a_template() {
        for (path, says) in [
            ("/{service}.example", "has no port"),
            ("/{service}.example:", "the port must be a number"),
            ("/{service}.example:http", "the port must be a number"),
            ("/{service}.example:0", "the port must be a number"),
            ("/{servce}.example:80", "{service} is the only placeholder"),
            ("/{service.example:80", "{service} is the only placeholder"),
            ("/:80", "a label is empty"),
            ("/a..b:80", "a label is empty"),
            ("/a/b:80", "'/' is not allowed"),
            ("/10.0.0.7:80", "use static:// for IP addresses"),
        ] {
            let error = dns(path).unwrap_err();
            assert!(error.message().contains(says), "{path}: {error}");
            assert!(error.message().contains("write for example dns:///"), "{error}");
        }
        let error = NameTemplate::new("dns+srv", "/_http._tcp.{service}.example:80", false).unwrap_err();
        assert!(error.message().contains("SRV records contain the ports"), "{error}");
    }

    #[test]
    fn first_label_may_name_the_protocol() {
        for (path, protocol) in [
            ("/_https._tcp.x", "https"),
            ("/_grpc._tcp.x", "grpc"),
            ("/_web._tcp.x", "http"),
            ("/https.x", "http"),
        ] {
            assert_eq!(NameTemplate::new("dns+srv", path, false).unwrap().protocol(), protocol);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn template_never_panics(path in ".{0,80}", service in ".{0,80}") {
            for has_port in [true, false] {
                if let Ok(template) = NameTemplate::new("dns", &path, has_port) {
                    let _ = template.query_name(&service);
                }
            }
            let _ = dns("/{service}.example:80").unwrap().query_name(&service);
        }
    }
}
