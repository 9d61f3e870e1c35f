//! `plumline-testbed <language> [filter]` plays the scenarios to the runner at its pipes;
//! `plumline-testbed --table` merges what all languages came to.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use plumline_testbed::play::play;
use plumline_testbed::registry::Systems;
use plumline_testbed::results::{self, Verdict};
use plumline_testbed::runner::Runner;
use plumline_testbed::scenario;
use plumline_testbed::tls::Authority;

/// How often a scenario is played at most: it depends on real time and on other processes.
const TRIES: u32 = 3;
const NOT_PLAYED: &str = "not played: the runner stopped answering";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--table"] => table(),
        [language] if is_name(language) => run(language, ""),
        [language, filter] if is_name(language) => run(language, filter),
        _ => Err("usage: plumline-testbed <language> [filter] | --table".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(what) => {
            eprintln!("plumline-testbed: {what}");
            ExitCode::from(2)
        }
    }
}

fn is_name(language: &str) -> bool {
    !language.is_empty() && language.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

/// The folder that this crate lies in, and the build's.
fn home() -> (PathBuf, PathBuf) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned();
    let target = tests.parent().unwrap_or(Path::new(".")).join("target");
    (tests.join("conformance"), target)
}

fn table() -> Result<bool, String> {
    let (text, all_passed) = results::table(&home().1).map_err(|error| format!("no results: {error}"))?;
    print!("{text}");
    Ok(all_passed)
}

fn run(language: &str, filter: &str) -> Result<bool, String> {
    let (scenarios, target) = home();
    let files = scenario::read(&scenarios)?;
    let (authority, runner) = (Arc::new(Authority::new()?), Runner::at_the_pipes());
    let mut verdicts = Vec::new();
    let (mut is_lost, mut systems) = (false, Systems::default());
    for file in &files {
        let is_meant = |name: &str| file.topic.contains(filter) || name.contains(filter);
        for scenario in file.scenarios.iter().filter(|scenario| is_meant(&scenario.name)) {
            let began = Instant::now();
            let (mut tries, mut played) = (0, Err(NOT_PLAYED.to_owned()));
            while !is_lost && played.is_err() && tries < TRIES {
                tries += 1;
                played = play(scenario, &runner, &authority, &mut systems).map_err(|failure| {
                    is_lost = failure.is_final;
                    failure.reason
                });
                if let Err(reason) = &played {
                    eprintln!(
                        "{language} FAILS {}: {} (try {tries})\n      {reason}",
                        file.topic, scenario.name
                    );
                }
            }
            let (topic, name, ms) = (&file.topic, &scenario.name, began.elapsed().as_millis() as u64);
            let failure = played.err();
            verdicts.push(Verdict { topic: topic.clone(), name: name.clone(), failure, ms, tries });
        }
    }
    if verdicts.is_empty() {
        return Err(format!("no scenario has {filter:?} in its topic or name"));
    }
    let failed = verdicts.iter().filter(|verdict| verdict.failure.is_some()).count();
    eprintln!("{language}: {} of {} scenarios passed", verdicts.len() - failed, verdicts.len());
    if filter.is_empty() {
        results::write(&target, language, &verdicts).map_err(|error| format!("results: {error}"))?;
    }
    Ok(failed == 0)
}
