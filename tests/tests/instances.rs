//! What becomes of calls when an instance is killed or hangs, as a process of its own does; and calls over TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use plumline::{Client, Kind};
use plumline_servers::Running;
use plumline_tests::{client, signals, until};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

struct Instance {
    running: Running,
    address: String,
}

impl Instance {
    fn start() -> Instance {
        let (running, address) = Running::begun(&mut Command::new(env!("CARGO_BIN_EXE_test-instance")));
        Instance { running, address }
    }
}

fn client_of(instances: &[Instance]) -> Client {
    let addresses: Vec<&str> = instances.iter().map(|instance| instance.address.as_str()).collect();
    client(&format!("static://{}", addresses.join(",")), json!({}))
}

/// How often the least called instance was called: 0 while none is known.
fn fewest_attempts(plum: &Client) -> u64 {
    let stats = plum.stats().unwrap();
    let known = stats.services.get("s").into_iter().flat_map(|service| service.endpoints.values());
    known.map(|endpoint| endpoint.attempts).min().unwrap_or(0)
}

/// Calls from eight threads while `meanwhile` runs; how many calls there were, and how many failed.
fn calling<T>(plum: &Client, meanwhile: impl FnOnce() -> T) -> (usize, usize, T) {
    let (done, calls, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let result = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let went_well = plum.get("s", "/").is_ok_and(|response| response.status() == 200);
                    calls.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(!went_well), Ordering::Relaxed);
                }
            });
        }
        // Also where `meanwhile` fails: the callers would go on for ever, and the test with them.
        let _end = End(&done);
        meanwhile()
    });
    (calls.into_inner(), failed.into_inner(), result)
}

/// Tells the callers to end, however the test does.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn ignores_proxy_in_environment() {
    let instance = Instance::start();
    let output = Command::new(env!("CARGO_BIN_EXE_test-call"))
        .arg(format!("static://{}", instance.address))
        .envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9")))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200\n", "{output:?}");
}

/// A server that speaks TLS under this name, and the file of the authority that vouches for it.
fn tls_server(name: &str, folder: &std::path::Path) -> (u16, std::path::PathBuf) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let chain = vec![CertificateDer::from(cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            std::thread::spawn(move || answer_all(rustls::StreamOwned::new(session, socket)));
        }
    });
    (port, authority)
}

fn answer_all(mut stream: impl Read + Write) -> std::io::Result<()> {
    let (mut text, mut buffer) = (Vec::new(), [0u8; 4096]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => text.extend_from_slice(&buffer[..count]),
        }
        if text.ends_with(b"\r\n\r\n") {
            text.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe")?;
        }
    }
}

fn over_tls(port: u16, settings: serde_json::Value) -> plumline::Result<plumline::Response> {
    client(&format!("static://127.0.0.1:{port}?protocol=https"), settings).get("s", "/")
}

#[test]
fn tls_requires_a_trusted_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (port, authority) = tls_server("orders.test", folder.path());
    let trusting = |name: &str| over_tls(port, json!({ "tls": { "ca": authority, "server_name": name } }));

    assert_eq!(trusting("orders.test").unwrap().text(), "safe");
    for refused in [trusting("billing.test"), over_tls(port, json!({ "tls": { "ca": authority } }))] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Protocol, false), "{error}");
        assert!(error.message().contains("TLS"), "{error}");
    }
    let error = over_tls(port, json!({ "tls": { "server_name": "orders.test" } })).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "nobody vouches for it: {error}");
}

#[test]
fn endpoint_label_sets_tls_server_name() {
    let folder = tempfile::tempdir().unwrap();
    let (port, authority) = tls_server("orders.test", folder.path());
    let plum = client("memory://", json!({ "tls": { "ca": authority } }));
    let mut endpoint = plumline::Endpoint::new("s", [127, 0, 0, 1].into(), port);
    endpoint.protocol = "https".into();
    endpoint.labels.insert("tls_server_name".into(), "orders.test".into());
    plum.publish("s", vec![endpoint]).unwrap();
    (0..20).for_each(|_| assert_eq!(plum.get("s", "/").unwrap().text(), "safe"));
}

#[test]
fn plain_server_is_a_clear_tls_error() {
    let instance = Instance::start();
    let port = instance.address.rsplit(':').next().unwrap().parse().unwrap();
    let error = over_tls(port, json!({})).unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
}

/// The bounds are what these tests are about: they run alone.
mod timed {
    use super::*;

    #[test]
    fn killed_instance_is_ejected_within_100_ms() {
        let mut instances: Vec<Instance> = (0..3).map(|_| Instance::start()).collect();
        let plum = client_of(&instances);
        let dead = instances[0].address.clone();
        let is_out = || plum.stats().unwrap().services["s"].endpoints[&dead].ejected;
        let (calls, failed, out_after) = calling(&plum, || {
            until("every instance has answered", Duration::from_secs(20), || fewest_attempts(&plum) >= 50);
            instances[0].running.kill();
            let failures = || plum.stats().unwrap().services["s"].endpoints[&dead].failures;
            until("a call has met the dead one", Duration::from_secs(10), || failures() > 0);
            until("it is out", Duration::from_secs(2), is_out)
        });
        assert_eq!(failed, 0, "of {calls} calls");
        assert!(out_after < Duration::from_millis(100), "out after {out_after:?}");
    }

    #[test]
    fn hung_instance_is_suspect_within_about_1_s() {
        let instances: Vec<Instance> = (0..3).map(|_| Instance::start()).collect();
        let plum = client_of(&instances);
        let hanging = instances[1].address.clone();
        let judged = || {
            let explanation = plum.explain("s").unwrap();
            let verdict = explanation.endpoints.into_iter().find(|verdict| verdict.address == hanging);
            verdict.unwrap()
        };
        let (calls, failed, ()) = calling(&plum, || {
            until("every instance has answered often", Duration::from_secs(20), || {
                fewest_attempts(&plum) >= 1_000
            });
            signals::stop(instances[1].running.pid());
            until("three calls wait on it", Duration::from_secs(10), || judged().in_flight >= 3);
            until("it is suspect", Duration::from_secs(2), || {
                judged().reasons.iter().any(|reason| reason.starts_with("suspect"))
            });
            let waiting = judged().in_flight;
            assert!(waiting < 8, "the other threads go on: {waiting} of 8 wait");
            signals::go_on(instances[1].running.pid());
            until("it answers again", Duration::from_secs(5), || judged().in_flight < 3);
        });
        assert_eq!(failed, 0, "of {calls} calls");
    }
}
