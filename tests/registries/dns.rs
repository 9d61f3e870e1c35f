//! NSD, an authoritative name server, from Debian's packages: unpacked into the cache, nothing installed.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline::{Client, Endpoint, Kind};
use plumline_tests::{client, ports, stays, until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;
use tempfile::TempDir;

use crate::promises::at;
use crate::server::{Running, among_others, free_port, program, run};

/// NSD, and what of its libraries a bare machine may lack.
const PACKAGES: [&str; 4] = ["nsd", "libprotobuf-c1", "libfstrm0", "libevent-2.1-7"];
const SOON: Duration = Duration::from_secs(5);
/// A record of TTL 1, the jitter on top of it, and a moment for the server to read its file.
const ONE_LOOK: Duration = Duration::from_millis(1_000 + 200 + 300);

/// A name server that holds the zones `test` and `other`, with every TTL at one second.
struct Nsd {
    running: Running,
    port: u16,
    folder: TempDir,
    serial: u32,
}

impl Nsd {
    fn start(records: &str) -> Nsd {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let zone = |name| format!("zone:\n  name: {name}\n  zonefile: {name}.zone\n");
        let config = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: \"{0}\"\n  database: \"\"\n  \
             pidfile: \"\"\n  xfrdfile: \"\"\n  zonelistfile: \"{0}/zone.list\"\n  xfrdir: \"{0}\"\n  server-count: 1\n  \
             rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n{1}{2}",
            folder.path().display(),
            zone("test"),
            zone("other"),
        );
        std::fs::write(folder.path().join("nsd.conf"), config).unwrap();
        write_zone(folder.path(), "test", 1, records);
        write_zone(folder.path(), "other", 1, "d IN A 10.0.0.4");
        let nsd = Nsd { running: launch(folder.path()), port, folder, serial: 1 };
        nsd.await_answer("ns.test.");
        nsd
    }

    fn await_answer(&self, name: &str) {
        let plum = client(&self.dns(&format!("{name}:1")), json!({}));
        until("the name server answers", SOON, || plum.discover("ns").is_ok());
    }

    /// Another content of the zone `test`, told to the running server.
    fn change(&mut self, records: &str) {
        self.serial += 1;
        write_zone(self.folder.path(), "test", self.serial, records);
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// `dns://…/{template}`
    fn dns(&self, template: &str) -> String {
        format!("dns://127.0.0.1:{}/{template}", self.port)
    }

    fn srv(&self, template: &str) -> String {
        format!("dns+srv://127.0.0.1:{}/{template}", self.port)
    }

    /// All of its processes.
    fn signal(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).unwrap();
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.running.kill();
    }

    fn revive(&mut self) {
        self.running = launch(self.folder.path());
        self.await_answer("ns.test.");
    }

    /// Starts it again without what it knew of the zone `test`.
    fn revive_without_its_zone(&mut self) {
        std::fs::remove_file(self.folder.path().join("test.zone")).unwrap();
        self.running = launch(self.folder.path());
        self.await_answer("ns.other.");
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // The test may have killed it already; else its children outlive it.
        let _ = kill_process_group(self.pid(), Signal::KILL);
    }
}

fn write_zone(folder: &Path, zone: &str, serial: u32, records: &str) {
    let text = format!(
        "$ORIGIN {zone}.\n$TTL 1\n@ IN SOA ns me {serial} 60 60 60 1\n@ IN NS ns\nns IN A 127.0.0.1\n{records}\n"
    );
    std::fs::write(folder.join(format!("{zone}.zone")), text).unwrap();
}

fn launch(folder: &Path) -> Running {
    let nsd = program("nsd-debian", "usr/sbin/nsd", unpack);
    let root = nsd.parent().and_then(Path::parent).and_then(Path::parent).unwrap();
    let mut command = Command::new(&nsd);
    command.arg("-d").arg("-c").arg(folder.join("nsd.conf")).env("LD_LIBRARY_PATH", libraries(root));
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn unpack(folder: &Path) {
    run(Command::new("apt-get").current_dir(folder).arg("download").args(PACKAGES));
    let files = || std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for package in files().filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        run(Command::new("dpkg").arg("-x").arg(package).arg(folder));
    }
}

/// `usr/lib/x86_64-linux-gnu`, or what it is called on this machine.
fn libraries(root: &Path) -> PathBuf {
    let folders = std::fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
    folders.into_iter().find(|path| path.to_string_lossy().ends_with("-gnu")).expect("a folder of libraries")
}

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
fn addresses_of_both_families_are_endpoints_at_the_port_of_the_template() {
    let _turn = among_others();
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
fn a_services_records_say_port_and_weight_and_only_the_first_priority_is_used() {
    let _turn = among_others();
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
fn a_change_in_the_zone_is_seen_once_the_records_have_run_out() {
    let _turn = among_others();
    let mut nsd = Nsd::start("orders IN A 10.0.0.1");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    let watch = plum.watch("orders").unwrap();
    assert_eq!(watch.next_within(SOON).unwrap().unwrap().endpoints.len(), 1);
    nsd.change("orders IN A 10.0.0.2");
    let change = watch.next_within(ONE_LOOK).unwrap().expect("a change");
    assert_eq!((change.added[0].address().as_str(), change.removed.len()), ("10.0.0.2:80", 1));
    nsd.change("");
    let change = watch.next_within(ONE_LOOK).unwrap().expect("the end of it");
    assert!(change.endpoints.is_empty() && change.removed.len() == 1);
    nsd.change("orders IN A 10.0.0.3");
    let change = watch.next_within(ONE_LOOK).unwrap().expect("its return");
    assert_eq!(change.endpoints[0].address(), "10.0.0.3:80");
}

#[test]
fn a_name_that_does_not_exist_is_an_empty_list_and_no_error() {
    let _turn = among_others();
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
fn calls_go_on_while_the_name_server_is_dead_or_stopped() {
    let _turn = among_others();
    let mut nsd = Nsd::start("orders IN A 127.0.0.1");
    let port = serving();
    let plum = client(&nsd.dns(&format!("{{service}}.test:{port}")), json!({}));
    let is_served = || plum.get("orders", "/").is_ok_and(|response| response.status() == 200);
    assert!(is_served());
    let is_up = || plum.stats().unwrap().cache.registries[0].up;
    nsd.signal(Signal::STOP);
    until("its silence is noticed", SOON, || is_served() && !is_up());
    stays("calls go on", Duration::from_secs(3), is_served);
    nsd.signal(Signal::CONT);
    until("its return is noticed", 2 * SOON, || is_served() && is_up());
    nsd.kill();
    until("its death is noticed", SOON, || is_served() && !is_up());
    stays("calls go on", Duration::from_secs(3), is_served);
    nsd.revive();
    nsd.change("orders IN A 10.0.0.9");
    until("news are heard again", 2 * SOON, || addresses(&plum, "orders") == [format!("10.0.0.9:{port}")]);
}

#[test]
fn a_server_that_has_lost_its_zone_takes_nobody_away() {
    let _turn = among_others();
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
fn more_records_than_fit_into_a_datagram_come_over_tcp() {
    let _turn = among_others();
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
fn a_dead_server_before_a_living_one_costs_little_and_only_once() {
    let _turn = among_others();
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
    let began = std::time::Instant::now();
    assert_eq!(addresses(&plum, "billing"), ["10.0.0.2:80"]);
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
}

#[test]
fn search_domains_are_the_systems() {
    let _turn = among_others();
    let nsd = Nsd::start("s.ns IN A 127.0.0.1");
    let port = serving();
    let call = |template: &str| {
        let mut call = Command::new(env!("CARGO_BIN_EXE_test-call"));
        call.arg(nsd.dns(template)).env("LOCALDOMAIN", "nowhere.test ns.test").env("RES_OPTIONS", "ndots:2");
        String::from_utf8(call.output().unwrap().stdout).unwrap()
    };
    assert_eq!(call(&format!("{{service}}:{port}")).trim(), "200");
    let absolute = call(&format!("{{service}}.:{port}"));
    assert!(absolute.contains("answered about s. A"), "{absolute}");
}

#[test]
fn nothing_can_register_and_nobody_lists_names() {
    let _turn = among_others();
    let nsd = Nsd::start("orders IN A 10.0.0.1");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    let error = plum.services().unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.message().contains("DNS does not say which services there are"), "{error}");
    assert_eq!(plum.services().unwrap_err().kind(), Kind::Unsupported, "asked twice, answered the same");
    let plum = client(&nsd.dns("{service}.test:80"), json!({}));
    assert_eq!(plum.discover("orders").unwrap().len(), 1);
    assert_eq!(plum.services().unwrap(), ["orders"], "those in use are known");
    let error = plum.register(at("orders", 1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    let error = plum.discover("no such").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    assert!(error.message().contains("' ' is none of letters"), "{error}");
    let stats = plum.stats().unwrap().cache;
    assert!(stats.registries[0].up, "a name that cannot be says nothing about the server: {stats:?}");
}
