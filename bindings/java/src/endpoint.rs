//! Endpoints on their way to Java: each record crosses once, and by its number from then on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use plumline::Endpoint;

use crate::frame::Writer;

/// So many tables hold the records. Each is replaced whole when one is added to it, so they are kept small.
const TABLES: usize = 64;

/// So many records a table holds; then it begins anew. All together: 16,384, as many as Java remembers.
const MOST: usize = 256;

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
pub(crate) struct Seen([ArcSwapOption<Table>; TABLES]);

impl Default for Seen {
    fn default() -> Seen {
        Seen([const { ArcSwapOption::const_empty() }; TABLES])
    }
}

impl Seen {
    /// Uses the record of an endpoint.
    #[inline]
    pub(crate) fn with<T>(&self, endpoint: &Arc<Endpoint>, use_it: impl FnOnce(&Record) -> T) -> T {
        let place = Arc::as_ptr(endpoint).addr();
        let table = &self.0[table_of(place)];
        if let Some(record) = table.load().as_deref().and_then(|table| table.get(&place)) {
            return use_it(record);
        }
        use_it(&add(table, place, endpoint))
    }

    /// A list of them.
    pub(crate) fn list(&self, out: &mut Writer, endpoints: &[Arc<Endpoint>]) {
        out.u32(endpoints.len() as u32);
        for endpoint in endpoints {
            self.with(endpoint, |record| out.0.extend_from_slice(&record.frame));
        }
    }

    /// Lets go of all of them: the client was closed.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|table| table.store(None));
    }
}

#[cold]
fn add(table: &ArcSwapOption<Table>, place: usize, endpoint: &Arc<Endpoint>) -> Arc<Record> {
    let record = Arc::new(Record::new(endpoint));
    let mut more = match table.load().as_deref() {
        Some(known) if known.len() < MOST => known.clone(),
        _ => Table::new(),
    };
    more.insert(place, record.clone());
    // Another thread's news may be lost by this: they are made again when they are next asked for.
    table.store(Some(Arc::new(more)));
    record
}

/// Which table holds the endpoint at this address: by bits that differ among neighbours, too.
fn table_of(place: usize) -> usize {
    ((place as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

const _: () = assert!(TABLES == 1 << (64 - 58), "as many tables as `table_of` tells apart");
