//! The resolver configuration of this system: `/etc/resolv.conf`, and `LOCALDOMAIN` and `RES_OPTIONS` like the C library.
//! It is read for every lookup, so that a change takes effect at once. `/etc/hosts` is not used.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use hickory_proto::rr::Name;
use resolv_conf::{Config, ScopedIp};

use super::name_template::QueryName;
use crate::error::{Error, Kind, Result};

const PATH: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// The resolver configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolverConfig {
    pub(super) servers: Vec<SocketAddr>,
    /// The domains that are appended to relative names, in this order.
    pub(super) search: Vec<Name>,
    /// A name with at least this many dots is first looked up unchanged.
    pub(super) ndots: u32,
    /// How long to wait for one server.
    pub(super) try_timeout: Duration,
    /// How often to try each server.
    pub(super) attempts: u32,
    /// Whether to look up IPv6 addresses.
    pub(super) has_ipv6: bool,
    /// Whether to use TCP only.
    pub(super) only_tcp: bool,
}

impl ResolverConfig {
    /// The current configuration.
    pub(super) fn load() -> Result<ResolverConfig> {
        let file = match std::fs::read(PATH) {
            // Without the file, the C library uses the name server on this machine.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            file => file.map_err(|error| Error::new(Kind::Unavailable, format!("{PATH}: {error}")))?,
        };
        let variable = |name| std::env::var(name).ok();
        Ok(ResolverConfig::read(file, variable("LOCALDOMAIN").as_deref(), variable("RES_OPTIONS").as_deref()))
    }

    /// Parses the configuration. Invalid lines are skipped, like in the C library.
    fn read(mut file: Vec<u8>, search: Option<&str>, options: Option<&str>) -> ResolverConfig {
        let mut append = |line: String| file.extend_from_slice(line.as_bytes());
        search.into_iter().for_each(|domains| append(format!("\nsearch {domains}\n")));
        options.into_iter().for_each(|options| append(format!("\noptions {options}\n")));
        let (config, _) = Config::parse_with_errors(&file);
        ResolverConfig {
            servers: config.get_nameservers_or_local().iter().map(server).collect(),
            search: domains(&config).iter().filter_map(|domain| Name::from_utf8(domain).ok()).collect(),
            ndots: config.ndots.min(15),
            try_timeout: Duration::from_secs(config.timeout.clamp(1, 30).into()),
            attempts: config.attempts.clamp(1, 5),
            has_ipv6: !config.no_aaaa,
            only_tcp: config.use_vc,
        }
    }

    /// The names to look up, one after the other, until one has records.
    pub(super) fn search_names(&self, query_name: &QueryName) -> Vec<Name> {
        if query_name.is_absolute {
            return vec![query_name.name.clone()];
        }
        let within = |domain: &Name| {
            let mut relative = query_name.name.clone();
            relative.set_fqdn(false);
            // The full name would be too long to exist.
            relative.append_domain(domain).ok()
        };
        let dots = u32::from(query_name.name.num_labels()).saturating_sub(1);
        let as_it_stands = Some(query_name.name.clone());
        let searched = self.search.iter().filter_map(within);
        let mut names: Vec<Name> = if dots >= self.ndots {
            as_it_stands.into_iter().chain(searched).collect()
        } else {
            searched.chain(as_it_stands).collect()
        };
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

fn domains(config: &Config) -> Vec<String> {
    let named: Vec<String> = config.get_last_search_or_domain().cloned().collect();
    let is_said = config.get_search().is_some() || config.get_domain().is_some();
    // Without a search list, the domain of this machine is searched.
    if is_said { named } else { config.get_system_domain().into_iter().collect() }
}

fn server(ip: &ScopedIp) -> SocketAddr {
    match ip {
        ScopedIp::V6(ip, Some(scope)) => scoped(*ip, scope).into(),
        ip => (IpAddr::from(ip), PORT).into(),
    }
}

/// A link-local address, which is valid on one interface only.
fn scoped(ip: Ipv6Addr, scope: &str) -> SocketAddrV6 {
    let by_name = || {
        let socket = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
        rustix::net::netdevice::name_to_index(&socket, scope).ok()
    };
    let scope = scope.parse().ok().or_else(by_name).unwrap_or(0);
    SocketAddrV6::new(ip, PORT, 0, scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(file: &str) -> ResolverConfig {
        ResolverConfig::read(file.into(), None, None)
    }

    fn search_names(system: &ResolverConfig, name: &str) -> Vec<String> {
        let is_absolute = name.ends_with('.');
        let mut parsed = Name::from_ascii(name).unwrap();
        parsed.set_fqdn(true);
        let query_name = QueryName { name: parsed, is_absolute };
        system.search_names(&query_name).iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn parses_resolv_conf_like_the_c_library() {
        let system = system(
            "# made by hand\nnameserver 10.0.0.2\nnameserver fe80::1%1\nnameserver ::1\nnonsense here\n\
             search svc.cluster.local cluster.local\noptions ndots:5 timeout:1 attempts:3 no-aaaa\n",
        );
        let servers: Vec<String> = system.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[fe80::1%1]:53", "[::1]:53"]);
        assert_eq!((system.ndots, system.attempts, system.try_timeout), (5, 3, Duration::from_secs(1)));
        assert!(!system.has_ipv6);
    }

    #[test]
    fn empty_configuration_uses_the_local_server() {
        let system = ResolverConfig::read(Vec::new(), Some(""), None);
        assert_eq!(system.servers[0], "127.0.0.1:53".parse().unwrap());
        assert_eq!((system.ndots, system.attempts, system.try_timeout), (1, 2, Duration::from_secs(5)));
        assert!(system.search.is_empty() && system.has_ipv6);
    }

    #[test]
    fn environment_variables_override_the_file() {
        let file = "search a.example\noptions ndots:2\n";
        let system = ResolverConfig::read(file.into(), Some("b.example c.example"), Some("ndots:4"));
        assert_eq!(system.ndots, 4);
        assert_eq!(search_names(&system, "orders"), ["orders.b.example.", "orders.c.example.", "orders."]);
    }

    #[test]
    fn clamps_options_to_their_limits() {
        let system = system("options ndots:99 timeout:9999 attempts:0\n");
        assert_eq!((system.ndots, system.attempts, system.try_timeout), (15, 1, Duration::from_secs(30)));
    }

    #[test]
    fn ndots_decides_the_order_of_search_domains() {
        let system = system("search ns.svc.local svc.local .\noptions ndots:2\n");
        assert_eq!(search_names(&system, "orders"), ["orders.ns.svc.local.", "orders.svc.local.", "orders."]);
        assert_eq!(search_names(&system, "a.b"), ["a.b.ns.svc.local.", "a.b.svc.local.", "a.b."]);
        assert_eq!(search_names(&system, "a.b.c"), ["a.b.c.", "a.b.c.ns.svc.local.", "a.b.c.svc.local."]);
        assert_eq!(search_names(&system, "orders."), ["orders."]);
    }

    #[test]
    fn skips_names_that_would_be_too_long() {
        let long = ["abcdefghi"; 6].join(".");
        let search = ["abcdefghi"; 20].join(".");
        assert_eq!(search_names(&system(&format!("search {search}\n")), &long), [format!("{long}.")]);
    }
}
