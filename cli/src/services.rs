//! `plumline services`: lists the registered services.

use std::collections::BTreeSet;

use clap::Args;
use plumline::{Client, Error};
use serde::Serialize;

use crate::failure::{self, Failure};
use crate::options::RegistryOptions;
use crate::output::{self, Table};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print one JSON document: [{"service", "endpoints", "versions"}]
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

#[derive(Serialize)]
struct Row {
    service: String,
    /// The number of healthy endpoints.
    endpoints: usize,
    versions: BTreeSet<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.registry.client()?;
    let names = client.services()?;
    let services = names.into_iter().map(|name| describe(&client, name)).collect::<Result<Vec<_>, _>>()?;
    if arguments.json {
        return output::print_json(&services);
    }
    if services.is_empty() {
        failure::print_error("no services are registered");
        return Ok(());
    }
    let mut table = Table::new(&["SERVICE", "ENDPOINTS", "VERSIONS"]);
    for Row { service, endpoints, versions } in services {
        let versions = versions.into_iter().collect::<Vec<_>>().join(",");
        table.add_row([service, endpoints.to_string(), versions]);
    }
    table.print()
}

fn describe(client: &Client, service: String) -> Result<Row, Error> {
    let endpoints = client.discover(service.as_str())?;
    let versions = endpoints.iter().map(|endpoint| endpoint.version.clone());
    let versions = versions.filter(|version| !version.is_empty()).collect();
    Ok(Row { service, endpoints: endpoints.len(), versions })
}
