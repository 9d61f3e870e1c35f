//! `services`, `discover`, `explain`, `watch` and `completions`: output for people and for scripts.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Connection, Plumline};
use support::{Running, free_port, plumline, run};

/// Registers an endpoint with every field set.
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
fn services_prints_a_table_or_json() {
    let plumline = controller_with_two();
    let output = plumline.run(&["services"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let expected = "SERVICE  ENDPOINTS  VERSIONS\nbilling  1          v2\norders   2          v1\n";
    assert_eq!((output.out.as_str(), output.err.as_str()), (expected, ""));
    let json = json!([
        {"service": "billing", "endpoints": 1, "versions": ["v2"]},
        {"service": "orders", "endpoints": 2, "versions": ["v1"]},
    ]);
    assert_eq!(plumline.run(&["services", "--json"]).json(), json);
}

#[test]
fn services_succeeds_with_an_empty_registry() {
    let plumline = Plumline::controller(&[]);
    let output = plumline.run(&["services"]);
    let expected = (Some(0), "", "plumline: no services are registered\n");
    assert_eq!((output.code, output.out.as_str(), output.err.as_str()), expected);
    assert_eq!(plumline.run(&["services", "--json"]).json(), json!([]));
}

#[test]
fn discover_prints_every_field_of_an_endpoint() {
    let plumline = controller_with_two();
    let output = plumline.run(&["discover", "billing"]);
    let expected = "\
ADDRESS         PROTOCOL  VERSION  WEIGHT  ZONE  INSTANCE  LABELS
127.0.0.1:7001  grpc      v2       5       a     b-1       region=eu
";
    assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (Some(0), expected, ""));
    let found = plumline.run(&["discover", "billing", "--json"]).json();
    assert_eq!((&found[0]["port"], &found[0]["labels"]["region"]), (&json!(7001), &json!("eu")));
}

#[test]
fn discover_names_the_filter_that_excludes_endpoints() {
    let plumline = controller_with_two();
    for kept in [["--version", "v2"], ["--protocol", "grpc"], ["--label", "region=eu"]] {
        let output = plumline.run(&[&["discover", "billing", "--json"], kept.as_slice()].concat());
        assert_eq!((output.code, output.json().as_array().map(Vec::len)), (Some(0), Some(1)), "{kept:?}");
    }
    for (filter, reason) in [
        (["--version", "v1"], "filtered (version v2)"),
        (["--protocol", "http"], "filtered (protocol grpc)"),
        (["--label", "region=us"], "filtered (label region eu)"),
    ] {
        let output = plumline.run(&[&["discover", "billing"], filter.as_slice()].concat());
        assert_eq!((output.code, output.out.as_str()), (Some(13), ""), "{filter:?}");
        assert!(output.err.contains(reason), "{output:?}");
    }
}

#[test]
fn unknown_service_exits_13_with_a_suggestion() {
    let plumline = controller_with_two();
    for command in ["discover", "explain", "call"] {
        let path: &[&str] = if command == "call" { &["/"] } else { &[] };
        let output = plumline.run(&[&[command, "ordrs"], path].concat());
        assert_eq!(output.code, Some(13), "{command}: {output:?}");
        let whole = output.out + &output.err;
        assert!(whole.contains(r#"nothing registered as "ordrs"; did you mean "orders"?"#), "{whole}");
        assert_eq!(whole.lines().count(), 1, "{whole}");
    }
    let output = plumline.run(&["discover", "ordrs", "--json"]);
    assert_eq!((output.code, output.json()), (Some(13), json!([])));
}

#[test]
fn explain_gives_a_reason_for_each_endpoint() {
    let plumline = controller_with_two();
    let output = plumline.run(&["explain", "orders"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.out.starts_with(r#"2 of 2 endpoints of "orders" usable"#), "{output:?}");
    let explained = plumline.run(&["explain", "billing", "--version", "v1", "--json"]);
    assert_eq!(explained.code, Some(13), "{explained:?}");
    let explained = explained.json();
    assert_eq!(explained["usable"], 0);
    assert_eq!(explained["endpoints"][0]["reasons"], json!(["filtered (version v2)"]));
}

#[test]
fn missing_registry_names_option_and_variable() {
    for arguments in [&["services"][..], &["watch"], &["call", "orders", "/"], &["discover", "orders"]] {
        let output = run(&mut plumline(arguments));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.err.contains("--registry") && output.err.contains("PLUMLINE_REGISTRY"), "{output:?}");
        assert_eq!(output.err.lines().count(), 1);
    }
}

#[test]
fn argument_overrides_environment() {
    let plumline = controller_with_two();
    let mut command = support::plumline(&["services", "--registry", &plumline.registry()]);
    let output = run(command.env("PLUMLINE_REGISTRY", format!("plum://127.0.0.1:{}", free_port())));
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn wrong_address_prints_one_line_and_sets_exit_code() {
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
            let output = run(&mut plumline(&words));
            assert_eq!(
                (output.code, output.out.as_str()),
                (Some(code), ""),
                "{command} {address}: {output:?}"
            );
            assert!(
                output.err.starts_with("plumline: ") && output.err.contains(text),
                "{command}: {output:?}"
            );
            assert_eq!(output.err.lines().count(), 1, "{output:?}");
        }
    }
}

#[test]
fn unreachable_and_unauthorized_have_different_exit_codes() {
    let stopped = Plumline::controller(&[]);
    let address = stopped.registry();
    drop(stopped);
    assert_eq!(run(&mut plumline(&["services", "--registry", &address])).code, Some(15));
    let guarded = Plumline::controller(&["--token", "secret"]);
    let output = guarded.run(&["services"]);
    assert_eq!(output.code, Some(18), "{output:?}");
    let with_token = format!("{}?token=secret", guarded.registry());
    let output = run(&mut plumline(&["services", "--registry", &with_token]));
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn misspelt_argument_prints_one_line_with_a_suggestion() {
    for (arguments, meant) in [
        (&["services", "--jsn"][..], "--json"),
        (&["discover", "orders", "--verison", "v1"], "--version"),
        (&["call", "orders", "/", "--tmeout", "1s"], "--timeout"),
        (&["servces"], "services"),
        (&["completions", "bsh"], "bash"),
    ] {
        let output = run(&mut plumline(arguments));
        assert_eq!((output.code, output.out.as_str()), (Some(2), ""), "{output:?}");
        assert!(output.err.starts_with("plumline: ") && output.err.contains(meant), "{output:?}");
        assert_eq!(output.err.lines().count(), 1, "{output:?}");
    }
}

#[test]
fn help_lists_the_exit_codes() {
    let output = run(&mut plumline(&["--help"]));
    assert_eq!(output.code, Some(0));
    for code in
        ["    0  done", "    2  invalid arguments", "   13  no endpoint", "  130  interrupted by Ctrl-C"]
    {
        assert!(output.out.contains(code), "{code} in {}", output.out);
    }
}

fn kinds(change: &Value) -> (&str, &str, usize) {
    let text = |key: &str| change[key].as_str().expect("a text");
    (text("service"), text("kind"), change["endpoints"].as_array().expect("a list").len())
}

#[test]
fn watch_prints_every_change_of_a_service() {
    let plumline = Plumline::controller(&[]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 7002);
    let mut watch = Running::start(&mut plumline.command(&["watch", "orders", "--json"]));
    assert_eq!(kinds(&watch.json_line()), ("orders", "snapshot", 1));
    connection.register("orders", "o-2", 7003);
    let change = watch.json_line();
    assert_eq!((kinds(&change), &change["added"][0]["port"]), (("orders", "changed", 2), &json!(7003)));
    connection.delete("/v1/services?instanceId=o-2");
    let change = watch.json_line();
    assert_eq!((kinds(&change), &change["removed"][0]["port"]), (("orders", "changed", 1), &json!(7003)));
    watch.signal(Signal::INT);
    let output = watch.end();
    assert_eq!((output.code, output.err.as_str()), (Some(130), ""));
}

#[test]
fn watch_of_all_services_prints_new_services() {
    let plumline = Plumline::controller(&[]);
    let mut connection = plumline.connect();
    connection.register("orders", "o-1", 7002);
    let mut watch = Running::start(&mut plumline.command(&["watch"]));
    let without_time = |line: String| line.split_once("Z  ").map(|(_, what)| what.to_owned());
    assert_eq!(without_time(watch.line()).as_deref(), Some("orders  + 127.0.0.1:7002  http  v1"));
    register_in_full(&mut connection);
    let billing = "billing  + 127.0.0.1:7001  grpc  v2  weight 5  a  region=eu";
    assert_eq!(without_time(watch.line()).as_deref(), Some(billing));
}

#[test]
fn watch_reports_and_survives_a_stopped_controller() {
    let plumline = Plumline::controller(&[]);
    plumline.connect().register("orders", "o-1", 7002);
    let mut watch = Running::start(&mut plumline.command(&["watch", "orders", "--json"]));
    assert_eq!(kinds(&watch.json_line()), ("orders", "snapshot", 1));
    let address = plumline.address.to_string();
    drop(plumline);
    assert_eq!(kinds(&watch.json_line()), ("orders", "registry_down", 1));
    let _again = Plumline::controller_on(&address, &[]);
    assert_eq!(kinds(&watch.json_line()), ("orders", "registry_up", 1));
}

#[test]
fn watch_exits_0_when_its_reader_closes_stdout() {
    let plumline = Plumline::controller(&[]);
    plumline.connect().register("orders", "o-1", 7002);
    let mut pipe = std::process::Command::new("sh");
    // Nothing changes after the first line, so the command must notice the closed pipe without writing to it.
    pipe.args(["-c", "{ \"$0\" watch; echo \"ended $?\" >&2; } | head -n 1", env!("CARGO_BIN_EXE_plumline")]);
    let pipe = Running::start(pipe.env("PLUMLINE_REGISTRY", plumline.registry()));
    let output = pipe.end();
    assert!(output.out.contains("127.0.0.1:7002"), "{output:?}");
    assert_eq!(output.err, "ended 0\n");
}

#[test]
fn prints_completions_for_each_shell() {
    for (shell, begins) in [("bash", "_plumline()"), ("zsh", "#compdef plumline"), ("fish", "# ")] {
        let output = run(&mut plumline(&["completions", shell]));
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{shell}");
        assert!(output.out.starts_with(begins), "{shell}: {}", &output.out[..80]);
        for word in ["services", "discover", "register", "registry", "completions"] {
            assert!(output.out.contains(word), "{shell} knows no {word}");
        }
    }
}

#[test]
fn bash_completes_subcommands() {
    let script = format!(
        "source <('{}' completions bash); COMP_WORDS=(plumline disc); COMP_CWORD=1; _plumline plumline disc plumline; echo ${{COMPREPLY[@]}}",
        env!("CARGO_BIN_EXE_plumline")
    );
    let output = run(std::process::Command::new("bash").args(["-c", &script]));
    assert_eq!(output.out, "discover\n", "{output:?}");
}
