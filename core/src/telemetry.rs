//! Counters, sharded so that threads do not contend for a cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use serde::Serialize;

const SHARDS: usize = 4;

/// The counters of one service. Each thread adds to a shard, a cache line it shares with few others.
#[derive(Debug, Default)]
pub struct Counters {
    shards: [Shard; SHARDS],
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    cells: [AtomicU64; 8],
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Calls that ended.
    Calls,
    /// Calls that ended without a response.
    Failures,
    /// Attempts of calls, the first ones included.
    Attempts,
    /// Attempts beyond each call's first.
    Retries,
    /// Endpoints handed out by `pick()`.
    Picks,
    /// Picks without a report.
    Unreported,
    /// Ejections.
    Ejections,
    /// Probes of ejected endpoints.
    Probes,
}

impl Counters {
    /// Adds some.
    #[inline]
    pub fn add(&self, what: Count, amount: u64) {
        if amount > 0 {
            self.shards[shard()].cells[what as usize].fetch_add(amount, Relaxed);
        }
    }

    /// The sum of a counter.
    pub fn get(&self, what: Count) -> u64 {
        self.shards.iter().map(|shard| shard.cells[what as usize].load(Relaxed)).sum()
    }

    /// All counters.
    pub fn figures(&self) -> CallFigures {
        CallFigures {
            calls: self.get(Count::Calls),
            failures: self.get(Count::Failures),
            attempts: self.get(Count::Attempts),
            retries: self.get(Count::Retries),
            picks: self.get(Count::Picks),
            unreported: self.get(Count::Unreported),
            ejections: self.get(Count::Ejections),
            probes: self.get(Count::Probes),
        }
    }
}

/// One figure that many threads count at once.
#[derive(Debug, Default)]
pub struct Tally {
    shards: [Padded; SHARDS],
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded(AtomicU64);

impl Tally {
    /// One more.
    #[inline]
    pub fn count(&self) {
        self.shards[shard()].0.fetch_add(1, Relaxed);
    }

    /// All that was counted.
    pub fn get(&self) -> u64 {
        self.shards.iter().map(|shard| shard.0.load(Relaxed)).sum()
    }
}

/// The call and pick counts of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallFigures {
    /// Calls that ended.
    pub calls: u64,
    /// Calls that ended without a response.
    pub failures: u64,
    /// Attempts of calls, the first ones included, probes not.
    pub attempts: u64,
    /// Attempts beyond each call's first.
    pub retries: u64,
    /// Endpoints handed out by `pick()`.
    pub picks: u64,
    /// Picks without a report.
    pub unreported: u64,
    /// Ejections.
    pub ejections: u64,
    /// Probes of ejected endpoints.
    pub probes: u64,
}

/// This thread's shard; threads take turns.
#[inline]
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        mine.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_add_up() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| counters.add(Count::Picks, 1)));
            }
        });
        assert_eq!(counters.figures(), CallFigures { picks: 8000, ..CallFigures::default() });
    }
}
