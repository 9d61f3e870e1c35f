//! What DNS shows of a service, asked of NSD: only read, so it has promises of its own.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use plumline::{Client, Endpoint, Kind};
use plumline_servers::nsd::Nsd;
use plumline_tests::{client, ports, stays, until};
use serde_json::json;

use crate::promises::at;

const SOON: Duration = Duration::from_secs(5);
/// A record of TTL 1, the jitter on top of it, and a second to spare.
const ONE_LOOK: Duration = Duration::from_millis(1_000 + 200 + 1_000);

fn addresses(plum: &Client, service: &str) -> Vec<String> {
    let mut all: Vec<String> = plum.discover(service).unwrap().iter().map(|e| e.address()).collect();
    all.sort_unstable();
    all
}

fn by_port(plum: &Client, service: &str, port: u16) -> Endpoint {
    let found = plum.discover(service).unwrap();
    Endpoint::clone(found.iter().find(|endpoint| endpoint.port == port).expect("it is listed"))
}

#[test]
fn ipv4_and_ipv6_addresses_use_the_template_port() {
    let nsd = Nsd::start(
        "orders IN A 10.0.0.1\norders IN A 10.0.0.2\norders IN AAAA fd00::1\nalias IN CNAME orders",
    );
    let plum = client(&nsd.dns("{service}.test:8080"), json!({}));
    let all = ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080"];
    assert_eq!(addresses(&plum, "orders"), all);
    assert_eq!(addresses(&plum, "alias"), all);
    let endpoint = plum.discover("orders").unwrap()[0].clone();
    assert_eq!((endpoint.host.as_str(), endpoint.protocol.as_str()), ("orders.test", "http"));
    assert_eq!((endpoint.weight, endpoint.source.as_str()), (1, nsd.dns("{service}.test:8080").as_str()));
    let secure = client(&nsd.dns("{service}.test.:8443?protocol=https"), json!({}));
    assert_eq!(secure.discover("orders").unwrap()[0].protocol, "https");
    let fixed = client(&nsd.dns("orders.test:80"), json!({}));
    assert_eq!(fixed.discover("whatever").unwrap().len(), 3);
}

#[test]
fn srv_records_give_port_weight_and_lowest_priority() {
    let nsd = Nsd::start(
        "_https._tcp.orders IN SRV 20 9 9000 c\n_https._tcp.orders IN SRV 10 5 8001 a\n\
         _https._tcp.orders IN SRV 10 0 8002 b\n_https._tcp.orders IN SRV 1 1 8009 nowhere\n\
         _https._tcp.gone IN SRV 0 0 0 .\n_https._tcp.far IN SRV 1 1 80 d.other.\n\
         a IN A 10.0.0.1\na IN AAAA fd00::1\nb IN A 10.0.0.2\nc IN A 10.0.0.3",
    );
    let plum = client(&nsd.srv("_https._tcp.{service}.test"), json!({}));
    assert_eq!(addresses(&plum, "orders"), ["10.0.0.1:8001", "10.0.0.2:8002", "[fd00::1]:8001"]);
    let (first, second) = (by_port(&plum, "orders", 8001), by_port(&plum, "orders", 8002));
    assert_eq!((first.host.as_str(), first.weight, first.protocol.as_str()), ("a.test", 5, "https"));
    assert_eq!((second.host.as_str(), second.weight), ("b.test", 1));
    assert_eq!(addresses(&plum, "far"), ["10.0.0.4:80"]);
    assert!(plum.discover("gone").unwrap().is_empty());
    assert!(plum.discover("unknown").unwrap().is_empty());
}

#[test]
fn zone_change_is_seen_after_record_ttl() {
    let mut nsd = Nsd::start("orders IN A 10.0.0.1");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    let watch = plum.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 1);
    nsd.change("orders IN A 10.0.0.2");
    nsd.await_change();
    let change = watch.next_within(ONE_LOOK).unwrap().expect("a change");
    assert_eq!((change.added[0].address().as_str(), change.removed.len()), ("10.0.0.2:80", 1));
    nsd.change("");
    nsd.await_change();
    let change = watch.next_within(ONE_LOOK).unwrap().expect("the end of it");
    assert!(change.endpoints.is_empty() && change.removed.len() == 1);
    nsd.change("orders IN A 10.0.0.3");
    nsd.await_change();
    let change = watch.next_within(ONE_LOOK).unwrap().expect("its return");
    assert_eq!(change.endpoints[0].address(), "10.0.0.3:80");
}

#[test]
fn unknown_name_is_an_empty_list() {
    let nsd = Nsd::start("elsewhere IN TXT \"no address\"");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    for service in ["nobody", "elsewhere"] {
        assert!(plum.discover(service).unwrap().is_empty());
    }
    let stats = plum.stats().unwrap().cache;
    assert!(stats.registries[0].up && stats.registries[0].losses == 0, "{stats:?}");
}

/// A service of ours behind a name: answers 200 as long as the test runs.
fn serving() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the process: it holds nothing but its port.
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut lines = BufReader::new(&connection).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ =
                (&connection).write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    port
}

#[test]
fn calls_continue_while_name_server_is_down() {
    let mut nsd = Nsd::start("orders IN A 127.0.0.1");
    let port = serving();
    let plum = client(&nsd.dns(&format!("{{service}}.test:{port}")), json!({}));
    let is_served = || plum.get("orders", "/").is_ok_and(|response| response.status() == 200);
    assert!(is_served());
    let is_up = || plum.stats().unwrap().cache.registries[0].up;
    nsd.stop();
    until("its silence is noticed", SOON, || is_served() && !is_up());
    stays("calls go on", Duration::from_secs(3), is_served);
    nsd.go_on();
    until("its return is noticed", 2 * SOON, || is_served() && is_up());
    nsd.kill();
    until("its death is noticed", SOON, || is_served() && !is_up());
    stays("calls go on", Duration::from_secs(3), is_served);
    nsd.revive();
    nsd.change("orders IN A 10.0.0.9");
    until("news are heard again", 2 * SOON, || addresses(&plum, "orders") == [format!("10.0.0.9:{port}")]);
}

#[test]
fn keeps_endpoints_when_server_loses_its_zone() {
    let mut nsd = Nsd::start("orders IN A 10.0.0.1");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    assert_eq!(addresses(&plum, "orders"), ["10.0.0.1:80"]);
    nsd.kill();
    nsd.revive_without_its_zone();
    let error = || plum.stats().unwrap().cache.registries[0].last_error.clone().unwrap_or_default();
    until("it says so", 2 * SOON, || addresses(&plum, "orders").len() == 1 && error().contains("ailure"));
    stays("the list stays", Duration::from_secs(4), || addresses(&plum, "orders").len() == 1);
    let fresh = client(&nsd.dns("{service}.test:80"), json!({}));
    let failure = fresh.discover("orders").unwrap_err();
    assert_eq!(failure.kind(), Kind::Unavailable, "{failure}");
    // A zone that nobody ever gave it: REFUSED.
    let stranger = client(&nsd.dns("{service}.example:80"), json!({}));
    assert_eq!(stranger.discover("orders").unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn large_response_is_fetched_over_tcp() {
    let mut records = String::new();
    for n in 0..200 {
        writeln!(
            records,
            "orders IN A 10.0.1.{n}\n_http._tcp.orders IN SRV 1 1 {} t{n}\nt{n} IN A 10.0.2.{n}",
            1_000 + n
        )
        .unwrap();
    }
    let nsd = Nsd::start(&records);
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    assert_eq!(plum.discover("orders").unwrap().len(), 200);
    let plum = client(&nsd.srv("_http._tcp.{service}.test"), json!({}));
    assert_eq!(ports(&plum, "orders"), (1_000..1_200).collect::<Vec<u16>>());
}

#[test]
fn dead_name_server_is_tried_only_once() {
    let nsd = Nsd::start("orders IN A 10.0.0.1\nbilling IN A 10.0.0.2");
    // Takes what is sent and never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let both = format!(
        "dns://127.0.0.1:{},127.0.0.1:{}/{{service}}.test:80",
        silent.local_addr().unwrap().port(),
        nsd.port
    );
    let plum = client(&both, json!({}));
    assert_eq!(addresses(&plum, "orders"), ["10.0.0.1:80"]);
    // The silent server is not asked first again.
    let asked_silent = || std::iter::from_fn(|| silent.recv(&mut [0; 512]).ok()).count();
    silent.set_nonblocking(true).unwrap();
    assert!(asked_silent() > 0);
    assert_eq!(addresses(&plum, "billing"), ["10.0.0.2:80"]);
    assert_eq!(asked_silent(), 0);
}

#[test]
fn uses_search_domains_of_the_system() {
    let nsd = Nsd::start("s.ns IN A 127.0.0.1");
    let port = serving();
    let call = |template: &str| {
        let mut call = Command::new(env!("CARGO_BIN_EXE_test-call"));
        call.arg(nsd.dns(template)).env("LOCALDOMAIN", "nowhere.test ns.test").env("RES_OPTIONS", "ndots:2");
        String::from_utf8(call.output().unwrap().stdout).unwrap()
    };
    assert_eq!(call(&format!("{{service}}:{port}")).trim(), "200");
    let absolute = call(&format!("{{service}}.:{port}"));
    assert!(absolute.contains("answered the query for s. A"), "{absolute}");
}

#[test]
fn register_and_services_are_unsupported() {
    let nsd = Nsd::start("orders IN A 10.0.0.1");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    let error = plum.services().unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.message().contains("DNS cannot list all services"), "{error}");
    assert_eq!(plum.services().unwrap_err().kind(), Kind::Unsupported, "asked twice, answered the same");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    assert_eq!(plum.services().unwrap(), ["orders"], "those in use are known");
    let error = plum.register(at("orders", 1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    let error = plum.discover("no such").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.message().contains("' ' is not allowed"), "{error}");
    let stats = plum.stats().unwrap().cache;
    assert!(stats.registries[0].up, "a name that cannot be says nothing about the server: {stats:?}");
}
