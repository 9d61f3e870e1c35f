//! The faces compared name by name: whoever knows one language knows the words of all of them.
//!
//! The words are data, `tests/conformance/words.json`: by class, what it is called in each language, its words,
//! and where a language says one otherwise (`null`: in a way of its own, `why` says which). A word that a
//! language has and the list does not is as wrong as one that is missing.

mod faces;

use std::collections::{BTreeMap, BTreeSet};

use faces::Words;
use plumline::{ChangeKind, Config, Kind};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "$comment")]
    _comment: String,
    classes: BTreeMap<String, Class>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    /// What it is called, by language; a language that has it not is left out.
    called: BTreeMap<String, String>,
    /// Its words, and what a language says instead.
    words: BTreeMap<String, BTreeMap<String, Option<String>>>,
    /// Words that one language has beside those.
    #[serde(default)]
    besides: BTreeMap<String, BTreeSet<String>>,
    /// Why something is said otherwise.
    #[serde(default)]
    why: BTreeMap<String, String>,
}

fn list() -> List {
    serde_json::from_str(&faces::read("tests/conformance/words.json")).unwrap()
}

/// What a language has that the list does not say, and the other way round.
fn differences(language: &str, is_complete: bool, words_of: impl Fn(&str) -> Words) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, class) in list().classes {
        let Some(called) = class.called.get(language) else { continue };
        let found = words_of(called);
        let mut known: BTreeSet<String> = class.besides.get(language).cloned().unwrap_or_default();
        for (word, otherwise) in &class.words {
            let as_said = if language == "java" { faces::camel(word) } else { word.clone() };
            match otherwise.get(language) {
                Some(None) => assert!(class.why.contains_key(language), "{name}: no why for {language}"),
                Some(Some(other)) => {
                    known.insert(other.clone());
                }
                None => {
                    known.insert(as_said);
                }
            }
        }
        wrong.extend(known.difference(&found).map(|word| format!("{called} has no {word}")));
        if is_complete {
            wrong.extend(
                found.difference(&known).map(|word| format!("{called} has {word}, which is in no list")),
            );
        }
    }
    wrong
}

fn agree(language: &str, is_complete: bool, words_of: impl Fn(&str) -> Words) {
    let wrong = differences(language, is_complete, words_of);
    assert!(wrong.is_empty(), "{language} and tests/conformance/words.json differ:\n{}", wrong.join("\n"));
}

#[test]
fn rust_has_every_word() {
    agree("rust", true, faces::rust);
}

#[test]
fn python_has_every_word() {
    agree("python", true, |class| match class {
        "PlumError" => faces::python("python/plumline/errors.py", class),
        _ => faces::python("python/plumline/_plumline.pyi", class),
    });
}

#[test]
fn java_has_every_word() {
    agree("java", true, faces::java);
}

#[test]
fn c_has_every_word() {
    agree("c", true, faces::c);
}

#[test]
fn cpp_has_every_word() {
    agree("cpp", false, faces::cpp);
}

#[test]
fn comparison_reports_missing_words() {
    let one_less = |class: &str| {
        let mut words = faces::python("python/plumline/_plumline.pyi", class);
        words.remove("watch_all");
        words
    };
    assert!(differences("python", false, one_less).contains(&"Client has no watch_all".to_owned()));
    let one_more = |class: &str| {
        let mut words = faces::rust(class);
        words.insert("observe".into());
        words
    };
    assert!(
        differences("rust", true, one_more).contains(&"Client has observe, which is in no list".to_owned())
    );
}

#[test]
fn error_kinds_have_the_same_names_and_numbers() {
    let python = faces::read("python/plumline/errors.py");
    let java = faces::read("java/src/main/java/io/plumline/Kind.java");
    let cpp = faces::read("include/plumline/error.hpp");
    for kind in Kind::ALL {
        let (name, number, shouted) = (kind.name(), kind.number(), faces::shouted(kind.name()));
        assert!(python.contains(&format!("    {shouted} = {number}\n")), "Python: {shouted}");
        let raised = format!("class Plum{name}Error(PlumError");
        assert!(python.contains(&raised), "Python has no {raised}");
        assert!(java.contains(&format!(" {shouted}({number})")), "Java: {shouted}");
        let thrown = faces::read(&format!("java/src/main/java/io/plumline/Plum{name}Exception.java"));
        assert!(thrown.contains(&format!("return Kind.{shouted};")), "Java: Plum{name}Exception");
        assert_eq!(faces::defined(&format!("PLUMLINE_{shouted}")), Some(number.to_string()), "C: {shouted}");
        let lower = format!(" {} = PLUMLINE_{shouted}", shouted.to_lowercase());
        assert!(cpp.contains(&lower), "C++ has no {lower}");
    }
}

#[test]
fn change_kinds_have_the_same_names() {
    let python = faces::read("python/plumline/_plumline.pyi");
    let java = faces::read("java/src/main/java/io/plumline/Change.java");
    let kinds = [ChangeKind::Snapshot, ChangeKind::Changed, ChangeKind::RegistryDown, ChangeKind::RegistryUp];
    let literal: Vec<String> = kinds.iter().map(|kind| format!("{:?}", kind.name())).collect();
    assert!(python.contains(&format!("def kind(self) -> Literal[{}]", literal.join(", "))), "Python");
    for kind in kinds {
        let shouted = kind.name().to_uppercase();
        assert!(
            java.lines().any(|line| line.trim().trim_end_matches([',', ';']) == shouted),
            "Java: {shouted}"
        );
        assert!(faces::defined(&format!("PLUMLINE_CHANGE_{shouted}")).is_some(), "C: {shouted}");
    }
}

/// Every key of the configuration: `retry.attempts`, and what it is in: `Config`, `RetryConfig`, …
fn config_keys() -> Vec<(String, String, String)> {
    let schema = serde_json::to_value(Config::schema()).unwrap();
    let fields = |of: &Value| of["properties"].as_object().cloned().unwrap_or_default();
    let section = |field: &Value| {
        let direct = field["$ref"].as_str().or_else(|| field["anyOf"][2]["$ref"].as_str());
        direct.map(|place| place.rsplit('/').next().unwrap_or_default().to_owned())
    };
    let mut keys = Vec::new();
    for (key, field) in fields(&schema) {
        let inner = section(&field).map(|name| (fields(&schema["$defs"][&name]), name));
        keys.push(("Config".into(), key.clone(), key.clone()));
        if let Some((inner, name)) = inner {
            keys.extend(inner.keys().map(|sub| (name.clone(), sub.clone(), format!("{key}.{sub}"))));
        }
    }
    assert!(keys.len() > 30, "{keys:?}");
    keys
}

#[test]
fn configuration_has_the_same_keys() {
    let page = faces::read("docs/defaults.md");
    let java = faces::read("java/src/main/java/io/plumline/PlumConfig.java");
    // In Python these two are arguments of their own, of several types.
    let arguments = ["registry", "balancer"];
    let mut sections = BTreeMap::<String, (Words, Words)>::new();
    for (section, key, path) in config_keys() {
        let is_leaf = section != "Config" || !page.contains(&format!("| `{key}."));
        assert!(!is_leaf || page.contains(&format!("| `{path}` |")), "docs/defaults.md has no {path}");
        let in_python = !(section == "Config" && arguments.contains(&key.as_str()));
        // One service's settings are a method that takes its name.
        let in_java =
            if section == "Config" && key == "services" { "service".into() } else { faces::camel(&key) };
        let known = sections.entry(section).or_default();
        known.0.extend(in_python.then_some(key));
        known.1.insert(in_java);
    }
    for (section, (python_keys, java_keys)) in sections {
        let found = faces::python("python/plumline/_config.py", &section);
        assert_eq!(found, python_keys, "Python: {section}");
        let mut found = match section.as_str() {
            "Config" => faces::java("PlumConfig"),
            nested => faces::java_within(&java, nested.trim_end_matches("Config"), 2),
        };
        found.retain(|word| !["fromJson", "toJson"].contains(&word.as_str()));
        assert_eq!(found, java_keys, "Java: {section}");
    }
}

/// A client's stats as JSON, with one of everything in them.
fn stats() -> Value {
    let controller = plumline_controller::Controller::start(
        plumline_controller::Config::new().listen("127.0.0.1:0".parse().unwrap()),
    )
    .unwrap();
    let settings = serde_json::json!({"registration": {"wait_listening": 0}});
    let plum = plumline_tests::client(&format!("plum://{}", controller.address()), settings);
    let _me = plum.register(plumline::Instance::new("s", 7).host("127.0.0.1")).unwrap();
    plum.wait_for("s", std::time::Duration::from_secs(5)).unwrap();
    drop(plum.pick("s").unwrap());
    serde_json::to_value(plum.stats().unwrap()).unwrap()
}

#[test]
fn stats_have_the_same_keys() {
    let all = stats();
    let first = |of: &Value| of.as_object().unwrap().values().next().unwrap().clone();
    let service = first(&all["services"]);
    let sections = [
        ("EndpointStats", first(&service["endpoints"])),
        ("ServiceStats", service),
        ("RegistryStats", all["cache"]["registries"][0].clone()),
        ("CacheStats", all["cache"].clone()),
        ("RegistrationStats", all["registrations"][0].clone()),
        ("Stats", all),
    ];
    for (section, values) in sections {
        let keys: Words = values.as_object().unwrap().keys().cloned().collect();
        assert_eq!(faces::python("python/plumline/_stats.py", section), keys, "Python: {section}");
        // Java writes the unit out.
        let in_java = |key: &String| match key.strip_suffix("_s") {
            Some(key) => faces::camel(&format!("{key}_seconds")),
            None => faces::camel(key),
        };
        let mut found = match section {
            "Stats" => faces::java(section),
            part => faces::java_within(&faces::read("java/src/main/java/io/plumline/Stats.java"), part, 2),
        };
        found.remove("toJson");
        assert_eq!(found, keys.iter().map(in_java).collect::<Words>(), "Java: {section}");
    }
}

#[test]
fn version_is_the_same_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let says =
        |path: &str, what: &str| assert!(faces::read(path).contains(what), "{path} does not say {what}");
    says("Cargo.toml", &format!("[workspace.package]\nversion = \"{version}\""));
    says("Cargo.toml", &format!("plumline = {{ path = \"core\", version = \"{version}\" }}"));
    says("include/plumline.h", &format!("#define PLUMLINE_VERSION \"{version}\""));
    says("java/pom.xml", &format!("<artifactId>plumline</artifactId>\n  <version>{version}</version>"));
    let python = faces::read("python/pyproject.toml");
    let follows =
        python.contains("dynamic = [\"version\"]") || python.contains(&format!("version = \"{version}\""));
    assert!(follows, "python/pyproject.toml says another version");
}
