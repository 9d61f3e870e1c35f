//! Options that several subcommands share.

use clap::Args;
use plumline::{Client, Config, Query};
use serde_json::json;

use crate::failure::Failure;
use crate::log;

/// The registry, and what to log.
#[derive(Debug, Args)]
pub(crate) struct RegistryOptions {
    /// The registry, such as `plum://127.0.0.1:8080`; may be given several times [default: `PLUMLINE_REGISTRY`]
    #[arg(long, value_name = "ADDRESS")]
    registry: Vec<String>,
    /// What to log to stderr: `info`, `debug`, or a filter such as `plumline=trace`
    #[arg(long, value_name = "FILTER", default_value = "off", value_parser = log::parse_filter)]
    log: String,
}

impl RegistryOptions {
    /// A client with the settings of the environment.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        log::to_stderr(&self.log);
        let arguments =
            if self.registry.is_empty() { json!({}) } else { json!({ "registry": self.registry }) };
        let config = Config::layered(arguments)?;
        if config.registry.addresses.is_empty() {
            let reason = "no registry: pass --registry plum://127.0.0.1:8080, or set PLUMLINE_REGISTRY to it";
            return Err(Failure::Usage(reason.to_owned()));
        }
        Ok(Client::with_config(config)?)
    }
}

/// Filters for the endpoints of a service.
#[derive(Debug, Args)]
pub(crate) struct FilterOptions {
    /// Only endpoints of this version
    #[arg(long)]
    version: Option<String>,
    /// Only endpoints of this protocol
    #[arg(long)]
    protocol: Option<String>,
    /// Only endpoints with this label; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
}

impl FilterOptions {
    pub(crate) fn query(&self, service: &str) -> Query {
        let mut query = Query::new(service);
        query.version.clone_from(&self.version);
        query.protocol.clone_from(&self.protocol);
        query.labels = self.labels.iter().cloned().collect();
        query
    }
}

/// `NAME=VALUE`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write it like region=eu")?;
    Ok((name.to_owned(), value.to_owned()))
}
