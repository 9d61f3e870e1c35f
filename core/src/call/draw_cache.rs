//! The generators and counters that balancers draw from: one per selection and thread, so that threads
//! share nothing and clients that start together do not march in step.

use std::cell::RefCell;

use crate::balance::Draw;
use crate::runtime;

/// So many selections per thread keep their draw; more share by turns, and start anew at random.
const SLOTS: usize = 64;

struct CachedDraw {
    selection: u64,
    draw: Draw,
}

struct DrawCache {
    /// The process these were seeded in: a forked child must not repeat its parent's draws.
    generation: u64,
    slots: Vec<Option<CachedDraw>>,
}

thread_local! {
    static DRAWS: RefCell<DrawCache> = const { RefCell::new(DrawCache { generation: 0, slots: Vec::new() }) };
}

/// Runs `use_it` with this thread's draw for a selection. A balancer of the user's own that picks in turn gets a
/// fresh one.
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

/// From the standard library's per-process random keys, hashed anew each time.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(crate::clock::now().nanos());
    hasher.write_u32(std::process::id());
    hasher.finish()
}
