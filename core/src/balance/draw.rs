//! The chance and the turn of one thread: what strategies draw from, passed in and never shared.

use super::Context;
use crate::membership::View;

/// A draw of what is not wanted is repeated so often before the list is walked instead.
const REDRAWS: usize = 8;

/// Random numbers and a counter, one of each per thread and selection.
///
/// The generator is wyrand (Wang Yi): one multiplication a number, and good enough to share out traffic.
#[derive(Clone, Debug)]
pub struct Draw {
    seed: u64,
    turn: u64,
}

impl Draw {
    /// A generator, and a counter that starts at random, both from this seed.
    pub fn new(seed: u64) -> Draw {
        let mut draw = Draw { seed, turn: 0 };
        draw.turn = draw.number() >> 1;
        draw
    }

    /// A random number.
    #[inline]
    pub fn number(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.seed) * u128::from(self.seed ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// A random number below this one, which must not be 0.
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.number()) * end as u128) >> 64) as usize
    }

    /// A random number from [0, 1).
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The counter's next value.
    #[inline]
    pub fn turn(&mut self) -> u64 {
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        turn
    }
}

/// One index in proportion to weight: neither suspect, nor tried by this call, nor `but`. `None` where there
/// is no such endpoint.
#[inline]
pub(super) fn eligible(view: &View, context: &mut Context<'_>, but: Option<usize>) -> Option<usize> {
    for _ in 0..=REDRAWS {
        let index = view.draw(context.draw.number());
        if Some(index) != but && is_eligible(view, context, index) {
            return Some(index);
        }
    }
    let wanted = |context: &Context<'_>, index| Some(index) != but && is_eligible(view, context, index);
    walk(view, context, wanted)
}

/// Where nobody is eligible: one that was tried rather than one that hangs, anyone rather than none.
#[cold]
pub(super) fn last_choice(view: &View, context: &mut Context<'_>) -> Option<usize> {
    walk(view, context, |context, index| !view.is_suspect(index, context.now))
        .or_else(|| walk(view, context, |context, index| !context.has_tried(view, index)))
        .or_else(|| walk(view, context, |_, _| true))
}

/// Whether an endpoint may be picked without second thoughts.
#[inline]
pub(super) fn is_eligible(view: &View, context: &Context<'_>, index: usize) -> bool {
    !context.has_tried(view, index) && !view.is_suspect(index, context.now)
}

/// The first wanted index from a random one on.
#[cold]
fn walk(
    view: &View,
    context: &mut Context<'_>,
    wanted: impl Fn(&Context<'_>, usize) -> bool,
) -> Option<usize> {
    let start = context.draw.below(view.len().max(1));
    (start..view.len()).chain(0..start).find(|index| wanted(context, *index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut draw = Draw::new(7);
        let mut counts = [0u32; 10];
        (0..100_000).for_each(|_| counts[draw.below(10)] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&draw.unit())));
    }

    #[test]
    fn neighboring_seeds_differ() {
        let mut starts: Vec<u64> = (0..1000).map(|seed| Draw::new(seed).turn() % 1000).collect();
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 550, "{} of 1000", starts.len());
    }
}
