//! What the catalog reports about itself: for `explain`, messages and stats.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, Tick};
use crate::model::Endpoint;

/// The sources of a service's list.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The contribution of each registry.
    pub sources: Vec<SourceStatus>,
    /// The recently removed endpoints, latest first; at most 16.
    pub gone: Vec<RemovedEndpoint>,
}

impl Provenance {
    /// `list 1.2 s old from plum://…`, for messages; of several registries the one that answered last.
    pub fn describe(&self) -> String {
        let heard = self.sources.iter().filter(|source| source.heard.is_some());
        let Some(source) = heard.max_by_key(|source| (source.endpoints > 0, source.heard)) else {
            let errors: Vec<&str> =
                self.sources.iter().filter_map(|source| source.error.as_deref()).collect();
            return match errors.as_slice() {
                [] => "no registry has answered yet".into(),
                errors => errors.join("; "),
            };
        };
        let age = clock::now().since(source.heard.unwrap_or(Tick::ZERO));
        let state = match (source.from_disk, source.down) {
            (true, _) => ", from the snapshot on disk",
            (false, true) => ", which does not answer",
            (false, false) => "",
        };
        format!("list {} old from {}{state}", rounded(age), source.source)
    }

    /// `1 expired 40 s ago`, for messages: the endpoints removed within the last ten minutes, by reason.
    pub fn departures(&self) -> Vec<String> {
        let now = clock::now();
        let recent = |gone: &&RemovedEndpoint| now.since(gone.at) < Duration::from_mins(10);
        ["expired", "deleted", "missing", "unreachable"]
            .into_iter()
            .filter_map(|why| {
                let of_it = || self.gone.iter().filter(recent).filter(|gone| gone.why == why);
                let latest = of_it().map(|gone| gone.at).max()?;
                Some(format!("{} {why} {} ago", of_it().count(), rounded(now.since(latest))))
            })
            .collect()
    }
}

/// A rounded duration for messages: `40 ms`, `1.2 s`, `40 s`, `12 min`.
fn rounded(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// The contribution of one registry to a service.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// Its address, without secrets.
    pub source: String,
    /// When it last confirmed its list; `None` if it never has.
    pub heard: Option<Tick>,
    /// Whether it is unavailable.
    pub down: bool,
    /// Whether the list comes from the snapshot on disk.
    pub from_disk: bool,
    /// Whether endpoints that it does not list are removed at once.
    pub settled: bool,
    /// The number of its endpoints.
    pub endpoints: usize,
    /// Its error; `None` while it is available.
    pub error: Option<String>,
}

/// A removed endpoint.
#[derive(Clone, Debug)]
pub struct RemovedEndpoint {
    /// Its last record.
    pub endpoint: Arc<Endpoint>,
    /// `deleted`, `expired`, `missing`, or `unreachable` (unconfirmed, then failed).
    pub why: &'static str,
    /// When the client removed it.
    pub at: Tick,
}

/// The statistics of the endpoint lists.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Cached services.
    pub services: usize,
    /// Lookups that did not wait.
    pub hits: u64,
    /// Lookups that waited for a registry.
    pub misses: u64,
    /// Lists received in the background.
    pub refreshes: u64,
    /// Services with a stale list.
    pub stale: usize,
    /// Age of the oldest list, seconds.
    pub oldest_s: f64,
    /// Each registry by its address.
    pub registries: Vec<RegistryStats>,
}

/// The statistics of one registry.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RegistryStats {
    /// Its address, without secrets.
    pub source: String,
    /// Whether it is available.
    pub up: bool,
    /// Whether endpoints that it does not list are removed at once.
    pub settled: bool,
    /// Seconds since it last answered; `None` if it never has.
    pub heard_s: Option<f64>,
    /// How often it became unavailable.
    pub losses: u64,
    /// Its last failure, kept after it is available again; `None` if it never failed.
    pub last_error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, heard: bool) -> SourceStatus {
        SourceStatus {
            source: name.into(),
            heard: heard.then(clock::now),
            down: false,
            from_disk: false,
            settled: false,
            endpoints: 0,
            error: Some("plum://a:1: could not connect".into()),
        }
    }

    #[test]
    fn description_names_age_and_source() {
        let heard = Provenance { sources: vec![source("plum://a:1", true)], gone: Vec::new() };
        assert_eq!(heard.describe(), "list 0 ms old from plum://a:1");
        let unheard = Provenance { sources: vec![source("plum://a:1", false)], gone: Vec::new() };
        assert_eq!(unheard.describe(), "plum://a:1: could not connect");
    }

    #[test]
    fn departures_are_counted_by_reason() {
        let endpoint = Arc::new(Endpoint::new("orders", "10.0.0.7".parse().unwrap(), 80));
        let gone = |why| RemovedEndpoint { endpoint: endpoint.clone(), why, at: clock::now() };
        let provenance =
            Provenance { sources: Vec::new(), gone: vec![gone("expired"), gone("deleted"), gone("expired")] };
        assert_eq!(provenance.departures(), ["2 expired 0 ms ago", "1 deleted 0 ms ago"]);
    }
}
