//! Takes the program on the README's first page out of it, so that `tests/readme.rs` can run it.

use std::path::Path;

/// Where the README says the registry is.
const ADDRESS: &str = r#""plum://127.0.0.1:8080""#;

fn main() {
    println!("cargo::rerun-if-changed=../README.md");
    let readme = std::fs::read_to_string("../README.md").expect("../README.md can be read");
    let program = readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next());
    let program = program.expect("the README shows a program in Rust");
    assert!(program.contains(ADDRESS), "the README's program asks the registry at {ADDRESS}");
    let program = program.replace(ADDRESS, "&super::address()").replace("fn main()", "pub(super) fn main()");
    let folder = std::env::var("OUT_DIR").expect("cargo names a folder");
    std::fs::write(Path::new(&folder).join("readme.rs"), program).expect("the program can be written");
}
