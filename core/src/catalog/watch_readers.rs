//! Who listens: readers of watches, held weakly, those that have gone left out.

use std::sync::{Arc, Weak};

use super::catalog_watch::WatchReader;

/// So few are not worth a look for those that have gone.
const FEW: usize = 16;

/// Some readers. A watch that is dropped takes no word of leave, so each addition looks after as many as have been
/// added since the last look: what has gone never outnumbers what is there for long.
#[derive(Default)]
pub(super) struct WatchReaders {
    all: Vec<Weak<WatchReader>>,
    /// How many there may be before the next look.
    room: usize,
}

impl WatchReaders {
    /// One more listens.
    pub(super) fn add(&mut self, reader: &Arc<WatchReader>) {
        if self.all.len() >= self.room.max(FEW) {
            self.room = self.open().len() * 2;
        }
        self.all.push(Arc::downgrade(reader));
    }

    /// Those that still listen.
    pub(super) fn open(&mut self) -> Vec<Arc<WatchReader>> {
        self.all.retain(|reader| reader.upgrade().is_some_and(|reader| !reader.is_closed()));
        self.all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether anybody still listens.
    pub(super) fn has_any(&mut self) -> bool {
        !self.open().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_have_gone_do_not_pile_up() {
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
