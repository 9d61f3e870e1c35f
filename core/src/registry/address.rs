//! Parses the address of a registry: `scheme://[user:password@]host:port,…/path?name=value`.
//!
//! A mistake is an `InvalidArgument` that names the part and, if there is one, the nearest valid value. User names,
//! passwords and tokens are never shown: neither by `Debug` nor by [`Address::source`].

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::config::parse_duration;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::registry::scheme::{AddressScheme, HostsRule, PathRule, SCHEMES};

/// Parameters whose values are secret.
const SECRETS: [&str; 3] = ["token", "password", "secret"];

/// The parsed address of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `plum`, `memory`, `file`, …
    pub scheme: &'static str,
    /// The name in `memory://name`; otherwise empty.
    pub name: String,
    /// The user to log in as.
    pub user: Option<Credentials>,
    /// The hosts, in the order of the address.
    pub hosts: Vec<HostPort>,
    /// The path after the hosts, with its leading slash and without a trailing one; the default of the scheme, if it
    /// has one and the address has no path.
    pub path: String,
    params: Vec<(String, String)>,
}

/// A user name and a password. Neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an IP address. IPv6 addresses have no brackets here.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Parses an address.
    ///
    /// ```
    /// use plumline::registry::Address;
    /// let error = Address::parse("plumb://127.0.0.1:8080").unwrap_err();
    /// assert!(error.message().contains("did you mean \"plum\"?"));
    /// ```
    pub fn parse(text: &str) -> Result<Address> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refuse(format!(
                "registry address {:?} has no scheme; write for example plum://127.0.0.1:8080",
                redact(text)
            )));
        };
        let scheme = find_scheme(scheme)?;
        check_secret(scheme, rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let params = read_params(scheme, query)?;
        let (user, authority) = read_user(scheme, authority)?;
        let (name, hosts) = read_authority(scheme, authority)?;
        let path = read_path(scheme, path)?;
        Ok(Address { scheme: scheme.name, name, user, hosts, path, params })
    }

    /// The value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is a duration.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>> {
        let read = |value: &str| {
            parse_duration(value).map_err(|what| refuse(format!("registry parameter {name}: {what}")))
        };
        self.param(name).map(read).transpose()
    }

    /// The address without secrets, for logs and messages.
    pub fn source(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let shown = self.params.iter().filter(|(name, _)| !SECRETS.contains(&name.as_str()));
        let params: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
        let query = if params.is_empty() { String::new() } else { format!("?{}", params.join("&")) };
        format!("{}://{}{}{}{query}", self.scheme, self.name, hosts.join(","), self.path)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source())
    }
}

fn find_scheme(name: &str) -> Result<&'static AddressScheme> {
    if let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name.eq_ignore_ascii_case(name)) {
        return Ok(scheme);
    }
    let names = SCHEMES.iter().map(|scheme| scheme.name);
    let known: Vec<&str> = names.clone().collect();
    Err(refuse(match nearest(name, names) {
        Some(near) => format!("unknown registry scheme {name:?}; did you mean {near:?}?"),
        None => format!("unknown registry scheme {name:?}; the schemes are {}", known.join(", ")),
    }))
}

fn read_params(scheme: &AddressScheme, query: &str) -> Result<Vec<(String, String)>> {
    let mut params: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !scheme.params.contains(&name) {
            let known = || match scheme.params {
                [] => "takes no parameters".to_owned(),
                some => format!("takes {}", some.join(", ")),
            };
            let hint = match nearest(name, scheme.params.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None if nearest(name, ["prefix"]).is_some() && matches!(scheme.path, PathRule::Prefix(_)) => {
                    format!("write the prefix after the hosts: {}/prefix", scheme.example)
                }
                None => format!("{}:// {}", scheme.name, known()),
            };
            return Err(refuse(format!("unknown registry parameter {name:?}; {hint}")));
        }
        if params.iter().any(|(known, _)| known == name) {
            return Err(refuse(format!("registry parameter {name:?} is given twice")));
        }
        let value = decode(value, name)?;
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(refuse(format!(
                "registry parameter {name:?} is empty or contains control characters"
            )));
        }
        params.push((name.to_owned(), value));
    }
    Ok(params)
}

/// Finds a password that is not percent-encoded. It would be parsed as hosts, path and parameters, and errors about
/// them would show it.
fn check_secret(scheme: &AddressScheme, rest: &str) -> Result<()> {
    let is_split = |at: usize| rest.find(['/', '?']).is_some_and(|end| end < at);
    if scheme.has_user && rest.rfind('@').is_some_and(is_split) {
        return Err(refuse(format!(
            "the {}:// address has an @ after a / or ?; in a user, a password or a path write %2F for /, %3F for ?, %40 for @",
            scheme.name
        )));
    }
    Ok(())
}

/// Splits an authority into the user with password, and the hosts.
fn read_user<'a>(scheme: &AddressScheme, authority: &'a str) -> Result<(Option<Credentials>, &'a str)> {
    let Some((user, hosts)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if !scheme.has_user {
        let instead = if scheme.params.contains(&"token") { "; use ?token=" } else { "" };
        return Err(refuse(format!("{}:// does not take a user and password{instead}", scheme.name)));
    }
    let Some((name, password)) = user.split_once(':').filter(|(name, _)| !name.is_empty()) else {
        return Err(refuse(format!(
            "the {}:// address has a user without a password, or a password without a user; write user:password@host",
            scheme.name
        )));
    };
    let user = Credentials { name: decode(name, "user")?, password: decode(password, "password")? };
    Ok((Some(user), hosts))
}

fn read_authority(scheme: &AddressScheme, authority: &str) -> Result<(String, Vec<HostPort>)> {
    match scheme.hosts {
        HostsRule::Empty | HostsRule::MaybePorts(_) if authority.is_empty() => {
            Ok((String::new(), Vec::new()))
        }
        HostsRule::Empty => Err(example(scheme, &format!("has a host, {authority:?}"))),
        HostsRule::Name => Ok((decode(authority, "name")?, Vec::new())),
        HostsRule::MaybePorts(default) => read_hosts(scheme, authority, Some(default)),
        HostsRule::Ports(default) => read_hosts(scheme, authority, default),
    }
}

fn read_hosts(scheme: &AddressScheme, text: &str, default: Option<u16>) -> Result<(String, Vec<HostPort>)> {
    let hosts: Result<_> = text.split(',').map(|part| read_host(scheme, part.trim(), default)).collect();
    Ok((String::new(), hosts?))
}

fn read_host(scheme: &AddressScheme, text: &str, default: Option<u16>) -> Result<HostPort> {
    let malformed = |what: &str| example(scheme, &format!("has the host {text:?}: {what}"));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| malformed("the bracket is not closed"))?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| malformed("not a valid IPv6 address"))?;
            (host, after.strip_prefix(':').filter(|port| !port.is_empty()))
        }
        None if text.matches(':').count() > 1 => {
            return Err(malformed("an IPv6 address needs brackets"));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(malformed("the host is missing"));
    }
    if !host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':')) {
        return Err(malformed("not a valid host name"));
    }
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| malformed("the port must be a number from 1 to 65535"))?,
        None => default.ok_or_else(|| malformed("the port is missing"))?,
    };
    Ok(HostPort { host: host.to_owned(), port })
}

fn read_path(scheme: &AddressScheme, path: &str) -> Result<String> {
    match (scheme.path, path) {
        (PathRule::None, "" | "/") => Ok(String::new()),
        (PathRule::None, path) => Err(example(scheme, &format!("has a path, {path:?}"))),
        (PathRule::Required, "") => Err(example(scheme, "has no path")),
        (PathRule::Required, path) => decode(path, "path"),
        (PathRule::Prefix(default), "" | "/") => Ok(default.to_owned()),
        (PathRule::Prefix(_), path) => {
            let path = decode(path.trim_end_matches('/'), "path")?;
            if path.contains("//") || path.chars().any(char::is_control) || path.is_empty() {
                let what =
                    format!("has the path {path:?}: a segment is empty or contains control characters");
                return Err(example(scheme, &what));
            }
            Ok(path)
        }
    }
}

fn decode(text: &str, what: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(refuse(format!("registry address: {what} is not valid UTF-8 after percent-decoding"))),
    }
}

/// Removes everything before an `@` and after a `?`: it may be a secret.
fn redact(text: &str) -> &str {
    let text = text.split('?').next().unwrap_or_default();
    text.rsplit('@').next().unwrap_or_default()
}

fn example(scheme: &AddressScheme, what: &str) -> Error {
    refuse(format!("the {}:// address {what}; write for example {}", scheme.name, scheme.example))
}

/// Shortens a long message to its start, which says what is wrong, and its end, which shows a valid example.
fn refuse(what: String) -> Error {
    const END: usize = 200;
    let mut places = what.char_indices().map(|(place, _)| place);
    match (places.nth(END), places.nth_back(END)) {
        (Some(first), Some(last)) => Error::invalid(format!("{} … {}", &what[..first], &what[last..])),
        _ => Error::invalid(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn refused(text: &str) -> String {
        Address::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn parses_several_hosts() {
        let address = Address::parse("plum://a:1,[::1]:2,b").unwrap();
        let hosts: Vec<String> = address.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["a:1", "[::1]:2", "b:8080"]);
        assert_eq!(address.source(), "plum://a:1,[::1]:2,b:8080");
    }

    #[test]
    fn shortens_a_very_long_error_message() {
        let refused = refused(&format!("etcd://{}:x", "ä".repeat(100_000)));
        assert!(refused.chars().count() < 500, "{refused}");
        assert!(refused.contains("the host \"ää") && refused.ends_with("etcd://127.0.0.1:2379"), "{refused}");
    }

    #[test]
    fn errors_and_debug_never_show_secrets() {
        let address = Address::parse("plum+tls://r.example:1?token=hush%20hush").unwrap();
        assert_eq!(address.param("token"), Some("hush hush"));
        assert!(!format!("{address:?} {}", address.source()).contains("hush"));
        assert!(!refused("user:hush@a:1?token=hush").contains("hush"));
        assert!(!refused("plum://user:hush@a:1").contains("hush"));
        for odd in ["hu/hush", "hu?hush", "hush@x/hush", "hush:hush/hush"] {
            assert!(!refused(&format!("etcd://me:{odd}@a:x")).contains("hush"), "{odd}");
        }
    }

    #[test]
    fn names_the_mistake_and_a_valid_value() {
        for (text, says) in [
            ("127.0.0.1:8080", "no scheme"),
            ("plums://a:1", "did you mean \"plum\"?"),
            ("gopher://a:1", "the schemes are plum, "),
            ("plum://a:1?tokn=x", "did you mean \"token\"?"),
            ("memory://?token=x", "memory:// takes no parameters"),
            ("plum://a:1?token=", "is empty"),
            ("plum://a:1?token=a&token=b", "twice"),
            ("plum://", "the host is missing"),
            ("plum://a:b", "the port must be a number"),
            ("plum://a:0", "the port must be a number"),
            ("plum://a:99999", "the port must be a number"),
            ("plum://::1:80", "needs brackets"),
            ("plum://[::1:80", "not closed"),
            ("plum://a b:80", "not a valid host name"),
            ("plum://a:1/path", "has a path"),
            ("plum+tls://a", "the port is missing"),
            ("static://a", "the port is missing"),
            ("file://host/x.yaml", "has a host"),
            ("file://", "has no path"),
            ("plum://u:p@a:1", "does not take a user and password; use ?token="),
            ("static://u:p@a:1", "does not take a user and password"),
            ("etcd://u@a:1", "a user without a password"),
            ("etcd://:p@a:1", "or a password without a user"),
            ("etcd://me:hu/sh@a:1", "write %2F for /"),
            ("etcd://me:hu?sh@a:1", "%3F for ?"),
            ("etcd://a:1?prefix=/services", "write the prefix after the hosts: etcd://127.0.0.1:2379/prefix"),
            ("etcd://a:1//services", "a segment is empty"),
            ("nacos://a:1/services", "has a path"),
            ("nacos://a:1?namspace=x", "did you mean \"namespace\"?"),
            ("zookeeper://a:1?session=3s", "takes session_timeout"),
            ("dns://10.0.0.2", "has no path"),
        ] {
            assert!(refused(text).contains(says), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn parses_user_password_and_prefix_and_shows_only_the_prefix() {
        let address = Address::parse("etcd://me:hu%40sh@a,b:1/services/").unwrap();
        let user = address.user.as_ref().unwrap();
        assert_eq!((user.name.as_str(), user.password.as_str()), ("me", "hu@sh"));
        assert_eq!(address.source(), "etcd://a:2379,b:1/services");
        assert_eq!(Address::parse("zookeeper://a").unwrap().path, "/laravel-go/services");
        assert!(Address::parse("dns:///{service}.example:80").unwrap().hosts.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn parse_never_panics(text in ".{0,60}", scheme in 0usize..15) {
            let _ = Address::parse(&text);
            let _ = Address::parse(&format!("{}://{text}", SCHEMES[scheme].name));
        }
    }
}
