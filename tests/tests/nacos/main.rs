//! What Nacos itself does and rnacos does not, against a stand-in that does as it is told.

mod server;

use std::time::Duration;

use plumline::registration::RegistrationState;
use plumline::{Client, Instance, Kind};
use plumline_tests::{client, ports, stays, until};
use serde_json::{Value, json};

use self::server::{Refusal, Server};

const SOON: Duration = Duration::from_secs(5);
const ONE_BEAT: Duration = Duration::from_millis(1_500 + 1_150);

/// A client whose instances are kept for 3 s: a beat comes each second.
fn registering(address: &str) -> Client {
    client(address, json!({"registration": {"ttl": "3s", "wait_listening": "0s"}}))
}

fn at(port: u16) -> Instance {
    Instance::new("orders", port).host("127.0.0.1")
}

/// A row as Nacos lists it.
fn row(port: u16) -> Value {
    json!({"ip": "127.0.0.1", "port": port, "weight": 1.0, "healthy": true, "enabled": true, "metadata": {}})
}

#[test]
fn batch_registration_always_holds_all_instances() {
    let server = Server::start();
    let plum = registering(&server.address());
    let mut all: Vec<_> = (1..=3).map(|port| plum.register(at(port)).unwrap()).collect();
    assert_eq!(server.listed("orders"), [1, 2, 3]);
    assert_eq!((server.count("InstanceRequest", 0), server.count("BatchInstanceRequest", 0)), (1, 2));
    all.remove(1).close(Duration::ZERO).unwrap();
    assert_eq!(server.listed("orders"), [1, 3]);
    let heard = server.state().heard.len();
    all[0].update(at(1).version("v2").weight(7)).unwrap();
    until("it is told", SOON, || {
        let state = server.state();
        let set = state.sets.values().next().unwrap();
        set[0]["metadata"]["version"] == "v2" && set[0]["weight"] == 7
    });
    assert_eq!(server.count("BatchInstanceRequest", heard), 1, "once");
    assert_eq!(server.count("InstanceRequest", heard), 0, "and nothing is taken back for it");
    all.remove(0).close(Duration::ZERO).unwrap();
    assert_eq!(server.listed("orders"), [3]);
    all.remove(0).close(Duration::ZERO).unwrap();
    assert!(server.listed("orders").is_empty());
}

#[test]
fn heartbeats_send_one_query_per_service() {
    let server = Server::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=50).map(|port| plum.register(at(port)).unwrap()).collect();
    let heard = server.state().heard.len();
    stays("all are listed", Duration::from_secs(4), || server.listed("orders").len() == 50);
    let asked = server.count("ServiceQueryRequest", heard);
    assert!((3..=5).contains(&asked), "{asked} questions in four beats");
    let told = server.count("InstanceRequest", heard) + server.count("BatchInstanceRequest", heard);
    assert_eq!(told, 0);
    drop(all);
}

#[test]
fn redirect_moves_everything_to_new_server() {
    let (first, second) = (Server::start(), Server::start());
    let plum = registering(&first.address());
    let me = plum.register(at(1)).unwrap();
    assert_eq!(ports(&plum, "orders"), [1]);
    // One that is not young any more.
    stays("it stays", Duration::from_millis(5_500), || first.listed("orders") == [1]);
    let to = json!({"requestId": "r7", "serverIp": "127.0.0.1", "serverPort": second.port().to_string()});
    first.ask_all("ConnectResetRequest", &to);
    until("it is registered there", Duration::from_secs(1), || second.listed("orders") == [1]);
    until("and here no more", SOON, || first.listed("orders").is_empty());
    let is_answered = || {
        first.state().heard.iter().any(|(_, kind, body)| {
            kind == "ConnectResetResponse" && body["requestId"] == "r7" && body["resultCode"] == 200
        })
    };
    until("it was answered", SOON, is_answered);
    second.push("orders", &json!([row(1), row(2)]), i64::MAX);
    until("what the other one tells is heard", SOON, || ports(&plum, "orders") == [1, 2]);
    until("the handle knows", SOON, || me.state() == RegistrationState::Registered);
}

#[test]
fn forgotten_connection_is_reopened_with_everything() {
    let server = Server::start();
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=3).map(|port| plum.register(at(port)).unwrap()).collect();
    assert_eq!(ports(&plum, "orders"), [1, 2, 3]);
    server.forget_all();
    let spread = Duration::from_secs(2);
    until("all are back", ONE_BEAT + spread, || server.listed("orders") == [1, 2, 3]);
    let is_subscribed = || {
        let state = server.state();
        let last = state.heard.iter().rev().find(|(_, kind, _)| kind == "SubscribeServiceRequest");
        last.is_some_and(|(connection, ..)| *connection == 2)
    };
    until("and what is watched is subscribed to", SOON, is_subscribed);
    stays("nobody was lost meanwhile", ONE_BEAT, || ports(&plum, "orders") == [1, 2, 3]);
    drop(all);
}

#[test]
fn ignores_old_pushes_and_sudden_empty_lists() {
    let server = Server::start();
    let plum = client(&server.address(), json!({}));
    let watch = plum.watch("orders").unwrap();
    assert!(watch.next_within(SOON).unwrap().unwrap().endpoints.is_empty());
    server.push("orders", &json!([row(1), row(2)]), 2_000);
    until("news are heard", SOON, || ports(&plum, "orders") == [1, 2]);
    server.push("orders", &json!([row(9)]), 1_999);
    server.push("orders", &json!([row(1), row(2), row(3)]), 2_001);
    until("newer ones are", SOON, || ports(&plum, "orders") == [1, 2, 3]);
    server.push("orders", &json!([]), 2_002);
    stays("who is missing stays", Duration::from_secs(2), || ports(&plum, "orders") == [1, 2, 3]);
}

#[test]
fn unknown_server_requests_do_no_harm() {
    let server = Server::start();
    let plum = registering(&server.address());
    let me = plum.register(at(1)).unwrap();
    server.ask_all("SetupAckRequest", &json!({"abilityTable": {}}));
    server.ask_all("SomethingNewRequest", &json!({"requestId": "s"}));
    server.ask_all("NotifySubscriberRequest", &json!({"requestId": "q1"}));
    server.ask_all("ClientDetectionRequest", &json!([]));
    server.ask_all("ClientDetectionRequest", &json!({"requestId": "d1", "module": "internal"}));
    for (kind, id) in [("NotifySubscriberResponse", "q1"), ("ClientDetectionResponse", "d1")] {
        until(kind, SOON, || {
            server
                .state()
                .heard
                .iter()
                .any(|(by, said, body)| (*by, said.as_str()) == (1, kind) && body["requestId"] == id)
        });
    }
    stays("the connection holds", ONE_BEAT, || server.listed("orders") == [1]);
    assert_eq!(server.state().heard.iter().map(|(by, ..)| *by).max(), Some(1));
    drop(me);
}

#[test]
fn disabled_instance_is_not_reregistered_forever() {
    let server = Server::start();
    let plum = registering(&server.address());
    let me = plum.register(at(1)).unwrap();
    server.state().switched_off.insert(1);
    let heard = server.state().heard.len();
    stays("it stays off", Duration::from_secs(9), || server.listed("orders").is_empty());
    let told = server.count("InstanceRequest", heard);
    assert!((1..=4).contains(&told), "registered {told} times in nine beats");
    drop(me);
}

#[test]
fn refused_deregistration_is_retried() {
    let server = Server::start();
    let plum = registering(&server.address());
    let me = plum.register(at(1)).unwrap();
    server.state().refusals = vec![Refusal { what: "deregisterInstance", service: "", code: 500, times: 2 }];
    // Whether the end is told in time is the server's affair; that it is told in the end is ours.
    let _ = me.close(Duration::ZERO);
    until("it is gone", Duration::from_secs(10), || server.listed("orders").is_empty());
    let heard = server.state().heard.len();
    stays("told once, that is enough", Duration::from_secs(3), || {
        server.count("InstanceRequest", heard) == 0
    });
    drop(plum);
}

#[test]
fn endless_name_pages_are_an_error() {
    let server = Server::start();
    server.state().lists_without_end = true;
    let plum = client(&server.address(), json!({"timeout": "60s"}));
    let error = plum.services().unwrap_err();
    assert!(error.to_string().contains("does not end"), "{error}");
}

#[test]
fn unreadable_service_does_not_affect_others() {
    let server = Server::start();
    server.state().refusals = ["SubscribeServiceRequest", "ServiceQueryRequest"]
        .map(|what| Refusal { what, service: "secret", code: 400, times: usize::MAX })
        .into();
    let plum = client(&server.address(), json!({}));
    let losses = |plum: &Client| plum.stats().unwrap().cache.registries[0].losses;
    let watch = plum.watch("orders").unwrap();
    assert!(watch.next_within(SOON).unwrap().unwrap().endpoints.is_empty());
    server.push("orders", &json!([row(1)]), i64::MAX);
    until("it is read", SOON, || ports(&plum, "orders") == [1]);
    let secret = plum.watch("secret").unwrap();
    let asked = || server.state().heard.iter().any(|(_, _, body)| body["serviceName"] == "secret");
    until("the other one is asked for", SOON, asked);
    stays("the registry is up", Duration::from_secs(2), || losses(&plum) == 0);
    let poor = client(&server.address(), json!({}));
    let only = poor.watch("secret").unwrap();
    until("whoever may read nothing hears of it", SOON, || losses(&poor) == 1);
    drop((watch, secret, only));
}

#[test]
fn refused_metadata_does_not_affect_others() {
    let server = Server::start();
    server.state().checks_metadata = true;
    let plum = registering(&server.address());
    let all: Vec<_> = (1..=2).map(|port| plum.register(at(port)).unwrap()).collect();
    let large = plum.register(at(3).label("note", "x".repeat(1_500))).unwrap();
    until("the refusal is heard", SOON, || large.state() == RegistrationState::Refused);
    let error = large.last_error().unwrap();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.message().contains("1500 of them the label \"note\"; Nacos takes 1024"), "{error}");
    let later = plum.register(at(4)).unwrap();
    until("who comes later is listed", SOON, || server.listed("orders") == [1, 2, 4]);
    stays("they stay", 2 * ONE_BEAT, || all.iter().all(|one| one.state() == RegistrationState::Registered));
    large.update(at(3).label("note", "x")).unwrap();
    until("what fits is taken", SOON, || server.listed("orders") == [1, 2, 3, 4]);
    let lenient = Server::start();
    let plum = registering(&lenient.address());
    let taken = plum.register(at(3).label("note", "x".repeat(1_500))).unwrap();
    until("a server that does not check takes it", SOON, || lenient.listed("orders") == [3]);
    drop((all, later, taken));
}
