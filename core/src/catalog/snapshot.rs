//! The snapshot on disk: read when a registry has not answered, written 1 s after a change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sync::Mutex;

use super::cache_entry::CacheEntry;
use super::{Inner, snapshot_file};
use crate::model::Endpoint;
use crate::runtime::Priority;

/// The delay between the first change and the write of the snapshot.
const WRITE_DELAY: Duration = Duration::from_secs(1);

/// The snapshot of one client.
pub(super) struct DiskSnapshot {
    pub(super) path: PathBuf,
    /// The lists as read at the start. Services that are not used stay in the file.
    pub(super) read: Mutex<Option<Arc<snapshot_file::Lists>>>,
    pub(super) dirty: AtomicBool,
}

impl Inner {
    pub(super) fn disk_lists(&self) -> Option<Arc<snapshot_file::Lists>> {
        let disk = self.disk.as_ref()?;
        let mut read = disk.read.lock();
        Some(read.get_or_insert_with(|| Arc::new(snapshot_file::read(&disk.path))).clone())
    }

    pub(super) fn is_on_disk(&self, service: &str) -> bool {
        self.disk_lists().is_some_and(|lists| lists.values().any(|services| services.contains_key(service)))
    }

    /// Loads a service's list from disk for registries that have not answered.
    pub(super) fn load_from_disk(self: &Arc<Self>, entry: &Arc<CacheEntry>) {
        let Some(lists) = self.disk_lists() else { return };
        for (index, source) in self.sources.iter().enumerate() {
            let stored =
                lists.get(&**source.registry.source()).and_then(|services| services.get(entry.name()));
            if let Some(stored) = stored {
                let endpoints = stored.iter().map(|endpoint| Endpoint::clone(endpoint)).collect();
                self.apply_result(entry, &entry.apply_disk_list(index, endpoints));
            }
        }
    }

    pub(super) fn save_soon(self: &Arc<Self>) {
        let Some(disk) = &self.disk else { return };
        if !disk.dirty.swap(true, Ordering::AcqRel) {
            let catalog = Arc::downgrade(self);
            self.runtime.after(WRITE_DELAY, &self.queue, Priority::Poll, move || {
                if let Some(catalog) = catalog.upgrade() {
                    catalog.save();
                }
            });
        }
    }

    pub(super) fn save(&self) {
        let (Some(disk), Some(read)) = (&self.disk, self.disk_lists()) else { return };
        disk.dirty.store(false, Ordering::Release);
        let mut lists = snapshot_file::Lists::clone(&read);
        for (name, entry) in self.services.load().iter().filter(|(_, entry)| entry.is_ready()) {
            for (source, endpoints) in self.sources.iter().zip(entry.contributions()) {
                let services = lists.entry(source.registry.source().to_string()).or_default();
                if endpoints.is_empty() {
                    services.remove(name);
                } else {
                    services.insert(name.clone(), endpoints);
                }
            }
        }
        if let Err(error) = snapshot_file::write(&disk.path, &lists) {
            tracing::warn!(path = %disk.path.display(), %error, "cannot write the snapshot");
        }
    }
}
