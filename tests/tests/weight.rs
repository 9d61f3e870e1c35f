//! What a Rust user compiles who asks for nothing in particular.

use std::process::Command;

/// The names of the crates that one with these features depends on.
fn crates(features: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "--package", "plumline", "--edges", "normal"]);
    tree.args(["--prefix", "none", "--format", "{lib}", "--features", features]);
    let said = tree.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn default_features_do_not_include_tokio() {
    let light = crates("");
    for heavy in ["tokio", "tonic", "hyper", "prost", "h2", "futures_util"] {
        assert!(!light.iter().any(|name| name == heavy), "{heavy} is among {light:?}");
    }
    assert!(crates("etcd").iter().any(|name| name == "tonic"), "the question finds what is there");
}
