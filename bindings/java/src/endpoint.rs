//! Encodes endpoints for Java. Java decodes each record once and finds it by its id from then on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use plumline::Endpoint;

use crate::frame::Writer;

/// The number of tables. A table is readdressd as a whole when a record is added, so the tables are kept small.
const TABLES: usize = 64;

/// The size at which a table is emptied. All tables together hold 16,384 records, as many as Java caches.
const MAX_RECORDS: usize = 256;

/// Ids are unique in the process.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// An encoded endpoint: id, length, fields.
pub(crate) struct Record {
    /// Keeps the address in use, so that no other endpoint can have it.
    _endpoint: Arc<Endpoint>,
    pub(crate) id: u32,
    pub(crate) frame: Vec<u8>,
}

impl Record {
    fn new(endpoint: &Arc<Endpoint>) -> Record {
        let id = NEXT_ID.fetch_add(1, Relaxed) & 0x7fff_ffff;
        let (mut fields, mut frame) = (Writer::with_capacity(256), Writer::with_capacity(264));
        fields.endpoint(endpoint);
        frame.u32(id).bytes(&fields.0);
        Record { _endpoint: endpoint.clone(), id, frame: frame.0 }
    }
}

type Table = HashMap<usize, Arc<Record>>;

/// The records of the endpoints that a client has sent to Java, by address. Readers take no lock.
pub(crate) struct EndpointCache([ArcSwapOption<Table>; TABLES]);

impl Default for EndpointCache {
    fn default() -> EndpointCache {
        EndpointCache([const { ArcSwapOption::const_empty() }; TABLES])
    }
}

impl EndpointCache {
    /// Passes the record of an endpoint to a function.
    #[inline]
    pub(crate) fn with<T>(&self, endpoint: &Arc<Endpoint>, read: impl FnOnce(&Record) -> T) -> T {
        let address = Arc::as_ptr(endpoint).addr();
        let table = &self.0[table_of(address)];
        if let Some(record) = table.load().as_deref().and_then(|table| table.get(&address)) {
            return read(record);
        }
        read(&add(table, address, endpoint))
    }

    /// Writes a list of endpoints.
    pub(crate) fn list(&self, out: &mut Writer, endpoints: &[Arc<Endpoint>]) {
        out.u32(endpoints.len() as u32);
        for endpoint in endpoints {
            self.with(endpoint, |record| out.0.extend_from_slice(&record.frame));
        }
    }

    /// Removes all records, after the client was closed.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|table| table.store(None));
    }
}

#[cold]
fn add(table: &ArcSwapOption<Table>, address: usize, endpoint: &Arc<Endpoint>) -> Arc<Record> {
    let record = Arc::new(Record::new(endpoint));
    let mut grown = match table.load().as_deref() {
        Some(known) if known.len() < MAX_RECORDS => known.clone(),
        _ => Table::new(),
    };
    grown.insert(address, record.clone());
    // This may drop a record that another thread adds meanwhile. It is created again at its next use.
    table.store(Some(Arc::new(grown)));
    record
}

/// The index of the table for an address. The hash also differs for neighbouring addresses.
fn table_of(address: usize) -> usize {
    ((address as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

const _: () = assert!(TABLES == 1 << (64 - 58), "`table_of` returns an index below TABLES");
