//! Endpoints on their way to Java: each record crosses once, and by its number from then on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use plumline::Endpoint;

use crate::frame::Writer;

/// So many records are remembered; then begins anew.
const MOST: usize = 4_096;

/// Numbers are never used twice, whatever client they belong to.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// One record, as Java reads it: its number, its length, its fields.
pub(crate) struct Record {
    /// Held so that no other endpoint comes to live at this address.
    _endpoint: Arc<Endpoint>,
    pub(crate) id: u32,
    pub(crate) frame: Vec<u8>,
}

impl Record {
    fn new(endpoint: &Arc<Endpoint>) -> Record {
        let id = NEXT.fetch_add(1, Relaxed) & 0x7fff_ffff;
        let (mut fields, mut frame) = (Writer::with_capacity(256), Writer::with_capacity(264));
        fields.endpoint(endpoint);
        frame.u32(id).bytes(&fields.0);
        Record { _endpoint: endpoint.clone(), id, frame: frame.0 }
    }
}

type Table = HashMap<usize, Arc<Record>>;

/// The endpoints of a client that Java has met. Read without a lock.
#[derive(Default)]
pub(crate) struct Seen(ArcSwap<Table>);

impl Seen {
    /// Uses the record of an endpoint.
    #[inline]
    pub(crate) fn with<T>(&self, endpoint: &Arc<Endpoint>, use_it: impl FnOnce(&Record) -> T) -> T {
        if let Some(record) = self.0.load().get(&place(endpoint)) {
            return use_it(record);
        }
        use_it(&self.add(std::slice::from_ref(endpoint))[&place(endpoint)])
    }

    /// A list of them.
    pub(crate) fn list(&self, out: &mut Writer, endpoints: &[Arc<Endpoint>]) {
        let mut table = self.0.load();
        if !endpoints.iter().all(|endpoint| table.contains_key(&place(endpoint))) {
            table = self.add(endpoints);
        }
        out.u32(endpoints.len() as u32);
        endpoints.iter().for_each(|endpoint| out.0.extend_from_slice(&table[&place(endpoint)].frame));
    }

    #[cold]
    fn add(&self, endpoints: &[Arc<Endpoint>]) -> Guard<Arc<Table>> {
        let known = self.0.load();
        let mut table = if known.len() < MOST { Table::clone(&known) } else { Table::new() };
        for endpoint in endpoints {
            table.entry(place(endpoint)).or_insert_with(|| Arc::new(Record::new(endpoint)));
        }
        // Another thread's news may be lost by this: they are made again when they are next asked for.
        let table = Arc::new(table);
        self.0.store(table.clone());
        Guard::from_inner(table)
    }

    /// Lets go of all of them: the client was closed.
    pub(crate) fn clear(&self) {
        self.0.store(Arc::default());
    }
}

fn place(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}
