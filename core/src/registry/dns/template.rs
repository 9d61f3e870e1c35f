//! The name that a service has in DNS: `{service}.ns.svc.cluster.local:8080`.

use hickory_proto::rr::Name;

use crate::error::{Error, Result};

const PLACE: &str = "{service}";
/// Bytes between two dots (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// What an address says of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// With `{service}` where the service's name belongs, or without: then every service has this name.
    text: String,
    /// The port of every endpoint; `None` where the records of the service say it.
    pub(super) port: Option<u16>,
    example: &'static str,
}

/// A name to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: Name,
    /// Whether it ended with a dot: then no search domain is put behind it.
    pub(super) is_absolute: bool,
}

impl Template {
    /// Reads the path of an address, with its first slash. `has_port`: whether a port belongs at its end.
    pub(super) fn new(scheme: &str, path: &str, has_port: bool) -> Result<Template> {
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
            None if has_port => return Err(refuse(format!("has no port behind the name {path:?}"))),
            None => (path, None),
            Some(_) if !has_port => {
                return Err(refuse(format!(
                    "has a port in {path:?}: the records of the service say the ports"
                )));
            }
            Some((text, port)) => {
                let number = port.parse().ok().filter(|port| *port != 0);
                (text, Some(number.ok_or_else(|| refuse(format!("has the port {port:?}, which is none")))?))
            }
        };
        if text.trim_end_matches('.').parse::<std::net::IpAddr>().is_ok() {
            return Err(refuse(format!("has the address {text:?} for a name: static:// takes addresses")));
        }
        let template = Template { text: text.to_owned(), port, example };
        let sample = template.text.replace(PLACE, "service");
        if let Some(open) = sample.find(['{', '}']) {
            return Err(refuse(format!("has {:?} in its name: only {PLACE} has a meaning", &sample[open..])));
        }
        read(&sample).map_err(|what| refuse(format!("has the name {text:?}: {what}")))?;
        Ok(template)
    }

    /// The name of a service; an error where that cannot stand in DNS.
    pub(super) fn wanted(&self, service: &str) -> Result<Wanted> {
        let own = |what| Error::invalid(format!("the service name {service:?} cannot stand in DNS: {what}"));
        if self.text.contains(PLACE) && (service.starts_with('.') || service.ends_with('.')) {
            return Err(own("a label is empty".to_owned()));
        }
        read(&self.text.replace(PLACE, service)).map_err(own)
    }

    /// The protocol that the first label names, as `_https._tcp` does; others stand for `http`.
    pub(super) fn protocol(&self) -> &'static str {
        let label = self.text.split('.').next().unwrap_or_default();
        let named = |known: &&str| label.strip_prefix('_') == Some(known);
        ["https", "grpc"].into_iter().find(named).unwrap_or("http")
    }
}

/// A name as it is written; names of other scripts in their ASCII form.
fn read(text: &str) -> std::result::Result<Wanted, String> {
    let (body, is_absolute) = match text.strip_suffix('.') {
        Some(body) => (body, true),
        None => (text, false),
    };
    for label in body.split('.') {
        if label.is_empty() {
            return Err("a label is empty".into());
        }
        if let Some(odd) = label.chars().find(|c| !is_allowed(*c)) {
            return Err(format!("{odd:?} is none of letters, digits, '-', '_' and '.'"));
        }
        if label.is_ascii() && label.len() > MAX_LABEL {
            return Err(format!("a label has {} bytes; {MAX_LABEL} are allowed", label.len()));
        }
    }
    let parse = if body.is_ascii() { Name::from_ascii::<&str> } else { Name::from_utf8::<&str> };
    let mut name = parse(body).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(Wanted { name, is_absolute })
}

fn is_allowed(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '-' || c == '_' } else { c.is_alphanumeric() }
}

/// A name as others write it: without the dot at its end. `None` where it holds what no host name does.
pub(super) fn host(name: &Name) -> Option<String> {
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

    fn dns(path: &str) -> Result<Template> {
        Template::new("dns", path, true)
    }

    fn name_of(path: &str, service: &str) -> Result<String> {
        dns(path)?.wanted(service).map(|wanted| host(&wanted.name).unwrap())
    }

    #[test]
    fn a_service_has_its_name_in_the_templates_place() {
        let template = dns("/{service}.ns.svc.cluster.local:8080").unwrap();
        assert_eq!(template.port, Some(8080));
        assert_eq!(host(&template.wanted("orders").unwrap().name).unwrap(), "orders.ns.svc.cluster.local");
        assert!(!template.wanted("orders").unwrap().is_absolute);
        assert!(dns("/{service}.example.:80").unwrap().wanted("orders").unwrap().is_absolute);
        assert_eq!(name_of("/{service}.svc:80", "orders.prod").unwrap(), "orders.prod.svc");
        assert_eq!(name_of("/{service}-{service}.svc:80", "a").unwrap(), "a-a.svc");
        assert_eq!(name_of("/fixed.example:80", "anything at all").unwrap(), "fixed.example");
    }

    #[test]
    fn other_scripts_are_asked_for_in_their_ascii_form() {
        assert_eq!(name_of("/{service}.example:80", "bücher").unwrap(), "xn--bcher-kva.example");
        let srv = Template::new("dns+srv", "/_http._tcp.{service}.example", false).unwrap();
        assert_eq!(host(&srv.wanted("订单").unwrap().name).unwrap(), "_http._tcp.xn--4kr132k.example");
    }

    #[test]
    fn a_name_that_cannot_stand_in_dns_is_refused_with_the_reason() {
        let long = "x".repeat(64);
        for (service, says) in [
            ("", "a label is empty"),
            ("a..b", "a label is empty"),
            (".a", "a label is empty"),
            ("a.", "a label is empty"),
            ("a b", "' ' is none of"),
            ("a/b", "'/' is none of"),
            (long.as_str(), "64 bytes; 63 are allowed"),
        ] {
            let error = name_of("/{service}.example:80", service).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
        assert!(name_of("/{service}:80", &["abcdefg"; 40].join(".")).is_err());
    }

    #[test]
    fn a_mistake_in_the_template_is_named_with_an_example() {
        for (path, says) in [
            ("/{service}.example", "has no port"),
            ("/{service}.example:", "which is none"),
            ("/{service}.example:http", "which is none"),
            ("/{service}.example:0", "which is none"),
            ("/{servce}.example:80", "only {service} has a meaning"),
            ("/{service.example:80", "only {service} has a meaning"),
            ("/:80", "a label is empty"),
            ("/a..b:80", "a label is empty"),
            ("/a/b:80", "'/' is none of"),
            ("/10.0.0.7:80", "static:// takes addresses"),
        ] {
            let error = dns(path).unwrap_err();
            assert!(error.message().contains(says), "{path}: {error}");
            assert!(error.message().contains("write for example dns:///"), "{error}");
        }
        let error = Template::new("dns+srv", "/_http._tcp.{service}.example:80", false).unwrap_err();
        assert!(error.message().contains("the records of the service say the ports"), "{error}");
    }

    #[test]
    fn the_first_label_may_name_the_protocol() {
        for (path, protocol) in [
            ("/_https._tcp.x", "https"),
            ("/_grpc._tcp.x", "grpc"),
            ("/_web._tcp.x", "http"),
            ("/https.x", "http"),
        ] {
            assert_eq!(Template::new("dns+srv", path, false).unwrap().protocol(), protocol);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn nothing_typed_panics(path in ".{0,80}", service in ".{0,80}") {
            for has_port in [true, false] {
                if let Ok(template) = Template::new("dns", &path, has_port) {
                    let _ = template.wanted(&service);
                }
            }
            let _ = dns("/{service}.example:80").unwrap().wanted(&service);
        }
    }
}
