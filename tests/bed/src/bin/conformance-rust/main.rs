//! The Rust runner: does what the test bed says, with the public API, and tells what came of it. It judges nothing;
//! `tests/conformance/README.md` says what the lines mean.

mod act;
mod forms;
mod own;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

const PROXIES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NOWHERE: &str = "http://127.0.0.1:1";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_prepared = PROXIES.iter().all(|name| std::env::var(name).as_deref() == Ok(NOWHERE));
    let verdict = if is_prepared { run(&arguments) } else { again(&arguments) };
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the Rust runner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Itself once more, with an environment in which every proxy is a closed port.
fn again(arguments: &[String]) -> std::io::Result<bool> {
    let environment = PROXIES.map(|name| (name, NOWHERE));
    Ok(Command::new(std::env::current_exe()?).args(arguments).envs(environment).status()?.success())
}

fn run(arguments: &[String]) -> std::io::Result<bool> {
    let mut bed = Command::new(std::env::current_exe()?.with_file_name("plumline-testbed"))
        .arg("rust")
        .args(arguments.first())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let (Some(mut answers), Some(operations)) = (bed.stdin.take(), bed.stdout.take()) {
        let things = act::Things::default();
        for line in BufReader::new(operations).lines() {
            let operation: Value = serde_json::from_str(&line?)?;
            writeln!(
                answers,
                "{}",
                things.answer(&operation).unwrap_or_else(|what| json!({"defect": what}))
            )?;
        }
    }
    Ok(bed.wait()?.success())
}
