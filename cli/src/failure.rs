//! How a command ends when it does not simply end well: an exit code, and one line for a person.

use std::process::ExitCode;

use plumline::{Error, Kind};

/// Part of `plumline --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed
    2  called in a way that cannot work
    4  call: the service answered 4xx
    5  call: the service answered 5xx
   13  no endpoint: nothing is registered under that name, or nothing usable
   14  not in time
   15  no connection to the registry, or to any endpoint
   18  the registry wants a token (plum://…?token=…)
   19  the registry does not allow it
   20  an answer that is none: broken HTTP, a certificate that cannot be trusted, a body that is too large
   23  this registry or endpoint cannot do that
  130  ended by Ctrl-C
register ends with the code of the command it runs: 128 + N if signal N ended it, 127 if there is no such
command, 126 if it cannot be run.

The registry is named by --registry ADDRESS or by PLUMLINE_REGISTRY, for example plum://127.0.0.1:8080.";

/// Kinds of errors become exit codes from here on, by their number.
const KINDS: u8 = 10;
const INTERRUPTED: u8 = 130;

/// Why a command ends with another code than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments cannot work.
    Usage(String),
    /// They can, but something failed.
    Failed(String),
    /// The client said so.
    Client(Error),
    /// This code and this line.
    Coded(u8, String),
    /// This code, and nothing more to say.
    Quiet(u8),
}

impl Failure {
    pub(crate) const INTERRUPTED: Failure = Failure::Quiet(INTERRUPTED);

    /// Whoever read our output has seen enough: no failure, and nobody is left to be told.
    pub(crate) const UNREAD: Failure = Failure::Quiet(0);

    /// Says it on stderr.
    pub(crate) fn report(self) -> ExitCode {
        let (code, reason) = match self {
            Failure::Usage(reason) => (2, reason),
            Failure::Failed(reason) => (1, reason),
            Failure::Client(error) => (code_of(error.kind()), error.to_string()),
            Failure::Coded(code, reason) => (code, reason),
            Failure::Quiet(code) => return ExitCode::from(code),
        };
        say(&reason);
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Client(error)
    }
}

/// The exit code of a kind of error.
pub(crate) const fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::InvalidArgument => 2,
        Kind::Internal | Kind::Closed => 1,
        Kind::Cancelled => INTERRUPTED,
        other => KINDS + other.number(),
    }
}

/// One line on stderr. Where nobody listens there is nothing to be done about it.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "plumline: {line}"));
}
