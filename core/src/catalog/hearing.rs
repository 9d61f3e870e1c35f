//! What becomes of the news: a registry answered, or was lost; the lists follow, and whoever watches hears of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Inner;
use super::absence::Trust;
use super::known::{Applied, Known};
use crate::clock;
use crate::error::Error;
use crate::membership::Ejection;
use crate::registry::{Absence, Listing, RegistryUpdate, UpdateSink};
use crate::runtime::Priority;

/// Hears one registry on the catalog's behalf.
pub(super) struct Ear {
    pub(super) catalog: Weak<Inner>,
    pub(super) source: usize,
}

impl UpdateSink for Ear {
    fn on_update(&self, heard: RegistryUpdate) {
        let Some(catalog) = self.catalog.upgrade() else { return };
        catalog.refreshes.fetch_add(heard.lists.len() as u64, Ordering::Relaxed);
        catalog.hear(self.source, heard, None);
    }

    fn on_failure(&self, error: Error) {
        if let Some(catalog) = self.catalog.upgrade() {
            catalog.lose(self.source, error);
        }
    }

    fn is_in_use(&self, service: &str) -> bool {
        let Some(catalog) = self.catalog.upgrade() else { return false };
        let known = catalog.services.load().get(service).cloned();
        known.is_some_and(|known| known.is_used())
    }
}

impl Inner {
    /// A registry answered. `overtakes`: left out where more has been heard of the service meanwhile.
    pub(super) fn hear(self: &Arc<Self>, index: usize, heard: RegistryUpdate, overtakes: Option<u64>) {
        if self.closing.is_closed() {
            return;
        }
        let source = &self.sources[index];
        let (trust, was_down) = source.answered(&heard, clock::now());
        for (service, listing) in heard.lists {
            let known = if self.all.load(Ordering::Acquire) {
                Some(self.enter(&service))
            } else {
                self.services.load().get(&service).cloned()
            };
            if let Some(known) = known {
                self.follow_up(&known, &known.heard(index, listing, trust, overtakes));
            }
        }
        if was_down {
            tracing::info!(source = %source.registry.source(), "the registry answers again");
            let is_down = self.is_any_down();
            self.readers().iter().for_each(|reader| reader.registry(is_down));
        }
    }

    /// A registry did not answer.
    pub(super) fn lose(self: &Arc<Self>, index: usize, error: Error) {
        if self.closing.is_closed() {
            return;
        }
        let source = &self.sources[index];
        let shown = error.to_string();
        if !source.failed(error) {
            return;
        }
        tracing::warn!(source = %source.registry.source(), error = shown, "the registry does not answer; its last lists serve on");
        for known in self.services.load().values().filter(|known| !known.is_ready()) {
            self.recall(known);
            known.tell_nothing_heard();
        }
        self.readers().iter().for_each(|reader| reader.registry(true));
    }

    /// The program itself said what exists.
    pub(super) fn hear_own(self: &Arc<Self>, known: &Arc<Known>, listing: Listing) {
        let trust = Trust { absence: Absence::Authoritative, settled: true, ttl: self.ttl };
        let applied = known.heard(self.sources.len(), listing, trust, None);
        self.follow_up(known, &applied);
    }

    /// What follows from news, once no lock is held.
    pub(super) fn follow_up(self: &Arc<Self>, known: &Arc<Known>, applied: &Applied) {
        // Whoever was registered anew is tried at once, however it left.
        let at_once = |ejection: &mut Ejection| ejection.next_probe = clock::now();
        for member in &applied.returned {
            known.service().reschedule(&member.state, at_once);
        }
        if let Some(due) = applied.due {
            let (catalog, known) = (Arc::downgrade(self), Arc::downgrade(known));
            self.runtime.at(due, &self.lane, Priority::Poll, move || {
                if let (Some(catalog), Some(known)) = (catalog.upgrade(), known.upgrade()) {
                    catalog.follow_up(&known, &known.expire());
                }
            });
        }
        if applied.changed {
            self.save_soon();
        }
    }
}
