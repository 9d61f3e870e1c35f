//! The lists on disk: read when a registry has not been heard, written a moment after something changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sync::Mutex;

use super::known::Known;
use super::{Inner, disk};
use crate::model::Endpoint;
use crate::runtime::Priority;

/// How long changes are gathered before the snapshot is written.
const WRITE_DELAY: Duration = Duration::from_secs(1);

/// The snapshot of one client.
pub(super) struct Disk {
    pub(super) path: PathBuf,
    /// As read at the start; services that were not used since are kept from it.
    pub(super) read: Mutex<Option<Arc<disk::Lists>>>,
    pub(super) dirty: AtomicBool,
}

impl Inner {
    pub(super) fn on_disk(&self) -> Option<Arc<disk::Lists>> {
        let disk = self.disk.as_ref()?;
        let mut read = disk.read.lock();
        Some(read.get_or_insert_with(|| Arc::new(disk::read(&disk.path))).clone())
    }

    pub(super) fn has_on_disk(&self, service: &str) -> bool {
        self.on_disk().is_some_and(|lists| lists.values().any(|services| services.contains_key(service)))
    }

    /// Takes a service's list from the disk where its registry has not been heard.
    pub(super) fn recall(self: &Arc<Self>, known: &Arc<Known>) {
        let Some(lists) = self.on_disk() else { return };
        for (index, source) in self.sources.iter().enumerate() {
            let stored =
                lists.get(&**source.registry.source()).and_then(|services| services.get(known.name()));
            if let Some(stored) = stored {
                let endpoints = stored.iter().map(|endpoint| Endpoint::clone(endpoint)).collect();
                self.follow_up(known, &known.recalled(index, endpoints));
            }
        }
    }

    pub(super) fn save_soon(self: &Arc<Self>) {
        let Some(disk) = &self.disk else { return };
        if !disk.dirty.swap(true, Ordering::AcqRel) {
            let catalog = Arc::downgrade(self);
            self.runtime.after(WRITE_DELAY, &self.lane, Priority::Poll, move || {
                if let Some(catalog) = catalog.upgrade() {
                    catalog.save();
                }
            });
        }
    }

    pub(super) fn save(&self) {
        let (Some(disk), Some(read)) = (&self.disk, self.on_disk()) else { return };
        disk.dirty.store(false, Ordering::Release);
        let mut lists = disk::Lists::clone(&read);
        for (name, known) in self.services.load().iter().filter(|(_, known)| known.is_ready()) {
            for (source, endpoints) in self.sources.iter().zip(known.contributions()) {
                let services = lists.entry(source.registry.source().to_string()).or_default();
                if endpoints.is_empty() {
                    services.remove(name);
                } else {
                    services.insert(name.clone(), endpoints);
                }
            }
        }
        if let Err(error) = disk::write(&disk.path, &lists) {
            tracing::warn!(path = %disk.path.display(), %error, "the snapshot could not be written");
        }
    }
}
