//! What came of it: a file per language, and the table of all languages.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Result;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What came of one scenario.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Its topic.
    pub topic: String,
    /// Its name.
    pub name: String,
    /// Why it failed; `None` if it passed.
    pub failure: Option<String>,
    /// How long it took.
    pub ms: u64,
    /// How often it was played until it passed or was given up.
    pub tries: u32,
}

/// Where results are kept.
pub fn folder(target: &Path) -> PathBuf {
    target.join("conformance")
}

/// Keeps a language's results.
pub fn write(target: &Path, language: &str, verdicts: &[Verdict]) -> Result<PathBuf> {
    let folder = folder(target);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{language}.json"));
    std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(verdicts)?))?;
    Ok(path)
}

/// Those that must play every scenario.
const LANGUAGES: [&str; 4] = ["c", "java", "python", "rust"];

/// Merges all languages into `conformance.md`; returns the short table for a terminal, and whether every language has
/// played every scenario and passed.
pub fn table(target: &Path) -> Result<(String, bool)> {
    let mut languages: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder(target))? {
        let path = entry?.path();
        if let Some(language) = path.file_stem().and_then(|stem| stem.to_str()) {
            languages.insert(language.to_owned(), serde_json::from_str(&std::fs::read_to_string(&path)?)?);
        }
    }
    std::fs::write(target.join("conformance.md"), page(&languages))?;
    Ok((summary(&languages), is_complete(&languages)))
}

fn is_complete(languages: &Languages) -> bool {
    let name = |verdict: &Verdict| (verdict.topic.clone(), verdict.name.clone());
    let every: BTreeSet<_> = languages.values().flatten().map(name).collect();
    let is_whole = |language: &&str| {
        let passed = |verdicts: &Vec<Verdict>| -> BTreeSet<_> {
            verdicts.iter().filter(|verdict| verdict.failure.is_none()).map(name).collect()
        };
        languages.get(*language).is_some_and(|verdicts| passed(verdicts) == every)
    };
    !every.is_empty() && LANGUAGES.iter().all(is_whole)
}

type Languages = BTreeMap<String, Vec<Verdict>>;

fn topics(languages: &Languages) -> BTreeSet<&str> {
    languages.values().flatten().map(|verdict| verdict.topic.as_str()).collect()
}

fn summary(languages: &Languages) -> String {
    let mut text = format!("{:<24}", "topic");
    languages.keys().for_each(|language| text.push_str(&format!("{language:>12}")));
    text.push('\n');
    let mut line = |name: &str, is_meant: &dyn Fn(&Verdict) -> bool| {
        text.push_str(&format!("{name:<24}"));
        for verdicts in languages.values() {
            let meant: Vec<_> = verdicts.iter().filter(|verdict| is_meant(verdict)).collect();
            let passed = meant.iter().filter(|verdict| verdict.failure.is_none()).count();
            text.push_str(&format!("{:>12}", format!("{passed}/{}", meant.len())));
        }
        text.push('\n');
    };
    for topic in topics(languages) {
        line(topic, &|verdict| verdict.topic == topic);
    }
    line("all", &|_| true);
    text
}

fn page(languages: &Languages) -> String {
    let mut text = "# Conformance\n\nEvery scenario of `tests/conformance`, in every language.\n".to_owned();
    let names: Vec<&str> = languages.keys().map(String::as_str).collect();
    for topic in topics(languages) {
        text.push_str(&format!("\n## {topic}\n\n| scenario | {} |\n", names.join(" | ")));
        text.push_str(&format!("|---|{}\n", "---|".repeat(names.len())));
        let mut seen = BTreeSet::new();
        let of_topic = languages.values().flatten().filter(|verdict| verdict.topic == topic);
        for name in of_topic.map(|verdict| verdict.name.as_str()).filter(|name| seen.insert(*name)) {
            let cell = |verdicts: &Vec<Verdict>| {
                let is_meant = |verdict: &&Verdict| verdict.topic == topic && verdict.name == name;
                match verdicts.iter().find(is_meant) {
                    None => "not run",
                    Some(Verdict { failure: None, .. }) => "pass",
                    Some(_) => "**fail**",
                }
            };
            let cells: Vec<&str> = languages.values().map(cell).collect();
            text.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
        }
    }
    let failures = languages.iter().flat_map(|(language, verdicts)| {
        verdicts.iter().filter_map(move |verdict| {
            let reason = verdict.failure.as_ref()?;
            Some(format!("- {language}, {}: {}: {reason}\n", verdict.topic, verdict.name))
        })
    });
    let failures: String = failures.collect();
    if !failures.is_empty() {
        text.push_str(&format!("\n## What failed\n\n{failures}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_shows_in_table_and_result() {
        let target = tempfile::tempdir().unwrap();
        let verdict = |failure: Option<&str>| Verdict {
            topic: "retry".into(),
            name: "it is tried again".into(),
            failure: failure.map(str::to_owned),
            ms: 1,
            tries: 1,
        };
        let passes = |language: &str| table_after(target.path(), language, &[verdict(None)]);
        assert!(!passes("rust") && !passes("java") && !passes("python"), "a language is missing");
        assert!(passes("c"));
        assert!(!table_after(target.path(), "java", &[]), "what was not played has not passed");
        write(target.path(), "c", &[verdict(Some("it was not"))]).unwrap();
        let (summary, all_passed) = table(target.path()).unwrap();
        assert!(!all_passed && summary.contains("0/1") && summary.contains("1/1"), "{summary}");
        let page = std::fs::read_to_string(target.path().join("conformance.md")).unwrap();
        assert!(page.contains("| it is tried again | **fail** | not run | pass | pass |"), "{page}");
        assert!(page.contains("it was not"));
    }

    fn table_after(target: &Path, language: &str, verdicts: &[Verdict]) -> bool {
        write(target, language, verdicts).unwrap();
        table(target).unwrap().1
    }
}
