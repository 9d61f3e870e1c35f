//! Generations that were closed: for a while they cannot come back.
//!
//! `close()` of a client deletes its endpoint while its last heartbeat may still be on its way. That beat is a
//! registration and would bring the dead back; so a delete that names its generation has it refused for 60 s.

use std::collections::{HashSet, VecDeque};

/// Lease milliseconds for which a closed generation is refused.
const REFUSED_FOR: u64 = 60_000;
/// Above this the oldest are forgotten early, so that a flood of deletes cannot grow the list for ever.
const MOST: usize = 100_000;

type Key = (Box<str>, Box<str>);

#[derive(Debug, Default)]
pub(super) struct Refused {
    keys: HashSet<Key>,
    /// In the order in which they end.
    ends: VecDeque<(u64, Key)>,
}

impl Refused {
    pub(super) fn add(&mut self, instance: &str, generation: &str, now: u64) {
        let key: Key = (instance.into(), generation.into());
        self.drop_ended(now);
        if !self.keys.insert(key.clone()) {
            return;
        }
        self.ends.push_back((now + REFUSED_FOR, key));
        if self.ends.len() > MOST {
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
    fn a_closed_generation_is_refused_for_sixty_seconds() {
        let mut refused = Refused::default();
        refused.add("o-1", "g", 1_000);
        assert!(refused.contains("o-1", "g", 60_999));
        assert!(!refused.contains("o-2", "g", 1_000));
        assert!(!refused.contains("o-1", "g", 61_000));
    }

    #[test]
    fn a_flood_of_deletes_stays_bounded() {
        let mut refused = Refused::default();
        for number in 0..MOST + 10 {
            refused.add("o-1", &number.to_string(), 0);
        }
        assert_eq!(refused.ends.len(), MOST);
        assert_eq!(refused.keys.len(), MOST);
    }
}
