//! What is checked in is what the protocols say.

use std::path::Path;

use plumline_protocols::{PROTOCOLS, generate};

#[test]
fn checked_in_code_matches_protocols() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (proto, code) in PROTOCOLS {
        let scratch = tempfile::tempdir().unwrap();
        let expected = generate(proto, scratch.path()).unwrap();
        let path = root.join(code);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "{code} is stale: UPDATE=1 cargo test --package plumline-protocols");
    }
}
