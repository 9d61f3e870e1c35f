//! A list of weak references to watch readers, without those that were dropped.

use std::sync::{Arc, Weak};

use super::catalog_watch::WatchReader;

/// Below this number no cleanup takes place.
const FEW: usize = 16;

/// Watch readers. A dropped watch does not deregister itself, so the list is cleaned up each time it has doubled.
#[derive(Default)]
pub(super) struct WatchReaders {
    all: Vec<Weak<WatchReader>>,
    /// The size at which the next cleanup takes place.
    room: usize,
}

impl WatchReaders {
    /// Adds a reader.
    pub(super) fn add(&mut self, reader: &Arc<WatchReader>) {
        if self.all.len() >= self.room.max(FEW) {
            self.room = self.open().len() * 2;
        }
        self.all.push(Arc::downgrade(reader));
    }

    /// The readers that are still open.
    pub(super) fn open(&mut self) -> Vec<Arc<WatchReader>> {
        self.all.retain(|reader| reader.upgrade().is_some_and(|reader| !reader.is_closed()));
        self.all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether any reader is still open.
    pub(super) fn has_any(&mut self) -> bool {
        !self.open().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_readers_are_cleaned_up() {
        let mut readers = WatchReaders::default();
        let stays: Vec<Arc<WatchReader>> = (0..100).map(|_| Arc::default()).collect();
        stays.iter().for_each(|reader| readers.add(reader));
        (0..10_000).for_each(|_| readers.add(&Arc::default()));
        assert!(readers.all.len() <= 2 * stays.len() + 1, "{}", readers.all.len());
        assert_eq!(readers.open().len(), 100);
        stays[0].close();
        assert_eq!(readers.open().len(), 99);
        drop(stays);
        assert!(!readers.has_any() && readers.all.is_empty());
    }
}
