//! The subcommands, one file each.
//!
//! Exit codes: 0 done, 1 failed, 2 called in a way that cannot work.

mod controller;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Find services, call them, and run the registry that knows them.
#[derive(Debug, Parser)]
#[command(name = "plumline", version, propagate_version = true)]
struct Plumline {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the registry itself
    Controller(controller::Arguments),
}

/// What went wrong, in one line for a person.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments cannot work.
    Usage(String),
    /// They can, but something failed.
    Failed(String),
}

pub(crate) fn run() -> ExitCode {
    let outcome = match Plumline::parse().command {
        Command::Controller(arguments) => controller::run(arguments),
    };
    let (code, reason) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => (2, reason),
        Err(Failure::Failed(reason)) => (1, reason),
    };
    eprintln!("plumline: {reason}");
    ExitCode::from(code)
}
