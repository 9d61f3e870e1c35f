//! Open picks of a service: each is in a slot and has a key. The key of a slot changes with every pick.
//!
//! A slot is reused once its pick is settled, so that a pick costs Java one small object and no cleanup. Threads use
//! different shards, so that they do not contend for a lock:
//!
//! ```text
//!  key: generation 8 │ slot, upper bits 16 │ shard 4 │ slot, lower bits 4
//! ```
//!
//! The first slots of a shard have adjacent numbers, so that Java's entries of different threads are apart in memory.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use plumline::sync::Mutex;
use plumline::{Error, Kind, Pick, Result};

const SHARDS: u32 = 16;

/// The maximum number of open picks in a shard; 16 million for a service.
const MAX_SLOTS: usize = 1 << 20;

/// Assigns shards to threads in turn.
static NEXT_SHARD: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The preferred shard of this thread.
    static HOME: u32 = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS;
}

/// The open picks of one service.
#[derive(Default)]
pub(crate) struct Slots([Shard; SHARDS as usize]);

/// Slots of one thread, or of several if there are more threads than shards. In a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Table>);

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    /// Counts the picks in this slot: the upper byte of the key.
    generation: u8,
    pick: Option<Pick>,
}

impl Slots {
    /// Stores a pick and returns its key.
    pub(crate) fn put(&self, pick: Pick) -> Result<u32> {
        let home = HOME.with(|home| *home);
        for shard in (home..home + SHARDS).map(|shard| shard % SHARDS) {
            let mut table = self.0[shard as usize].0.lock();
            let Some(index) = table.free.pop().or_else(|| table.grow()) else { continue };
            let slot = &mut table.slots[index as usize];
            slot.pick = Some(pick);
            return Ok(u32::from(slot.generation) << 24 | (index & !15) << 4 | shard << 4 | index & 15);
        }
        let why = format!("too many open picks: {}; report or close each pick", MAX_SLOTS * SHARDS as usize);
        Err(Error::new(Kind::Overloaded, why))
    }

    /// Removes a pick; `None` if the key is no longer valid.
    pub(crate) fn take(&self, key: u32) -> Option<Pick> {
        let (shard, index) = location(key);
        let mut table = self.0[shard].0.lock();
        let slot =
            table.slots.get_mut(index as usize).filter(|slot| u32::from(slot.generation) == key >> 24)?;
        let pick = slot.pick.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        table.free.push(index);
        Some(pick)
    }

    /// Passes an open pick to a function; `None` if the key is no longer valid.
    pub(crate) fn with<T>(&self, key: u32, read: impl FnOnce(&Pick) -> T) -> Option<T> {
        let (shard, index) = location(key);
        let table = self.0[shard].0.lock();
        let slot = table.slots.get(index as usize).filter(|slot| u32::from(slot.generation) == key >> 24)?;
        slot.pick.as_ref().map(read)
    }
}

impl Table {
    /// Adds a slot, unless the table is full.
    #[cold]
    fn grow(&mut self) -> Option<u32> {
        let index = self.slots.len();
        (index < MAX_SLOTS).then(|| {
            self.slots.push(Slot { generation: 0, pick: None });
            index as u32
        })
    }
}

/// The shard and the index in it that a key stands for.
fn location(key: u32) -> (usize, u32) {
    let slot = key & 0x00ff_ffff;
    ((slot >> 4 & 15) as usize, slot >> 4 & !15 | slot & 15)
}
