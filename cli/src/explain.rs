//! `plumline explain`: why a call would go where it goes, or nowhere.

use clap::Args;
use plumline::Kind;

use crate::failure::{self, Failure};
use crate::options::{Asking, Filters};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service's name
    service: String,
    #[command(flatten)]
    filters: Filters,
    /// Print one JSON document: {"query", "summary", "usable", "source", "endpoints"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.asking.client()?;
    let query = arguments.filters.of(&arguments.service);
    // Asked first by itself: an explanation never fails, but a script wants to know that the registry is away.
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
