//! Where others reach this program: what cannot be meant, and what is meant when nothing is said.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::Instance;
use crate::registry::{Registry, WaitLimit};

/// An address of the documentation's own (RFC 5737): nothing is sent there, only the way to it is looked up.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)), 9);

/// Refuses an instance that nobody could reach.
pub(super) fn check(instance: &Instance) -> Result<()> {
    let refuse = |what: String| Err(Error::invalid(what).for_service(&instance.service));
    if instance.service.is_empty() || instance.service.chars().any(char::is_control) {
        return refuse(format!("{:?} is no name for a service", instance.service));
    }
    let texts =
        [&instance.host, &instance.protocol, &instance.version, &instance.instance_id, &instance.zone];
    if let Some(text) = texts.into_iter().find(|text| text.chars().any(char::is_control)) {
        return refuse(format!("{text:?} holds control characters"));
    }
    if instance.protocol.is_empty() {
        return refuse("the protocol is empty; write for example \"http\" or \"tcp\"".into());
    }
    if instance.ttl.is_some_and(|ttl| ttl.is_zero()) {
        return refuse("the ttl is 0; leave it out for the default of 15 s".into());
    }
    if instance.port == 0 {
        return refuse(format!("port 0 {ONLY_LISTENING}; give the port the server got"));
    }
    if is_for_listening(&instance.host) {
        return refuse(format!(
            "host {:?} {ONLY_LISTENING}; give this machine's address, or leave it out to have it found",
            instance.host
        ));
    }
    let is_address = instance.host.parse::<IpAddr>().is_ok();
    if !is_address && instance.host.contains(['/', '@', ' ', '?', '#', ':', '[', ']']) {
        return refuse(format!("{:?} is neither an address nor a host name", instance.host));
    }
    Ok(())
}

const ONLY_LISTENING: &str = "tells a server where to listen, not others where to find it";

fn is_for_listening(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let unspecified = bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified());
    unspecified || bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost")
}

/// This machine's address as the registry sees it, else on the way out.
pub(super) fn find<'a>(
    registries: impl Iterator<Item = &'a Arc<dyn Registry>>,
    wait: &WaitLimit<'_>,
) -> Result<String> {
    let mut registries = registries;
    let seen = registries.find_map(|registry| registry.local_ip(wait)).or_else(on_the_way_out);
    wait.interrupt.check()?;
    seen.map(|ip| ip.to_string())
        .ok_or_else(|| Error::invalid("this machine's address could not be found; give it as host"))
}

fn on_the_way_out() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_listens_is_not_where_it_is_found() {
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
    fn what_would_break_a_line_is_refused() {
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
