//! The `plumline` command: a person's way in.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
