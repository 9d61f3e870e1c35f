//! The latencies of about the last thousand answers, kept as counts in buckets that grow with the latency.
//!
//! ```text
//!  1 µs        2 µs        4 µs                       73 min
//!   |  |  |  |  |  |  |  |  |  |  |  |  …  |  |  |  |  |      four buckets to each doubling
//! ```
//!
//! Two generations of five hundred answers take turns: a full one becomes the older, and the older one is
//! emptied for what comes next. A count that two threads write at the same moment may lose one of the two;
//! a quantile does not notice, and a locked increment would be paid for by every call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const PER_DOUBLING: usize = 4;
const DOUBLINGS: usize = 32;
const BUCKETS: usize = PER_DOUBLING * DOUBLINGS;
/// The lowest bucket holds everything below 2¹⁰ ns.
const LOWEST_BIT: u32 = 10;
const GENERATION: u32 = 500;

type Buckets = [[AtomicU16; BUCKETS]; 2];

/// A histogram that forgets: the last 500 to 1,000 latencies. Small until the first.
#[derive(Debug, Default)]
pub struct Recent {
    buckets: OnceLock<Box<Buckets>>,
    counted: AtomicU32,
    /// Which of the two generations counts now, and how many answers it holds.
    younger: AtomicU32,
    in_younger: AtomicU32,
}

fn empty() -> Box<Buckets> {
    Box::new([const { [const { AtomicU16::new(0) }; BUCKETS] }; 2])
}

impl Recent {
    /// Counts one more; returns how many have been counted, this one included.
    #[inline]
    pub fn record(&self, latency: Duration) -> u32 {
        let buckets = self.buckets.get_or_init(empty);
        let bucket = &buckets[self.younger.load(Relaxed) as usize & 1][bucket_of(latency)];
        bucket.store(bucket.load(Relaxed).saturating_add(1), Relaxed);
        let held = self.in_younger.load(Relaxed) + 1;
        self.in_younger.store(held, Relaxed);
        if held >= GENERATION {
            self.turn(buckets);
        }
        let counted = self.counted.load(Relaxed).saturating_add(1);
        self.counted.store(counted, Relaxed);
        counted
    }

    /// How many have been counted since the beginning.
    pub fn counted(&self) -> u32 {
        self.counted.load(Relaxed)
    }

    /// The latency that this share of the recent answers stayed within, up to the width of a bucket above it;
    /// `None` before the first.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let buckets = self.buckets.get()?;
        let held = |bucket: usize| -> u32 {
            buckets.iter().map(|generation| u32::from(generation[bucket].load(Relaxed))).sum()
        };
        let total: u32 = (0..BUCKETS).map(held).sum();
        let wanted = (f64::from(total) * share).ceil() as u32;
        let mut seen = 0;
        let reaches = |bucket: &usize| {
            seen += held(*bucket);
            seen >= wanted.max(1)
        };
        (0..BUCKETS).find(reaches).map(upper_edge)
    }

    fn turn(&self, buckets: &Buckets) {
        let older = (self.younger.load(Relaxed) + 1) & 1;
        buckets[older as usize].iter().for_each(|bucket| bucket.store(0, Relaxed));
        self.in_younger.store(0, Relaxed);
        self.younger.store(older, Relaxed);
    }
}

fn bucket_of(latency: Duration) -> usize {
    let nanos = (latency.as_nanos() as u64).max(1 << LOWEST_BIT);
    let doubling = nanos.ilog2();
    let within = (nanos >> (doubling - 2)) as usize & (PER_DOUBLING - 1);
    ((doubling - LOWEST_BIT) as usize * PER_DOUBLING + within).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> Duration {
    let (doubling, within) = (bucket / PER_DOUBLING, bucket % PER_DOUBLING);
    let quarter = 1u64 << (LOWEST_BIT as usize + doubling - 2);
    Duration::from_nanos(quarter * (PER_DOUBLING + within + 1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_below_the_edge_of_its_bucket() {
        for nanos in (0..60_000_000_000u64).step_by(77_777_777).chain([1 << 11, (1 << 11) - 1, 1300]) {
            let edge = upper_edge(bucket_of(Duration::from_nanos(nanos))).as_nanos() as u64;
            assert!(
                edge > nanos && edge as f64 <= (nanos.max(1 << LOWEST_BIT) as f64) * 1.26,
                "{nanos}: {edge}"
            );
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_p99_is_what_ninety_nine_of_a_hundred_stayed_within() {
        let recent = Recent::default();
        assert_eq!(recent.quantile(0.99), None);
        (0..400).for_each(|n| {
            recent.record(Duration::from_millis(if n % 50 == 0 { 80 } else { 4 }));
        });
        let (p50, p99) = (recent.quantile(0.5).unwrap(), recent.quantile(0.99).unwrap());
        assert!(p50 >= Duration::from_millis(4) && p50 <= Duration::from_millis(5), "{p50:?}");
        assert!(p99 >= Duration::from_millis(80) && p99 <= Duration::from_millis(100), "{p99:?}");
    }

    #[test]
    fn forgets_after_1000_responses() {
        let recent = Recent::default();
        for latency in [Duration::from_secs(2), Duration::from_millis(1)] {
            for _ in 0..1000 {
                recent.record(latency);
            }
        }
        assert!(recent.quantile(1.0).unwrap() < Duration::from_millis(2));
        assert_eq!(recent.counted(), 2000);
    }
}
