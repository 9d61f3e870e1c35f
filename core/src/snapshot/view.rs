//! What may be picked now: the usable endpoints of one selection, with a table to draw them by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{AliasTable, Cell, Filter, Member, Snapshot};

/// The endpoints that may be picked. Never changed, only replaced.
#[derive(Debug)]
pub struct View {
    slots: Vec<Slot>,
    table: AliasTable,
    /// The selection's mean latency, kept over rebuilds.
    pub mean: Arc<Mean>,
    /// Whether these are out, and listed only because nothing else is there.
    pub last_resort: bool,
}

/// One endpoint that may be picked.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The endpoint and its cells.
    pub member: Member,
    /// Mean weight of the view over this one's: how much dearer one more call in flight makes it.
    pub load_factor: f64,
}

/// The mean latency of a selection's known endpoints, looked up by picks and refreshed now and then by reports.
#[derive(Debug)]
pub struct Mean {
    /// Tells this selection from every other of the process, for per-thread counters.
    pub id: u64,
    /// Nanoseconds; 0 while no endpoint is known.
    pub latency: Cell,
    /// When it was last worked out.
    pub at: AtomicU64,
}

impl Default for Mean {
    fn default() -> Mean {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Mean { id: NEXT.fetch_add(1, Ordering::Relaxed), latency: Cell::default(), at: AtomicU64::new(0) }
    }
}

impl View {
    /// The view of a snapshot through a filter: what is healthy, not ejected, and has weight.
    pub fn build(snapshot: &Snapshot, filter: &Filter, mean: Arc<Mean>) -> View {
        let healthy: Vec<&Member> = snapshot
            .members
            .iter()
            .filter(|member| member.endpoint.healthy && filter.rejects(&member.endpoint).is_none())
            .collect();
        let mut usable: Vec<&Member> =
            healthy.iter().copied().filter(|member| !member.state.is_ejected()).collect();
        let last_resort = usable.is_empty() && !healthy.is_empty();
        if last_resort {
            usable = healthy;
        }
        if usable.iter().any(|member| member.endpoint.weight > 0) {
            usable.retain(|member| member.endpoint.weight > 0);
        }
        View::over(&usable, mean, last_resort)
    }

    fn over(usable: &[&Member], mean: Arc<Mean>, last_resort: bool) -> View {
        let weights: Vec<u32> = usable.iter().map(|member| member.endpoint.weight).collect();
        let counted = |weight: u32| f64::from(weight.max(1));
        let average = weights.iter().copied().map(counted).sum::<f64>() / usable.len().max(1) as f64;
        let slot = |member: &&Member| Slot {
            member: Member::clone(member),
            load_factor: average / counted(member.endpoint.weight),
        };
        View { slots: usable.iter().map(slot).collect(), table: AliasTable::new(&weights), mean, last_resort }
    }

    /// How many endpoints may be picked.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none may.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The endpoints that may be picked.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Draws an index in proportion to weight. The view must not be empty.
    #[inline]
    pub fn draw(&self, random: u64) -> usize {
        self.table.draw(random)
    }
}
