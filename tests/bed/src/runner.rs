//! The program at the other end of the pipes.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use plumline::Kind;
use serde_json::{Map, Value};

/// What an operation came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It went well.
    Value(Value),
    /// It failed.
    Error(Value),
    /// The user's own code raised this.
    Raised(String),
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum Lost {
    /// The runner could not do it, or broke the rules; the next operation may go well.
    Defect(String),
    /// It did not answer, and will not.
    Silent(String),
}

/// The pipes.
pub struct Runner {
    lines: Receiver<String>,
    is_traced: bool,
}

impl Runner {
    /// Standard input and output.
    pub fn at_the_pipes() -> Runner {
        let (write, lines) = channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if write.send(line).is_err() {
                    return;
                }
            }
        });
        Runner { lines, is_traced: std::env::var_os("PLUMLINE_TRACE").is_some() }
    }

    /// Has an operation done.
    pub fn ask(&self, line: &Value, until: Instant) -> Result<Outcome, Lost> {
        let text = line.to_string();
        self.trace(">", &text);
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        written.map_err(|error| Lost::Silent(format!("the runner is gone: {error}")))?;
        let left = until.saturating_duration_since(Instant::now());
        let answer = self.lines.recv_timeout(left).map_err(|error| {
            Lost::Silent(match error {
                RecvTimeoutError::Timeout => "the runner did not answer in time".into(),
                RecvTimeoutError::Disconnected => "the runner has ended".into(),
            })
        })?;
        self.trace("<", &answer);
        read(&answer).map_err(Lost::Defect)
    }

    fn trace(&self, direction: &str, line: &str) {
        if self.is_traced {
            eprintln!("{direction} {line}");
        }
    }
}

fn read(line: &str) -> Result<Outcome, String> {
    let answer: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("the answer {line:?} is none: {error}"))?;
    let mut fields = answer.into_iter();
    match (fields.next(), fields.next()) {
        (Some((key, value)), None) => match (key.as_str(), value) {
            ("value", value) => Ok(Outcome::Value(value)),
            ("error", value) => checked(value).map(Outcome::Error),
            ("raised", Value::String(text)) => Ok(Outcome::Raised(text)),
            ("defect", text) => Err(format!("the runner says {text}")),
            (key, _) => Err(format!("an answer has no {key:?}")),
        },
        _ => Err(format!("the answer {line} has not exactly one key")),
    }
}

/// An error has all its fields, and its kind's number and name belong together.
fn checked(mut error: Value) -> Result<Value, String> {
    for field in ["kind", "name", "message", "service", "endpoint", "attempts", "retryable", "trace"] {
        if error.get(field).is_none() {
            return Err(format!("the error {error} has no {field:?}"));
        }
    }
    let kind = Kind::ALL.iter().find(|kind| error["kind"].as_u64() == Some(kind.number().into()));
    match (kind, error.as_object_mut()) {
        (Some(kind), Some(fields)) if fields["name"] == kind.name() => {
            fields.remove("name");
            Ok(error)
        }
        _ => Err(format!("kind {} and name {} do not belong together", error["kind"], error["name"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_has_exactly_one_key() {
        assert_eq!(read(r#"{"value": 1}"#), Ok(Outcome::Value(1.into())));
        assert_eq!(read(r#"{"raised": "x"}"#), Ok(Outcome::Raised("x".into())));
        for wrong in ["", "[]", "{}", r#"{"value": 1, "error": 2}"#, r#"{"defect": "x"}"#, r#"{"other": 1}"#]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn error_is_complete_and_number_matches_name() {
        let error = |name: &str| {
            format!(
                r#"{{"error": {{"kind": 4, "name": "{name}", "message": "", "service": null, "endpoint": null,
                "attempts": 1, "retryable": true, "trace": []}}}}"#
            )
        };
        assert!(read(&error("Timeout")).is_ok());
        assert!(read(&error("Closed")).unwrap_err().contains("belong together"));
        assert!(read(r#"{"error": {"kind": 4}}"#).unwrap_err().contains("has no \"name\""));
    }
}
