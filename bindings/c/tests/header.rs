//! `include/plumline.h` is what these sources say. `UPDATE=1 cargo test -p plumline-c --test header` rewrites it.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order in which they stand in the header.
const FILES: [&str; 20] = [
    "boundary",
    "input",
    "kinds",
    "text",
    "library",
    "error",
    "trace",
    "strings",
    "endpoint",
    "response",
    "outgoing",
    "hooks",
    "config",
    "request",
    "pick",
    "service",
    "registration",
    "watch",
    "explain",
    "stats",
];
/// Those that use all the others.
const LAST: [&str; 2] = ["client", "logs"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn generated() -> String {
    let mut config = cbindgen::Config::from_file(here("cbindgen.toml")).unwrap();
    let read = |path: &str| fs::read_to_string(here(path)).unwrap();
    config.header = Some(read("header/top.h"));
    let version = "/**\n * The release this header belongs to; `plumline_version()` says the library's.\n */\n#define PLUMLINE_VERSION";
    config.after_includes = Some(format!("\n{version} \"{}\"", env!("CARGO_PKG_VERSION")));
    let sources = FILES.iter().chain(&LAST).map(|name| here(&format!("src/ffi/{name}.rs")));
    let builder = sources.fold(cbindgen::Builder::new().with_config(config), cbindgen::Builder::with_src);
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    let header = String::from_utf8(header).unwrap();
    let guard = header.rfind("#endif  /* PLUMLINE_H */").expect("the guard's end");
    format!("{}{}{}", &header[..guard], read("header/bottom.h"), &header[guard..])
}

#[test]
fn committed_header_matches_sources() {
    let (committed, generated) = (here("../../include/plumline.h"), generated());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&committed, &generated).unwrap();
    }
    let found = fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        found == generated,
        "include/plumline.h is outdated: UPDATE=1 cargo test -p plumline-c --test header"
    );
}

#[test]
fn header_contains_every_export() {
    let header = generated();
    let sources = fs::read_dir(here("src/ffi")).unwrap();
    for source in sources.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()) {
        for export in source.split("extern \"C\" fn plumline_").skip(1) {
            let name = format!("plumline_{}(", export.split('(').next().unwrap());
            assert!(header.contains(&name), "{name}) is missing");
        }
    }
}

/// What keeps a panic from unwinding into C, and the wrappers around it.
const GUARDS: [&str; 8] = ["boundary(", "make(", "make_if(", "look(", "say(", "free(", "word(", "settle("];
/// They return a constant.
const UNGUARDED: [&str; 2] = ["version", "abi_version"];

#[test]
fn every_export_has_a_panic_guard() {
    for source in fs::read_dir(here("src/ffi")).unwrap().map(|entry| entry.unwrap().path()) {
        let source = fs::read_to_string(source).unwrap();
        for export in source.split("extern \"C\" fn plumline_").skip(1) {
            let name = export.split('(').next().unwrap();
            let body = export.split_once("{\n").unwrap().1.split("\n}").next().unwrap();
            let is_guarded = GUARDS.iter().any(|guard| body.contains(guard));
            assert!(is_guarded != UNGUARDED.contains(&name), "plumline_{name}: {body}");
        }
    }
}
