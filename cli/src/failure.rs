//! How a command ends when it fails: an exit code, and one line on stderr.

use std::process::ExitCode;

use plumline::{Error, Kind};

/// Part of `plumline --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  failed
    2  invalid arguments
    4  call: the service responded with 4xx
    5  call: the service responded with 5xx
   13  no endpoint: none is registered under that name, or none is usable
   14  timeout
   15  the registry, or every endpoint, is unreachable
   18  missing or invalid credentials (plum://…?token=…)
   19  not permitted by the registry
   20  invalid response: broken HTTP, an untrusted certificate, a body that is too large
   23  not supported by this registry or endpoint
  130  interrupted by Ctrl-C
register exits with the code of the command it runs: 128 + N if signal N ended it, 127 if the command does
not exist, 126 if it cannot be run.

Set the registry with --registry ADDRESS or PLUMLINE_REGISTRY, for example plum://127.0.0.1:8080.";

/// The exit code of an error kind is this plus the number of the kind.
const FIRST_KIND_CODE: u8 = 10;
const INTERRUPTED: u8 = 130;

/// Why a command exits with a code other than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments are invalid.
    Usage(String),
    /// The command failed.
    Failed(String),
    /// The client returned an error.
    Client(Error),
    /// Exit with this code after this line.
    Coded(u8, String),
    /// Exit with this code without a line.
    Quiet(u8),
}

impl Failure {
    pub(crate) const INTERRUPTED: Failure = Failure::Quiet(INTERRUPTED);

    /// The reader of stdout closed it (`| head -1`), which is not a failure.
    pub(crate) const OUTPUT_CLOSED: Failure = Failure::Quiet(0);

    /// Prints the line on stderr; returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, reason) = match self {
            Failure::Usage(reason) => (2, reason),
            Failure::Failed(reason) => (1, reason),
            Failure::Client(error) => (code_of(error.kind()), error.to_string()),
            Failure::Coded(code, reason) => (code, reason),
            Failure::Quiet(code) => return ExitCode::from(code),
        };
        print_error(&reason);
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
        other => FIRST_KIND_CODE + other.number(),
    }
}

/// Prints one line on stderr; ignores errors, since there is nowhere to report them.
pub(crate) fn print_error(line: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "plumline: {line}"));
}
