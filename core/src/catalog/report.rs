//! What the catalog can tell about itself: for `explain`, for messages, for stats.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, Tick};
use crate::model::Endpoint;

/// Where the list of a service comes from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// What each registry contributes.
    pub sources: Vec<SourceStatus>,
    /// What has lately gone, the latest first; at most 16.
    pub gone: Vec<RemovedEndpoint>,
}

impl Provenance {
    /// `list 1.2 s old from plum://…`, for messages; of several registries the one heard last.
    pub fn describe(&self) -> String {
        let heard = self.sources.iter().filter(|source| source.heard.is_some());
        let Some(source) = heard.max_by_key(|source| (source.endpoints > 0, source.heard)) else {
            let errors: Vec<&str> =
                self.sources.iter().filter_map(|source| source.error.as_deref()).collect();
            return match errors.as_slice() {
                [] => "no registry has been heard yet".into(),
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

    /// `1 expired 40 s ago`, for messages: what has gone within the last ten minutes, by its reason.
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

/// A duration as one says it: `40 ms`, `1.2 s`, `40 s`, `12 min`.
fn rounded(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// What one registry contributes to a service.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// Its address, without secrets.
    pub source: String,
    /// When it last confirmed its list; `None` if it never has.
    pub heard: Option<Tick>,
    /// Whether it does not answer at present.
    pub down: bool,
    /// Whether the list comes from the snapshot on disk.
    pub from_disk: bool,
    /// Whether what it does not list is believed to be gone.
    pub settled: bool,
    /// How many endpoints it contributes.
    pub endpoints: usize,
    /// What is wrong with it; `None` while it answers.
    pub error: Option<String>,
}

/// An endpoint that has gone.
#[derive(Clone, Debug)]
pub struct RemovedEndpoint {
    /// Its last record.
    pub endpoint: Arc<Endpoint>,
    /// `deleted`, `expired`, `missing`, or `unreachable` (unconfirmed, then failed).
    pub why: &'static str,
    /// When we learnt of it.
    pub at: Tick,
}

/// How the catalog has fared.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Services it holds.
    pub services: usize,
    /// Look-ups answered from memory.
    pub hits: u64,
    /// Look-ups that had to wait for a registry.
    pub misses: u64,
    /// Lists heard in the background.
    pub refreshes: u64,
    /// Services whose list is older than it should be.
    pub stale: usize,
    /// Age of the oldest list, seconds.
    pub oldest_s: f64,
    /// Each registry by its address.
    pub registries: Vec<RegistryStats>,
}

/// How one registry has fared.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RegistryStats {
    /// Its address, without secrets.
    pub source: String,
    /// Whether it answers at present.
    pub up: bool,
    /// Whether what it does not list is believed to be gone.
    pub settled: bool,
    /// Seconds since it last answered; `None` if it never has.
    pub heard_s: Option<f64>,
    /// How often it was lost.
    pub losses: u64,
    /// Its last failure, told also once it answers again; `None` if it never failed.
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
    fn a_message_says_how_old_the_list_is_and_whose() {
        let heard = Provenance { sources: vec![source("plum://a:1", true)], gone: Vec::new() };
        assert_eq!(heard.describe(), "list 0 ms old from plum://a:1");
        let unheard = Provenance { sources: vec![source("plum://a:1", false)], gone: Vec::new() };
        assert_eq!(unheard.describe(), "plum://a:1: could not connect");
    }

    #[test]
    fn departures_are_counted_by_their_reason() {
        let endpoint = Arc::new(Endpoint::new("orders", "10.0.0.7".parse().unwrap(), 80));
        let gone = |why| RemovedEndpoint { endpoint: endpoint.clone(), why, at: clock::now() };
        let provenance =
            Provenance { sources: Vec::new(), gone: vec![gone("expired"), gone("deleted"), gone("expired")] };
        assert_eq!(provenance.departures(), ["2 expired 0 ms ago", "1 deleted 0 ms ago"]);
    }
}
