//! What the documentation shows is there: its settings load, its commands exist, its links lead somewhere.
//!
//! Rust blocks are doc tests of this crate, those of other languages run in `tests/documentation`. The rest is here:
//!
//! | block | |
//! |---|---|
//! | ` ```json config `, `yaml config`, `toml config` | is a configuration |
//! | ` ```json services `, `yaml services`, `toml services` | is a file for a `file://` registry |
//! | ` ```sh ` | names `make` targets, `plumline` subcommands and flags, examples and variables that exist |
//! | ` ```text ` | is output or a drawing |

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use plumline::{Client, Config};
use plumline_tests::documentation::PAGES;

/// Commands that are not ours and are taken on trust.
const OTHERS: [&str; 1] = ["curl"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn text(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

fn extension(name: &str) -> Option<&str> {
    Path::new(name).extension().and_then(|extension| extension.to_str())
}

/// A fenced block: where it stands, what follows the fence, what it holds.
struct Block {
    place: String,
    info: String,
    body: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in text(page).lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(info), false) => {
                let (place, info) = (format!("{page}:{}", number + 1), info.trim().to_owned());
                blocks.push(Block { place, info, body: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let body = &mut blocks.last_mut().unwrap().body;
                body.push_str(line);
                body.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "{page}: a block is not closed");
    blocks
}

fn all_blocks() -> Vec<Block> {
    PAGES.iter().flat_map(|page| blocks(page)).collect()
}

#[test]
fn every_page_is_tested_and_in_the_summary() {
    let markdown = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| extension(name) == Some("md")).map(|name| format!("{folder}{name}")).collect()
    };
    let found: BTreeSet<String> = markdown("").into_iter().chain(markdown("docs/")).collect();
    let tested: BTreeSet<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(found, tested);

    let summary = text("docs/SUMMARY.md");
    let guide = markdown("docs/").into_iter().filter(|page| page != "docs/SUMMARY.md");
    let missing: Vec<String> =
        guide.filter(|page| !summary.contains(&format!("({})", &page["docs/".len()..]))).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_block_kind_is_tested() {
    for Block { place, info, .. } in all_blocks() {
        let known = matches!(
            info.as_str(),
            "rust"
                | "rust,no_run"
                | "python"
                | "java"
                | "c"
                | "cpp"
                | "sh"
                | "text"
                | "json config"
                | "yaml config"
                | "toml config"
                | "json services"
                | "yaml services"
                | "toml services"
        );
        assert!(known, "{place}: nobody tests a block of {info:?}");
    }
}

#[test]
fn every_configuration_example_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    for Block { place, info, body } in all_blocks() {
        if let Some((format, "config")) = info.split_once(' ') {
            let path = folder.path().join(format!("config.{format}"));
            std::fs::write(&path, body).unwrap();
            let read = Config::from_file(&path);
            assert!(read.as_ref().is_ok_and(|config| *config != Config::default()), "{place}: {read:?}");
        }
    }
}

#[test]
fn every_registry_file_example_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    for Block { place, info, body } in all_blocks() {
        if let Some((format, "services")) = info.split_once(' ') {
            let path = folder.path().join(format!("services.{format}"));
            std::fs::write(&path, body).unwrap();
            let plum = Client::new(&format!("file://{}", path.display())).unwrap();
            let found = plum.discover("orders").unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(!found.is_empty(), "{place}: no orders in it");
        }
    }
}

#[test]
fn every_command_example_exists() {
    for Block { place, info, body } in all_blocks().into_iter().filter(|block| block.info == "sh") {
        let lines = body.replace("\\\n", " ");
        for line in lines.lines().map(|line| line.split(" #").next().unwrap_or_default().trim()) {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            if !line.is_empty() && !line.starts_with('#') {
                check_command(&place, line);
            }
        }
        assert!(!body.trim().is_empty(), "{place} {info}: empty");
    }
}

fn check_command(place: &str, line: &str) {
    let is_variable =
        |word: &&str| word.split_once('=').is_some_and(|(name, _)| name.starts_with("PLUMLINE_"));
    let words: Vec<&str> = line.strip_prefix("export ").unwrap_or(line).split_whitespace().collect();
    let variables: Vec<&str> = words.iter().copied().take_while(is_variable).collect();
    check_variables(place, &variables);
    match &words[variables.len()..] {
        [] => {}
        ["make", targets @ ..] => targets.iter().for_each(|target| check_target(place, target)),
        ["plumline" | "target/release/plumline", arguments @ ..] => check_plumline(place, arguments),
        ["cargo", arguments @ ..] => check_cargo(place, arguments),
        ["python", script, ..] if extension(script) == Some("py") => {
            assert!(root().join(script).is_file(), "{place}: there is no {script}");
        }
        [command, ..] => assert!(OTHERS.contains(command), "{place}: nobody knows of {command:?}"),
    }
}

fn check_variables(place: &str, variables: &[&str]) {
    let pairs: Vec<(String, String)> = variables
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .filter(|(name, _)| name != "PLUMLINE_CONFIG")
        .collect();
    if !pairs.is_empty() {
        let read = Config::from_layers(&pairs, serde_json::json!({}));
        let sets_something = read.as_ref().is_ok_and(|config| *config != Config::default());
        assert!(sets_something, "{place}: {variables:?} sets nothing: {read:?}");
    }
}

fn check_target(place: &str, target: &str) {
    let makefile = text("Makefile");
    let is_there =
        target.contains('=') || makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    assert!(is_there, "{place}: there is no `make {target}`");
}

fn check_cargo(place: &str, arguments: &[&str]) {
    if let Some(bin) = arguments.iter().skip_while(|word| **word != "--bin").nth(1) {
        let manifests = text("examples/Cargo.toml") + &text("cli/Cargo.toml");
        assert!(manifests.contains(&format!("name = \"{bin}\"")), "{place}: there is no {bin}");
    }
}

/// The subcommand exists, and each of its `--flags` up to a lone `--`.
fn check_plumline(place: &str, arguments: &[&str]) {
    let own: Vec<&str> = arguments.iter().copied().take_while(|word| *word != "--").collect();
    let subcommand = own.iter().find(|word| !word.starts_with('-'));
    let help = help_of(subcommand.copied()).unwrap_or_else(|said| panic!("{place}: {arguments:?}: {said}"));
    for flag in own.iter().filter(|word| word.starts_with("--")) {
        let name = flag.split('=').next().unwrap();
        assert!(help.contains(name), "{place}: `plumline {}` has no {name}", subcommand.unwrap_or(&""));
    }
}

fn help_of(subcommand: Option<&str>) -> Result<String, String> {
    let output = Command::new(PLUMLINE.as_path()).args(subcommand).arg("--help").output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// The command, beside this test where the whole workspace was built, else built now.
static PLUMLINE: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join(format!("plumline{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "plumline-cli", "--bin", "plumline"])
            .current_dir(root())
            .status()
            .unwrap();
        assert!(built.success());
    }
    path
});

#[test]
fn both_readmes_contain_the_same_code() {
    let code = |page| blocks(page).into_iter().map(|block| (block.info, block.body)).collect::<Vec<_>>();
    assert_eq!(code("README.md"), code("README.zh.md"));
}

#[test]
fn every_link_resolves() {
    for page in PAGES {
        let folder = root().join(page);
        for link in links(&text(page)) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { root().join(page) } else { folder.parent().unwrap().join(file) };
            assert!(target.exists(), "{page}: {link} leads nowhere");
            if !anchor.is_empty() {
                let headings = std::fs::read_to_string(&target).unwrap();
                let found =
                    headings.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor);
                assert!(found, "{page}: {link}: no such heading");
            }
        }
    }
}

/// What stands in `](…)`, but for addresses of the web.
fn links(page: &str) -> Vec<String> {
    let after = page.split("](").skip(1);
    let links = after.filter_map(|rest| rest.split(')').next()).map(str::to_owned);
    links.filter(|link| !link.contains("://") && !link.contains(' ')).collect()
}

/// A heading as it stands behind a `#` in a link.
fn slug(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
