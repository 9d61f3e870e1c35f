//! `plumline discover`: lists the endpoints of a service.

use clap::Args;
use plumline::Kind;

use crate::failure::{self, Failure};
use crate::options::{FilterOptions, RegistryOptions};
use crate::output::{self, ENDPOINT_COLUMNS, Table, endpoint_cells};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The service's name
    service: String,
    #[command(flatten)]
    filters: FilterOptions,
    /// Print one JSON document: the list of endpoints, empty if there are none
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.registry.client()?;
    let query = arguments.filters.query(&arguments.service);
    let mut endpoints = client.discover(&query)?;
    endpoints.sort_by_key(|endpoint| endpoint.key());
    if arguments.json {
        output::print_json(&endpoints)?;
    }
    if endpoints.is_empty() {
        let reason = client.explain(&query)?.summary;
        return Err(Failure::Coded(failure::code_of(Kind::NoEndpoint), reason));
    }
    if arguments.json {
        return Ok(());
    }
    let mut table = Table::new(&ENDPOINT_COLUMNS);
    for endpoint in &endpoints {
        table.add_row(endpoint_cells(endpoint));
    }
    table.print()
}
