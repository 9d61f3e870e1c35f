//! The `plumline` command. Each subcommand has one file, which turns arguments into calls of the client and the controller.
//!
//! Results go to stdout. Everything else is one line on stderr, and the exit code gives the outcome (see [`failure`]).
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

/// Find services, call them, stay registered, and run the registry
#[derive(Debug, Parser)]
#[command(name = "plumline", version, after_help = failure::EXIT_CODES)]
struct Plumline {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the registry
    #[command(version)]
    Controller(controller::Arguments),
    /// List the registered services
    Services(services::Arguments),
    /// List the endpoints of a service
    Discover(discover::Arguments),
    /// Print every change as it happens
    Watch(watch::Arguments),
    /// Call a service by name
    Call(call::Arguments),
    /// Show for each endpoint of a service whether it would be called, and why not
    Explain(explain::Arguments),
    /// Run a command and keep it registered while it runs
    Register(register::Arguments),
    /// Print the completions for a shell
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Plumline::try_parse() {
        Ok(plumline) => plumline.command.run(),
        Err(error) => usage::report(&error),
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
