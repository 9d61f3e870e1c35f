//! Checks the structure in ARCHITECTURE.md: imports only go to lower floors, and only `ffi.rs` uses `unsafe`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every part of core and its floor. Floor 0 is one part, whose files may use each other.
const FLOORS: [(u8, &[&str]); 6] = [
    (
        0,
        &[
            "clock",
            "config",
            "error",
            "header",
            "interrupt",
            "model",
            "nearest",
            "membership",
            "sync",
            "telemetry",
        ],
    ),
    (1, &["balance", "resilience", "runtime"]),
    (2, &["transport"]),
    (3, &["call", "registry"]),
    (4, &["catalog", "registration"]),
    (5, &["client"]),
];

fn floor_of(part: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, parts)| parts.contains(&part)).map(|(floor, _)| *floor)
}

fn core_src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name != "target" && !name.starts_with('.')
    };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(is_ours);
    paths
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The code of a file, without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The part that a file belongs to: the first step below `src`.
fn part_of(path: &Path) -> String {
    let first = path.strip_prefix(core_src()).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned()
}

/// What `lib.rs` re-exports, and the part it comes from.
fn reexports() -> BTreeMap<String, String> {
    let lib = code(&core_src().join("lib.rs")).replace('\n', " ");
    let mut found = BTreeMap::new();
    for statement in lib.split(';').filter_map(|statement| statement.trim().split("pub use ").nth(1)) {
        let (part, names) = statement.split_once("::").unwrap();
        for name in names
            .split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'))
            .filter(|name| !name.is_empty())
        {
            found.insert(name.to_owned(), part.to_owned());
        }
    }
    found
}

/// The names after `crate::` in a file.
fn imports(path: &Path) -> Vec<String> {
    let code = code(path);
    let after = code.split("crate::").skip(1);
    after
        .map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn imports_only_go_down() {
    let reexports = reexports();
    let mut wrong = Vec::new();
    for path in rust_files(&core_src()).iter().filter(|path| !path.ends_with("lib.rs")) {
        let part = part_of(path);
        let floor = floor_of(&part).unwrap_or_else(|| panic!("{part} is on no floor; add it to FLOORS"));
        for import in imports(path) {
            let target = reexports.get(&import).unwrap_or(&import);
            let below = floor_of(target).is_some_and(|other| other < floor || floor == 0 && other == 0);
            if target != &part && !below {
                wrong.push(format!("{} (floor {floor}) imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn modules_do_not_reach_beyond_their_parent() {
    let found: Vec<PathBuf> = rust_files(&core_src())
        .into_iter()
        .filter(|path| part_of(path) != "registry" && code(path).contains("super::super::"))
        .collect();
    assert!(found.is_empty(), "use crate:: instead of super::super:: in {found:#?}");
}

#[test]
fn unsafe_is_used_only_in_ffi() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let uses_it = |path: &PathBuf| {
        code(path)
            .split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'))
            .any(|word| word == "unsafe")
    };
    // A file of that name, or a folder where one file would be too long.
    let is_ffi = |path: &PathBuf| {
        path.ends_with("ffi.rs") || path.parent().is_some_and(|folder| folder.ends_with("src/ffi"))
    };
    let found: Vec<PathBuf> = rust_files(workspace)
        .into_iter()
        .filter(|path| !is_ffi(path) && !path.ends_with("core/tests/house.rs"))
        .filter(uses_it)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn controller_depends_on_neither_core_nor_clap() {
    let manifest = core_src().join("../../controller/Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names = dependencies.lines().filter_map(|line| line.split([' ', '=']).next());
    let found: Vec<&str> = names.filter(|name| ["plumline", "clap"].contains(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn only_listed_files_read_the_wall_clock() {
    // The snapshot on disk and registry records store a date, and Retry-After may contain one. Nothing else may read it.
    let may_ask = [
        "catalog/snapshot_file.rs",
        "call/blocking.rs",
        "resilience/retry_after.rs",
        "registry/timestamp.rs",
    ];
    let found: Vec<PathBuf> = rust_files(&core_src())
        .into_iter()
        .filter(|path| !may_ask.iter().any(|allowed| path.ends_with(allowed)))
        .filter(|path| code(path).contains("SystemTime"))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
