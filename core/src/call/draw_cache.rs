//! The random generators and counters of balancers, one per selection and thread. Threads share nothing, and clients
//! that start together draw different numbers.

use std::cell::RefCell;

use crate::balance::Draw;
use crate::runtime;

/// The number of cached draws per thread. Selections beyond it replace each other and start from a new seed.
const SLOTS: usize = 64;

struct CachedDraw {
    selection: u64,
    draw: Draw,
}

struct DrawCache {
    /// The process that seeded them: a forked child must not repeat its parent's draws.
    generation: u64,
    slots: Vec<Option<CachedDraw>>,
}

thread_local! {
    static DRAWS: RefCell<DrawCache> = const { RefCell::new(DrawCache { generation: 0, slots: Vec::new() }) };
}

/// Runs `use_it` with this thread's draw for a selection. A user's balancer that picks recursively gets a new draw.
#[inline]
pub(crate) fn with_draw<T>(selection: u64, use_it: impl FnOnce(&mut Draw) -> T) -> T {
    DRAWS.with(|draws| match draws.try_borrow_mut() {
        Ok(mut draws) => use_it(draws.slot(selection)),
        Err(_) => use_it(&mut Draw::new(seed())),
    })
}

impl DrawCache {
    #[inline]
    fn slot(&mut self, selection: u64) -> &mut Draw {
        if self.generation != runtime::generation() || self.slots.is_empty() {
            self.generation = runtime::generation();
            self.slots = (0..SLOTS).map(|_| None).collect();
        }
        let slot = &mut self.slots[selection as usize % SLOTS];
        match slot {
            Some(kept) if kept.selection == selection => {}
            _ => *slot = Some(CachedDraw { selection, draw: Draw::new(seed()) }),
        }
        &mut slot.as_mut().expect("just filled").draw
    }
}

/// A seed from the random keys of the standard library, hashed with the time and the process id.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(crate::clock::now().nanos());
    hasher.write_u32(std::process::id());
    hasher.finish()
}
