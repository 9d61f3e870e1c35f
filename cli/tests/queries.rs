//! `services`, `discover`, `explain`, `watch` and `completions` as a person and as a script meet them.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Connection, Plumline};
use support::{Running, free_port, plumline, say};

/// Registers an endpoint with all that can be said of one.
fn register_in_full(connection: &mut Connection) {
    let body = json!({
        "instanceId": "b-1", "nodeId": "n1", "ip": "127.0.0.1",
        "endpoints": [{
            "serviceName": "billing", "port": 7001, "protocol": "grpc", "version": "v2",
            "labels": {"region": "eu", "zone": "a", "weight": "5"},
        }],
    });
    assert_eq!(connection.post("/v1/services/register?replace=true", &body).status, 204);
}

fn controller_with_two() -> Plumline {
    let plumline = Plumline::controller(&["--service-ttl", "1h"]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 7002);
    connection.register("orders", "o-2", 7003);
    register_in_full(&mut connection);
    plumline
}

#[test]
fn services_are_listed_for_people_and_for_programs() {
    let plumline = controller_with_two();
    let said = plumline.say(&["services"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let expected = "SERVICE  ENDPOINTS  VERSIONS\nbilling  1          v2\norders   2          v1\n";
    assert_eq!((said.out.as_str(), said.err.as_str()), (expected, ""));
    let json = json!([
        {"service": "billing", "endpoints": 1, "versions": ["v2"]},
        {"service": "orders", "endpoints": 2, "versions": ["v1"]},
    ]);
    assert_eq!(plumline.say(&["services", "--json"]).json(), json);
}

#[test]
fn an_empty_registry_is_no_failure() {
    let plumline = Plumline::controller(&[]);
    let said = plumline.say(&["services"]);
    let expected = (Some(0), "", "plumline: nothing is registered\n");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), expected);
    assert_eq!(plumline.say(&["services", "--json"]).json(), json!([]));
}

#[test]
fn endpoints_are_listed_with_all_that_is_known_of_them() {
    let plumline = controller_with_two();
    let said = plumline.say(&["discover", "billing"]);
    let expected = "\
ADDRESS         PROTOCOL  VERSION  WEIGHT  ZONE  INSTANCE  LABELS
127.0.0.1:7001  grpc      v2       5       a     b-1       region=eu
";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), expected, ""));
    let found = plumline.say(&["discover", "billing", "--json"]).json();
    assert_eq!((&found[0]["port"], &found[0]["labels"]["region"]), (&json!(7001), &json!("eu")));
}

#[test]
fn filters_leave_out_and_say_what_they_left_out() {
    let plumline = controller_with_two();
    for kept in [["--version", "v2"], ["--protocol", "grpc"], ["--label", "region=eu"]] {
        let said = plumline.say(&[&["discover", "billing", "--json"], kept.as_slice()].concat());
        assert_eq!((said.code, said.json().as_array().map(Vec::len)), (Some(0), Some(1)), "{kept:?}");
    }
    for (filter, reason) in [
        (["--version", "v1"], "filtered (version v2)"),
        (["--protocol", "http"], "filtered (protocol grpc)"),
        (["--label", "region=us"], "filtered (label region eu)"),
    ] {
        let said = plumline.say(&[&["discover", "billing"], filter.as_slice()].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(13), ""), "{filter:?}");
        assert!(said.err.contains(reason), "{said:?}");
    }
}

#[test]
fn an_unknown_service_has_its_exit_code_and_a_hint() {
    let plumline = controller_with_two();
    for command in ["discover", "explain", "call"] {
        let path: &[&str] = if command == "call" { &["/"] } else { &[] };
        let said = plumline.say(&[&[command, "ordrs"], path].concat());
        assert_eq!(said.code, Some(13), "{command}: {said:?}");
        let whole = said.out + &said.err;
        assert!(whole.contains(r#"nothing registered as "ordrs"; did you mean "orders"?"#), "{whole}");
        assert_eq!(whole.lines().count(), 1, "{whole}");
    }
    let said = plumline.say(&["discover", "ordrs", "--json"]);
    assert_eq!((said.code, said.json()), (Some(13), json!([])));
}

#[test]
fn an_explanation_names_each_endpoint_and_its_fate() {
    let plumline = controller_with_two();
    let said = plumline.say(&["explain", "orders"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with(r#"2 of 2 endpoints of "orders" usable"#), "{said:?}");
    let explained = plumline.say(&["explain", "billing", "--version", "v1", "--json"]);
    assert_eq!(explained.code, Some(13), "{explained:?}");
    let explained = explained.json();
    assert_eq!(explained["usable"], 0);
    assert_eq!(explained["endpoints"][0]["reasons"], json!(["filtered (version v2)"]));
}

#[test]
fn without_a_registry_both_ways_to_name_one_are_said() {
    for arguments in [&["services"][..], &["watch"], &["call", "orders", "/"], &["discover", "orders"]] {
        let said = say(&mut plumline(arguments));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("--registry") && said.err.contains("PLUMLINE_REGISTRY"), "{said:?}");
        assert_eq!(said.err.lines().count(), 1);
    }
}

#[test]
fn an_argument_is_stronger_than_the_environment() {
    let plumline = controller_with_two();
    let mut command = support::plumline(&["services", "--registry", &plumline.registry()]);
    let said = say(command.env("PLUMLINE_REGISTRY", format!("plum://127.0.0.1:{}", free_port())));
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_wrong_address_is_one_line_and_an_exit_code() {
    let nobody = format!("plum://127.0.0.1:{}", free_port());
    for (address, code, text) in [
        (nobody.as_str(), 15, "could not connect"),
        ("plom://127.0.0.1:1", 2, r#"did you mean "plum"?"#),
        ("127.0.0.1:8080", 2, "has no scheme"),
        ("plum://127.0.0.1:1?tokn=x", 2, "tokn"),
    ] {
        for command in
            ["services", "discover orders", "watch", "watch orders", "explain orders", "call orders /"]
        {
            let words: Vec<&str> = command.split(' ').chain(["--registry", address]).collect();
            let said = say(&mut plumline(&words));
            assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{command} {address}: {said:?}");
            assert!(said.err.starts_with("plumline: ") && said.err.contains(text), "{command}: {said:?}");
            assert_eq!(said.err.lines().count(), 1, "{said:?}");
        }
    }
}

#[test]
fn a_controller_that_stopped_or_wants_a_token_is_told_apart() {
    let stopped = Plumline::controller(&[]);
    let address = stopped.registry();
    drop(stopped);
    assert_eq!(say(&mut plumline(&["services", "--registry", &address])).code, Some(15));
    let guarded = Plumline::controller(&["--token", "secret"]);
    let said = guarded.say(&["services"]);
    assert_eq!(said.code, Some(18), "{said:?}");
    let with_token = format!("{}?token=secret", guarded.registry());
    let said = say(&mut plumline(&["services", "--registry", &with_token]));
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_misspelt_word_is_one_line_with_the_right_one() {
    for (arguments, meant) in [
        (&["services", "--jsn"][..], "--json"),
        (&["discover", "orders", "--verison", "v1"], "--version"),
        (&["call", "orders", "/", "--tmeout", "1s"], "--timeout"),
        (&["servces"], "services"),
        (&["completions", "bsh"], "bash"),
    ] {
        let said = say(&mut plumline(arguments));
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
        assert!(said.err.starts_with("plumline: ") && said.err.contains(meant), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let said = say(&mut plumline(&["--help"]));
    assert_eq!(said.code, Some(0));
    for code in ["    0  done", "    2  called", "   13  no endpoint", "  130  ended by Ctrl-C"] {
        assert!(said.out.contains(code), "{code} in {}", said.out);
    }
}

fn kinds(change: &Value) -> (&str, &str, usize) {
    let text = |key: &str| change[key].as_str().expect("a text");
    (text("service"), text("kind"), change["endpoints"].as_array().expect("a list").len())
}

#[test]
fn a_watch_tells_every_change_of_a_service() {
    let plumline = Plumline::controller(&[]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 7002);
    let mut watch = Running::start(&mut plumline.person(&["watch", "orders", "--json"]));
    assert_eq!(kinds(&watch.json_line()), ("orders", "snapshot", 1));
    connection.register("orders", "o-2", 7003);
    let change = watch.json_line();
    assert_eq!((kinds(&change), &change["added"][0]["port"]), (("orders", "changed", 2), &json!(7003)));
    connection.delete("/v1/services?instanceId=o-2");
    let change = watch.json_line();
    assert_eq!((kinds(&change), &change["removed"][0]["port"]), (("orders", "changed", 1), &json!(7003)));
    watch.signal(Signal::INT);
    let said = watch.end();
    assert_eq!((said.code, said.err.as_str()), (Some(130), ""));
}

#[test]
fn a_watch_of_all_tells_of_services_to_come_in_words() {
    let plumline = Plumline::controller(&[]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 7002);
    let mut watch = Running::start(&mut plumline.person(&["watch"]));
    let told = |line: String| line.split_once("Z  ").map(|(_, what)| what.to_owned());
    assert_eq!(told(watch.line()).as_deref(), Some("orders  + 127.0.0.1:7002  http  v1"));
    register_in_full(&mut connection);
    let billing = "billing  + 127.0.0.1:7001  grpc  v2  weight 5  a  region=eu";
    assert_eq!(told(watch.line()).as_deref(), Some(billing));
}

#[test]
fn a_watch_survives_a_stopped_controller_and_says_so() {
    let plumline = Plumline::controller(&[]);
    plumline.connect().register("orders", "o-1", 7002);
    let mut watch = Running::start(&mut plumline.person(&["watch", "orders", "--json"]));
    assert_eq!(kinds(&watch.json_line()), ("orders", "snapshot", 1));
    let address = plumline.address.to_string();
    drop(plumline);
    assert_eq!(kinds(&watch.json_line()), ("orders", "registry_down", 1));
    let _again = Plumline::controller_on(&address, &[]);
    assert_eq!(kinds(&watch.json_line()), ("orders", "registry_up", 1));
}

#[test]
fn a_watch_ends_quietly_once_nobody_reads_it() {
    let plumline = Plumline::controller(&[]);
    plumline.connect().register("orders", "o-1", 7002);
    let mut pipe = std::process::Command::new("sh");
    // Nothing changes after the first line: it must notice the missing reader by itself.
    pipe.args(["-c", "{ \"$0\" watch; echo \"ended $?\" >&2; } | head -n 1", env!("CARGO_BIN_EXE_plumline")]);
    let pipe = Running::start(pipe.env("PLUMLINE_REGISTRY", plumline.registry()));
    let said = pipe.end();
    assert!(said.out.contains("127.0.0.1:7002"), "{said:?}");
    assert_eq!(said.err, "ended 0\n");
}

#[test]
fn completions_are_there_for_each_shell() {
    for (shell, begins) in [("bash", "_plumline()"), ("zsh", "#compdef plumline"), ("fish", "# ")] {
        let said = say(&mut plumline(&["completions", shell]));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{shell}");
        assert!(said.out.starts_with(begins), "{shell}: {}", &said.out[..80]);
        for word in ["services", "discover", "register", "registry", "completions"] {
            assert!(said.out.contains(word), "{shell} knows no {word}");
        }
    }
}

#[test]
fn bash_completes_with_it() {
    let script = format!(
        "source <('{}' completions bash); COMP_WORDS=(plumline disc); COMP_CWORD=1; _plumline plumline disc plumline; echo ${{COMPREPLY[@]}}",
        env!("CARGO_BIN_EXE_plumline")
    );
    let said = say(std::process::Command::new("bash").args(["-c", &script]));
    assert_eq!(said.out, "discover\n", "{said:?}");
}
