//! `plumline explain`: shows why a call would go where it goes, or nowhere.

use clap::Args;
use plumline::Kind;

use crate::failure::{self, Failure};
use crate::options::{FilterOptions, RegistryOptions};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service's name
    service: String,
    #[command(flatten)]
    filters: FilterOptions,
    /// Print one JSON document: {"query", "summary", "usable", "source", "endpoints"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.registry.client()?;
    let query = arguments.filters.query(&arguments.service);
    // `explain` never fails, so discover first: a script must learn that the registry is unavailable.
    client.discover(&query)?;
    let explanation = client.explain(&query)?;
    if arguments.json {
        output::print_json(&explanation)?;
    } else {
        output::print(&explanation.to_string())?;
    }
    match explanation.usable {
        0 => Err(Failure::Quiet(failure::code_of(Kind::NoEndpoint))),
        _ => Ok(()),
    }
}
