//! What this client believes of the services it uses.
//! (signatures first; bodies follow)
#![allow(unused_variables, clippy::todo)]

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Tick;
use crate::config::CacheConfig;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::model::{Change, Endpoint, EndpointKey, Query};
use crate::registry::{Registry, Wait};
use crate::runtime::Runtime;
use crate::snapshot::{Member, Service};

/// Called, from a background thread, when an endpoint was registered anew or is listed again after absence.
pub type OnReturn = Box<dyn Fn(&Arc<Service>, &Member) + Send + Sync>;

/// The catalog of one client.
pub struct Catalog {
    _inner: Arc<()>,
}

/// One service as the catalog knows it.
pub struct Known {
    service: Arc<Service>,
}

impl Known {
    /// Its endpoints and views.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Marks it as used; whether its list can be used without waiting. No lock, no allocation.
    pub fn enter(&self) -> bool {
        todo!()
    }

    /// Whether its list is older than it should be, because a registry does not answer.
    pub fn is_stale(&self) -> bool {
        todo!()
    }
}

impl Catalog {
    /// A catalog over these registries. Opens nothing.
    pub fn new(registries: Vec<Arc<dyn Registry>>, config: &CacheConfig, runtime: Runtime) -> Catalog {
        todo!()
    }

    /// A service, heard of or not.
    pub fn entry(&self, service: &str) -> Arc<Known> {
        todo!()
    }

    /// A service that has been heard of; no lock, no allocation, no wait.
    pub fn known(&self, service: &str) -> Option<Arc<Known>> {
        todo!()
    }

    /// A service; waits for a registry the first ever time, never again. A service that nobody offers is one
    /// without endpoints, not an error; it is an error (`Unavailable`, `Timeout`) when nobody could be asked.
    pub fn service(&self, service: &str, wait: &Wait<'_>) -> Result<Arc<Known>> {
        todo!()
    }

    /// Where a service's list comes from, how old it is, what has lately gone.
    pub fn provenance(&self, service: &str) -> Provenance {
        todo!()
    }

    /// Every service's name, asked of the registries at most once a second.
    pub fn names(&self, wait: &Wait<'_>) -> Result<Vec<String>> {
        todo!()
    }

    /// The name most like this one, if one is like it: for "did you mean".
    pub fn similar(&self, service: &str, wait: &Wait<'_>) -> Option<String> {
        todo!()
    }

    /// Tells of every change of a service, beginning with what is there.
    pub fn watch(&self, service: &str) -> Watching {
        todo!()
    }

    /// Tells of every change of every service.
    pub fn watch_all(&self) -> Watching {
        todo!()
    }

    /// Waits until at least one healthy endpoint fits the query.
    pub fn wait_for(&self, query: &Query, wait: &Wait<'_>) -> Result<()> {
        todo!()
    }

    /// Replaces what the program itself says exists of a service, beside what the registries say.
    pub fn publish(&self, service: &str, endpoints: Vec<Endpoint>) {
        todo!()
    }

    /// An endpoint failed to connect, timed out or was ejected: if it is only listed because its absence was
    /// not believed, it is believed now.
    pub fn distrust(&self, service: &str, key: &EndpointKey) {
        todo!()
    }

    /// Every list is asked for anew: the next use of each service waits as if it were the first. Should that
    /// fail, the old list still serves.
    pub fn clear(&self) {
        todo!()
    }

    /// How the catalog has fared.
    pub fn stats(&self) -> CacheStats {
        todo!()
    }

    /// Ends every watch and all background work of this catalog. Does not wait.
    pub fn close(&self) {
        todo!()
    }
}

/// A running watch. `next` and `close` may be called from any thread.
#[derive(Clone)]
pub struct Watching {
    _inner: Arc<()>,
}

impl Watching {
    /// The next change; `None` when the timeout has passed without one. `None` as timeout waits for ever.
    /// After `close()`: an error of kind `Closed`.
    pub fn next(&self, timeout: Option<Duration>, interrupt: &dyn Interrupt) -> Result<Option<Change>> {
        todo!()
    }

    /// Ends it: whoever waits in `next` gets `Closed`.
    pub fn close(&self) {
        todo!()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}

/// Where the list of a service comes from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// What each registry contributes.
    pub sources: Vec<SourceView>,
    /// What has lately gone, the latest first; at most 16.
    pub gone: Vec<Gone>,
}

impl Provenance {
    /// `list 1.2 s old from plum://…`, for messages.
    pub fn describe(&self) -> String {
        todo!()
    }
}

/// What one registry contributes to a service.
#[derive(Clone, Debug)]
pub struct SourceView {
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
    /// Its last failure.
    pub error: Option<String>,
}

/// An endpoint that has gone.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Its last record.
    pub endpoint: Arc<Endpoint>,
    /// `deleted`, `expired`, `missing`, or `unreachable` (unconfirmed, then failed).
    pub why: &'static str,
    /// When we learnt of it.
    pub at: Tick,
}

/// How the catalog has fared.
#[derive(Clone, Debug, Default, Serialize)]
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
    /// Its last failure.
    pub last_error: Option<String>,
}
