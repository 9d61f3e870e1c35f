//! The store's file: one writer thread, many waiting requests, one `fsync` for all of them.
//!
//! Key-value writes queue here. The writer takes all that wait, with the rows that the journal holds, into one
//! transaction (WAL, `synchronous=FULL`); after the commit it applies them to memory and answers. Rows alone may
//! wait up to `GATHER` for company. The file is held exclusively: two controllers on one file are refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, params};
use tokio::sync::oneshot;

use super::Now;
use super::journal::{Journal, Pending};
use super::kv::{KeyValues, Kind, Value, Write};
use super::row::{Content, Identity, Row};
use super::services::Restored;
use super::tick::FORGET_AFTER;
use plumline_wire::Labels;

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS endpoint (
        service TEXT NOT NULL, instance TEXT NOT NULL, ip TEXT NOT NULL, port INTEGER NOT NULL,
        protocol TEXT NOT NULL, node TEXT NOT NULL, version TEXT NOT NULL, labels TEXT, generation TEXT NOT NULL,
        healthy INTEGER NOT NULL, last_seen INTEGER NOT NULL, expired INTEGER NOT NULL,
        PRIMARY KEY (service, instance, ip, port, protocol)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS value (
        namespace TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, kind TEXT NOT NULL,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (namespace, key)
    ) WITHOUT ROWID;";

/// How long rows wait for others before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// Writes in one transaction.
const MOST_AT_ONCE: usize = 4_096;
/// After a failed transaction the rows are tried again this much later.
const RETRY: Duration = Duration::from_secs(1);

/// The store's file could not be opened.
#[derive(Debug)]
pub(crate) struct OpenError {
    path: PathBuf,
    reason: String,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "cannot open the store {}: {}", self.path.display(), self.reason)
    }
}

/// A write that did not reach the disk; the log says why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteFailed;

enum Order {
    Write(Write, oneshot::Sender<Result<(), WriteFailed>>),
    /// The journal is no longer empty.
    Rows,
    Close,
}

/// The handle on the writer.
pub(crate) struct Disk {
    orders: Sender<Order>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Disk {
    /// Opens or makes the file; answers the rows it holds, and loads its values.
    pub(super) fn open(
        path: &Path,
        values: &Arc<KeyValues>,
        now: Now,
    ) -> Result<(Self, Journal, Vec<Restored>), OpenError> {
        let failed = |reason: String| OpenError { path: path.to_owned(), reason };
        let connection = connect(path).map_err(|error| failed(explain(&error)))?;
        let rows = load(&connection, values, now).map_err(|error| failed(explain(&error)))?;
        let (orders, inbox) = channel();
        let wake = orders.clone();
        // A closed writer has written everything; what changes after it is lost like any soft state.
        let journal = Journal::new(Box::new(move || drop(wake.send(Order::Rows))));
        let writer = Writer { connection, inbox, values: Arc::clone(values), journal: journal.clone() };
        let thread = std::thread::Builder::new().name("plumline-store".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok((Self { orders, writer: Mutex::new(Some(thread)) }, journal, rows))
    }

    pub(super) async fn write(&self, write: Write) -> Result<(), WriteFailed> {
        let (answer, written) = oneshot::channel();
        self.orders.send(Order::Write(write, answer)).map_err(|_| WriteFailed)?;
        written.await.map_err(|_| WriteFailed)?
    }

    pub(super) fn close(&self) {
        let Some(thread) = self.writer.lock().take() else { return };
        if self.orders.send(Order::Close).is_ok() && thread.join().is_err() {
            tracing::error!("the store's writer ended with a panic");
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_millis(500))?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > SCHEMA_VERSION {
        let reason = format!("it was written by a newer plumline (schema {version})");
        return Err(rusqlite::Error::ToSqlConversionFailure(reason.into()));
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    ))?;
    Ok(connection)
}

fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            "another process is using it".to_owned()
        }
        _ => error.to_string(),
    }
}

fn load(connection: &Connection, values: &KeyValues, now: Now) -> rusqlite::Result<Vec<Restored>> {
    let mut select = connection.prepare("SELECT namespace, key, text, kind, updated_at FROM value")?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let kind: String = row.get(3)?;
        let kind = Kind::named(&kind).unwrap_or(Kind::String);
        let value = Value { text: row.get(2)?, kind, updated_at: row.get(4)? };
        values.apply(Write::Put { namespace: row.get(0)?, items: vec![(row.get(1)?, value)] });
    }
    let mut select = connection.prepare(
        "SELECT service, instance, ip, port, protocol, node, version, labels, generation, healthy, last_seen, expired
         FROM endpoint",
    )?;
    select.query_map([], |row| restored(row, now))?.collect()
}

fn restored(row: &rusqlite::Row<'_>, now: Now) -> rusqlite::Result<Restored> {
    let text = |index| row.get::<_, String>(index);
    let labels: Option<String> = row.get(7)?;
    let labels = labels.map(|json| serde_json::from_str::<Labels>(&json)).transpose();
    let last_seen = row.get(10)?;
    let silent_for = u64::try_from(now.unix.saturating_sub(last_seen)).unwrap_or(0).saturating_mul(1_000);
    let expired: bool = row.get(11)?;
    Ok(Restored {
        identity: Identity {
            service: text(0)?.into(),
            instance: text(1)?.into(),
            ip: text(2)?.into(),
            port: row.get(3)?,
            protocol: text(4)?.into(),
        },
        content: Content {
            node: text(5)?.into(),
            version: text(6)?.into(),
            labels: labels.map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(7, rusqlite::types::Type::Text, error.into())
            })?,
            generation: text(8)?.into(),
        },
        healthy: row.get(9)?,
        last_seen,
        forget_in: expired.then(|| FORGET_AFTER.saturating_sub(silent_for)),
    })
}

struct Writer {
    connection: Connection,
    inbox: Receiver<Order>,
    values: Arc<KeyValues>,
    journal: Journal,
}

/// What one transaction takes in.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    answers: Vec<oneshot::Sender<Result<(), WriteFailed>>>,
    closes: bool,
}

impl Batch {
    fn add(&mut self, order: Order) {
        match order {
            Order::Write(write, answer) => {
                self.writes.push(write);
                self.answers.push(answer);
            }
            Order::Rows => {}
            Order::Close => self.closes = true,
        }
    }

    /// Somebody waits for it.
    fn is_urgent(&self) -> bool {
        self.closes || !self.writes.is_empty()
    }
}

impl Writer {
    fn run(mut self) {
        let mut failed = false;
        loop {
            let Some(batch) = self.gather(failed) else { return };
            let closes = batch.closes;
            failed = !self.write(batch);
            if closes {
                return;
            }
        }
    }

    /// Waits for work. After a failure it also wakes by itself, to try the rows again.
    fn gather(&self, after_failure: bool) -> Option<Batch> {
        let mut batch = Batch::default();
        if after_failure {
            match self.inbox.recv_timeout(RETRY) {
                Ok(order) => batch.add(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        } else {
            batch.add(self.inbox.recv().ok()?);
        }
        let until = Instant::now() + GATHER;
        while !batch.is_urgent() {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(order) => batch.add(order),
                Err(_) => break,
            }
        }
        self.inbox.try_iter().take(MOST_AT_ONCE).for_each(|order| batch.add(order));
        Some(batch)
    }

    /// One transaction; answers whether it went through.
    fn write(&mut self, batch: Batch) -> bool {
        let rows = self.journal.take();
        let outcome = commit(&mut self.connection, &batch.writes, &rows);
        let answer = match &outcome {
            Ok(()) => {
                batch.writes.into_iter().for_each(|write| self.values.apply(write));
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the store could not be written");
                self.journal.give_back(rows);
                Err(WriteFailed)
            }
        };
        for waiting in batch.answers {
            // A request that was given up waits no longer.
            let _given_up = waiting.send(answer);
        }
        outcome.is_ok()
    }
}

fn commit(connection: &mut Connection, writes: &[Write], rows: &Pending) -> rusqlite::Result<()> {
    if writes.is_empty() && rows.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    writes.iter().try_for_each(|write| write_value(&transaction, write))?;
    rows.iter().try_for_each(|(identity, row)| match row {
        Some(row) => put_row(&transaction, row),
        None => delete_row(&transaction, identity),
    })?;
    transaction.commit()
}

fn write_value(transaction: &Transaction<'_>, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Put { namespace, items } => {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO value VALUES (?1, ?2, ?3, ?4, ?5)")?;
            items.iter().try_for_each(|(key, value)| {
                put.execute(params![namespace, key, value.text, value.kind.name(), value.updated_at])
                    .map(drop)
            })
        }
        Write::Delete { namespace, key } => {
            let mut delete =
                transaction.prepare_cached("DELETE FROM value WHERE namespace = ?1 AND key = ?2")?;
            delete.execute(params![namespace, key]).map(drop)
        }
    }
}

fn put_row(transaction: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    let identity = row.identity();
    let labels = row.content.labels.as_ref().map(|labels| serde_json::json!(labels).to_string());
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO endpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let fields = params![
        &*identity.service,
        &*identity.instance,
        &*identity.ip,
        identity.port,
        &*identity.protocol,
        &*row.content.node,
        &*row.content.version,
        labels,
        &*row.content.generation,
        row.lease.is_healthy(),
        row.lease.last_seen(),
        row.lease.is_expired(),
    ];
    put.execute(fields).map(drop)
}

fn delete_row(transaction: &Transaction<'_>, identity: &Identity) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM endpoint WHERE service = ?1 AND instance = ?2 AND ip = ?3 AND port = ?4 AND protocol = ?5",
    )?;
    let key =
        params![&*identity.service, &*identity.instance, &*identity.ip, identity.port, &*identity.protocol];
    delete.execute(key).map(drop)
}
