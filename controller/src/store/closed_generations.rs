//! Generations that were closed and are refused for a while.
//!
//! When a client closes a registration, its last heartbeat may still be in flight. With the original contract that
//! heartbeat is a registration and would restore the endpoint. So a delete that names its generation has it refused for
//! 60 s.

use std::collections::{HashSet, VecDeque};

/// How long a closed generation is refused, in lease milliseconds.
const CLOSED_FOR: u64 = 60_000;
/// The most closed generations. Beyond this the oldest are forgotten early, so that a flood of deletes cannot exhaust
/// memory.
const MAX_GENERATIONS: usize = 100_000;

type Key = (Box<str>, Box<str>);

#[derive(Debug, Default)]
pub(super) struct ClosedGenerations {
    keys: HashSet<Key>,
    /// In the order in which they expire.
    ends: VecDeque<(u64, Key)>,
}

impl ClosedGenerations {
    pub(super) fn add(&mut self, instance: &str, generation: &str, now: u64) {
        let key: Key = (instance.into(), generation.into());
        self.drop_ended(now);
        if !self.keys.insert(key.clone()) {
            return;
        }
        self.ends.push_back((now + CLOSED_FOR, key));
        if self.ends.len() > MAX_GENERATIONS {
            self.drop_first();
        }
    }

    pub(super) fn contains(&mut self, instance: &str, generation: &str, now: u64) -> bool {
        self.drop_ended(now);
        !self.keys.is_empty() && self.keys.contains(&(instance.into(), generation.into()))
    }

    pub(super) fn drop_ended(&mut self, now: u64) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, key)) = self.ends.pop_front() {
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_generation_is_refused_for_60_seconds() {
        let mut refused = ClosedGenerations::default();
        refused.add("o-1", "g", 1_000);
        assert!(refused.contains("o-1", "g", 60_999));
        assert!(!refused.contains("o-2", "g", 1_000));
        assert!(!refused.contains("o-1", "g", 61_000));
    }

    #[test]
    fn flood_of_deletes_stays_bounded() {
        let mut refused = ClosedGenerations::default();
        for number in 0..MAX_GENERATIONS + 10 {
            refused.add("o-1", &number.to_string(), 0);
        }
        assert_eq!(refused.ends.len(), MAX_GENERATIONS);
        assert_eq!(refused.keys.len(), MAX_GENERATIONS);
    }
}
