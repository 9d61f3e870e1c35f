//! Picks that Java holds: each in a slot of its service, named by a key that is never valid twice in a row.
//!
//! A slot is used again as soon as its pick is settled, so that a pick costs Java one small object and nothing to
//! clean up. Threads that pick at once do so in different shards, where they neither meet nor wait:
//!
//! ```text
//!  key: use 8 │ slot, upper bits 16 │ shard 4 │ slot, lower bits 4
//! ```
//!
//! A shard's first slots lie side by side, so that what Java keeps for each slot is apart for each thread too.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use plumline::sync::Mutex;
use plumline::{Error, Kind, Pick, Result};

const SHARDS: u32 = 16;

/// As many picks of one service may be open at once in a shard: 16 million in all.
const MOST: usize = 1 << 20;

/// Given out to threads in turn.
static NEXT: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Where this thread's picks go.
    static HOME: u32 = NEXT.fetch_add(1, Relaxed) % SHARDS;
}

/// The slots of one service.
#[derive(Default)]
pub(crate) struct Slots([Shard; SHARDS as usize]);

/// Slots that one thread uses, as long as there are no more threads than shards. Apart from the next in memory.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Table>);

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    /// Counts how often it was used: the upper byte of its key.
    use_: u8,
    pick: Option<Pick>,
}

impl Slots {
    /// Keeps a pick until it is settled.
    pub(crate) fn put(&self, pick: Pick) -> Result<u32> {
        let home = HOME.with(|home| *home);
        for shard in (home..home + SHARDS).map(|shard| shard % SHARDS) {
            let mut table = self.0[shard as usize].0.lock();
            let Some(index) = table.free.pop().or_else(|| table.grow()) else { continue };
            let slot = &mut table.slots[index as usize];
            slot.pick = Some(pick);
            return Ok(u32::from(slot.use_) << 24 | (index & !15) << 4 | shard << 4 | index & 15);
        }
        let why = format!("{} picks wait to be settled", MOST * SHARDS as usize);
        Err(Error::new(Kind::Overloaded, why))
    }

    /// Ends a pick; `None` where its key was used before.
    pub(crate) fn take(&self, key: u32) -> Option<Pick> {
        let (shard, index) = place(key);
        let mut table = self.0[shard].0.lock();
        let slot = table.slots.get_mut(index as usize).filter(|slot| u32::from(slot.use_) == key >> 24)?;
        let pick = slot.pick.take()?;
        slot.use_ = slot.use_.wrapping_add(1);
        table.free.push(index);
        Some(pick)
    }

    /// Looks at a pick that is open.
    pub(crate) fn with<T>(&self, key: u32, look: impl FnOnce(&Pick) -> T) -> Option<T> {
        let (shard, index) = place(key);
        let table = self.0[shard].0.lock();
        let slot = table.slots.get(index as usize).filter(|slot| u32::from(slot.use_) == key >> 24)?;
        slot.pick.as_ref().map(look)
    }
}

impl Table {
    /// One slot more, unless there are as many as there may be.
    #[cold]
    fn grow(&mut self) -> Option<u32> {
        let index = self.slots.len();
        (index < MOST).then(|| {
            self.slots.push(Slot { use_: 0, pick: None });
            index as u32
        })
    }
}

/// The shard of a key, and the slot in there.
fn place(key: u32) -> (usize, u32) {
    let slot = key & 0x00ff_ffff;
    ((slot >> 4 & 15) as usize, slot >> 4 & !15 | slot & 15)
}
