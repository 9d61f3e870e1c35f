//! Picks that Java holds: each in a slot of its service, named by a key that is never valid twice in a row.
//!
//! A slot is used again as soon as its pick is settled, so that a pick costs Java one small object and nothing to
//! clean up.

use parking_lot::Mutex;
use plumline::{Error, Kind, Pick, Result};

/// As many picks of one service may be open at once.
const MOST: usize = 1 << 24;

/// The slots of one service.
#[derive(Default)]
pub(crate) struct Slots(Mutex<Table>);

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
        let mut table = self.0.lock();
        let index = match table.free.pop() {
            Some(index) => index,
            None if table.slots.len() < MOST => {
                table.slots.push(Slot { use_: 0, pick: None });
                table.slots.len() as u32 - 1
            }
            None => return Err(Error::new(Kind::Overloaded, format!("{MOST} picks wait to be settled"))),
        };
        let slot = &mut table.slots[index as usize];
        slot.pick = Some(pick);
        Ok(u32::from(slot.use_) << 24 | index)
    }

    /// Ends a pick; `None` where its key was used before.
    pub(crate) fn take(&self, key: u32) -> Option<Pick> {
        let (index, mut table) = (key & 0x00ff_ffff, self.0.lock());
        let slot = table.slots.get_mut(index as usize).filter(|slot| u32::from(slot.use_) == key >> 24)?;
        let pick = slot.pick.take()?;
        slot.use_ = slot.use_.wrapping_add(1);
        table.free.push(index);
        Some(pick)
    }

    /// Looks at a pick that is open.
    pub(crate) fn with<T>(&self, key: u32, look: impl FnOnce(&Pick) -> T) -> Option<T> {
        let table = self.0.lock();
        let slot = table.slots.get((key & 0x00ff_ffff) as usize);
        slot.filter(|slot| u32::from(slot.use_) == key >> 24)?.pick.as_ref().map(look)
    }
}
