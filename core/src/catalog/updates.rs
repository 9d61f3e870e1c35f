//! Applies the updates of registries to the lists, and notifies watches.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Inner;
use super::absence::AbsencePolicy;
use super::cache_entry::{CacheEntry, UpdateResult};
use crate::clock;
use crate::error::Error;
use crate::membership::Ejection;
use crate::registry::{Absence, Listing, RegistryUpdate, UpdateSink};
use crate::runtime::Priority;

/// Receives the updates of one registry for the catalog.
pub(super) struct RegistrySink {
    pub(super) catalog: Weak<Inner>,
    pub(super) source: usize,
}

impl UpdateSink for RegistrySink {
    fn on_update(&self, update: RegistryUpdate) {
        let Some(catalog) = self.catalog.upgrade() else { return };
        catalog.refreshes.fetch_add(update.lists.len() as u64, Ordering::Relaxed);
        catalog.apply_update(self.source, update, None);
    }

    fn on_failure(&self, error: Error) {
        if let Some(catalog) = self.catalog.upgrade() {
            catalog.mark_down(self.source, error);
        }
    }

    fn is_in_use(&self, service: &str) -> bool {
        let Some(catalog) = self.catalog.upgrade() else { return false };
        let entry = catalog.services.load().get(service).cloned();
        entry.is_some_and(|entry| entry.is_used())
    }
}

impl Inner {
    /// Applies an update. `overtakes`: lists of services with more updates than this count are ignored.
    pub(super) fn apply_update(
        self: &Arc<Self>,
        index: usize,
        update: RegistryUpdate,
        overtakes: Option<u64>,
    ) {
        if self.closing.is_closed() {
            return;
        }
        let source = &self.sources[index];
        let (trust, was_down) = source.answered(&update, clock::now());
        for (service, listing) in update.lists {
            let entry = if self.all.load(Ordering::Acquire) {
                Some(self.entry_for(&service))
            } else {
                self.services.load().get(&service).cloned()
            };
            if let Some(entry) = entry {
                self.apply_result(&entry, &entry.apply_list(index, listing, trust, overtakes));
            }
        }
        if was_down {
            tracing::info!(source = %source.registry.source(), "the registry is available again");
            let is_down = self.is_any_down();
            self.readers().iter().for_each(|reader| reader.registry(is_down));
        }
    }

    /// Marks a registry as unavailable.
    pub(super) fn mark_down(self: &Arc<Self>, index: usize, error: Error) {
        if self.closing.is_closed() {
            return;
        }
        let source = &self.sources[index];
        let shown = error.to_string();
        if !source.failed(error) {
            return;
        }
        tracing::warn!(source = %source.registry.source(), error = shown, "the registry is unavailable; using its last lists");
        for entry in self.services.load().values().filter(|entry| !entry.is_ready()) {
            self.load_from_disk(entry);
            entry.notify_unavailable();
        }
        self.readers().iter().for_each(|reader| reader.registry(true));
    }

    /// Applies the endpoints that the program published.
    pub(super) fn apply_published(self: &Arc<Self>, entry: &Arc<CacheEntry>, listing: Listing) {
        let trust = AbsencePolicy { absence: Absence::Authoritative, settled: true, ttl: self.ttl };
        let applied = entry.apply_list(self.sources.len(), listing, trust, None);
        self.apply_result(entry, &applied);
    }

    /// Finishes an update after its locks are released: probes, expiry, snapshot.
    pub(super) fn apply_result(self: &Arc<Self>, entry: &Arc<CacheEntry>, applied: &UpdateResult) {
        // An endpoint that was registered again is probed at once.
        let at_once = |ejection: &mut Ejection| ejection.next_probe = clock::now();
        for member in &applied.returned {
            entry.service().reschedule(&member.state, at_once);
        }
        if let Some(due) = applied.due {
            let (catalog, entry) = (Arc::downgrade(self), Arc::downgrade(entry));
            self.runtime.at(due, &self.queue, Priority::Poll, move || {
                if let (Some(catalog), Some(entry)) = (catalog.upgrade(), entry.upgrade()) {
                    catalog.apply_result(&entry, &entry.expire());
                }
            });
        }
        if applied.changed {
            self.save_soon();
        }
    }
}
