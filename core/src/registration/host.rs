//! The address under which others reach this program: validation, and detection when none is given.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::Instance;
use crate::registry::{Registry, WaitLimit};

/// A documentation address (RFC 5737). Nothing is sent to it; only the route is looked up.
const DOCUMENTATION_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)), 9);

/// Refuses an instance that cannot be reached.
pub(super) fn check(instance: &Instance) -> Result<()> {
    let refuse = |what: String| Err(Error::invalid(what).for_service(&instance.service));
    if instance.service.is_empty() || instance.service.chars().any(char::is_control) {
        return refuse(format!("{:?} is not a valid service name", instance.service));
    }
    let texts =
        [&instance.host, &instance.protocol, &instance.version, &instance.instance_id, &instance.zone];
    if let Some(text) = texts.into_iter().find(|text| text.chars().any(char::is_control)) {
        return refuse(format!("{text:?} contains control characters"));
    }
    if instance.protocol.is_empty() {
        return refuse("the protocol is empty; use for example \"http\" or \"tcp\"".into());
    }
    if instance.ttl.is_some_and(|ttl| ttl.is_zero()) {
        return refuse("the ttl is 0; omit it for the default of 15 s".into());
    }
    if instance.port == 0 {
        return refuse(format!("port 0 {ONLY_LISTENING}; give the port that the server is bound to"));
    }
    if is_for_listening(&instance.host) {
        return refuse(format!(
            "host {:?} {ONLY_LISTENING}; give this machine's address, or omit it to detect it",
            instance.host
        ));
    }
    let is_address = instance.host.parse::<IpAddr>().is_ok();
    if !is_address && instance.host.contains(['/', '@', ' ', '?', '#', ':', '[', ']']) {
        return refuse(format!("{:?} is neither an address nor a host name", instance.host));
    }
    Ok(())
}

const ONLY_LISTENING: &str = "tells a server where to listen, not clients where to connect";

fn is_for_listening(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let unspecified = bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified());
    unspecified || bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost")
}

/// This machine's address: the local address of the registry connection, else the source address of outgoing traffic.
pub(super) fn find<'a>(
    registries: impl Iterator<Item = &'a Arc<dyn Registry>>,
    wait: &WaitLimit<'_>,
) -> Result<String> {
    let mut registries = registries;
    let seen = registries.find_map(|registry| registry.local_ip(wait)).or_else(outgoing_ip);
    wait.interrupt.check()?;
    seen.map(|ip| ip.to_string())
        .ok_or_else(|| Error::invalid("cannot detect this machine's address; set host"))
}

fn outgoing_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(DOCUMENTATION_ADDRESS).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_listen_addresses_as_host() {
        for host in ["0.0.0.0", "::", "[::]", "localhost", "LOCALHOST.", "::ffff:0.0.0.0", "app.localhost"] {
            let error = check(&Instance::new("orders", 80).host(host)).unwrap_err();
            assert!(error.message().contains("where to listen"), "{host}: {error}");
        }
        assert!(check(&Instance::new("orders", 0)).unwrap_err().message().contains("port 0"));
        for host in ["127.0.0.1", "::1", "orders.internal", ""] {
            check(&Instance::new("orders", 80).host(host)).unwrap();
        }
    }

    #[test]
    fn rejects_control_characters_and_malformed_hosts() {
        assert!(check(&Instance::new("or\nders", 80)).is_err());
        assert!(check(&Instance::new("orders", 80).version("v\r1")).is_err());
        for host in ["a b", "10.0.0.7:80", "orders.internal:80", "[::1]", "http://a"] {
            let error = check(&Instance::new("orders", 80).host(host)).unwrap_err();
            assert!(error.message().contains("neither an address nor a host name"), "{host}: {error}");
        }
        assert!(check(&Instance::new("", 80)).is_err());
        check(&Instance::new("订单", 80)).unwrap();
    }
}
