//! The subcommands, one file each: what a person types, turned into calls of the client and the controller.
//!
//! What is asked for goes to stdout, everything else is one line on stderr, and the exit code says how it ended
//! (see [`failure`]).
#![forbid(unsafe_code)]

mod call;
mod completions;
mod controller;
mod discover;
mod explain;
mod failure;
mod log;
mod options;
mod output;
mod register;
mod services;
mod usage;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Find services, call them, stay known, and run the registry that knows them.
#[derive(Debug, Parser)]
#[command(name = "plumline", version, after_help = failure::EXIT_CODES)]
struct Plumline {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the registry itself
    #[command(version)]
    Controller(controller::Arguments),
    /// List the services that are registered
    Services(services::Arguments),
    /// List the endpoints of a service
    Discover(discover::Arguments),
    /// Tell of every change as it happens
    Watch(watch::Arguments),
    /// Call a service by name
    Call(call::Arguments),
    /// Say for each endpoint of a service whether it would be called, and why not
    Explain(explain::Arguments),
    /// Run a command and keep it registered while it runs
    Register(register::Arguments),
    /// Print the completions for a shell
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Plumline::try_parse() {
        Ok(plumline) => plumline.command.run(),
        Err(error) => usage::answer(&error),
    };
    outcome.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Command::Controller(arguments) => controller::run(arguments),
            Command::Services(arguments) => services::run(&arguments),
            Command::Discover(arguments) => discover::run(&arguments),
            Command::Watch(arguments) => watch::run(&arguments),
            Command::Call(arguments) => call::run(&arguments),
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Register(arguments) => register::run(&arguments),
            Command::Completions(arguments) => completions::run(&arguments),
        }
    }
}
