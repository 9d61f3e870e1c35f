//! The SQLite file: one writer thread, and one `fsync` for all waiting requests.
//!
//! Key-value writes are queued here. The writer takes all queued writes and the rows of the journal into one transaction
//! (WAL, `synchronous=FULL`). After the commit it applies the writes to memory and answers the requests. Rows alone wait up
//! to `COLLECT` for others. The file is locked exclusively: a second controller on the same file cannot start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumline_wire::Labels;
use rusqlite::{Connection, Transaction, params};
use tokio::sync::oneshot;

use super::Now;
use super::expiry::FORGET_AFTER;
use super::journal::{Journal, PendingRows};
use super::kv::{KeyValues, KvValue, KvWrite, ValueType};
use super::row::{Identity, Row, RowContent};
use super::services::RestoredRow;

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

/// How long rows wait for other rows before they are written.
const COLLECT: Duration = Duration::from_millis(50);
/// The most writes in one transaction.
const MAX_WRITES_PER_TRANSACTION: usize = 4_096;
/// The pause before rows are written again after a failed transaction.
const RETRY: Duration = Duration::from_secs(1);

/// The file could not be opened.
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

/// A write that did not reach the disk. The log contains the reason.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteFailed;

enum WriterCommand {
    Write(KvWrite, oneshot::Sender<Result<(), WriteFailed>>),
    /// The journal is no longer empty.
    Rows,
    Close,
}

/// The handle of the writer thread.
pub(crate) struct SqliteStore {
    commands: Sender<WriterCommand>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens or creates the file. Loads its key-value entries into `values` and returns its rows.
    pub(super) fn open(
        path: &Path,
        values: &Arc<KeyValues>,
        now: Now,
    ) -> Result<(Self, Journal, Vec<RestoredRow>), OpenError> {
        let failed = |reason: String| OpenError { path: path.to_owned(), reason };
        let connection = connect(path).map_err(|error| failed(explain(&error)))?;
        let rows = load(&connection, values, now).map_err(|error| failed(explain(&error)))?;
        let (commands, received) = channel();
        let wake = commands.clone();
        // A closed writer has written everything. Later changes are lost, as soft state may be.
        let journal = Journal::new(Box::new(move || drop(wake.send(WriterCommand::Rows))));
        let writer = WriterThread {
            connection,
            commands: received,
            values: Arc::clone(values),
            journal: journal.clone(),
        };
        let thread = std::thread::Builder::new().name("plumline-store".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok((Self { commands, writer: Mutex::new(Some(thread)) }, journal, rows))
    }

    pub(super) async fn write(&self, write: KvWrite) -> Result<(), WriteFailed> {
        let (answer, written) = oneshot::channel();
        self.commands.send(WriterCommand::Write(write, answer)).map_err(|_| WriteFailed)?;
        written.await.map_err(|_| WriteFailed)?
    }

    pub(super) fn close(&self) {
        let Some(thread) = self.writer.lock().take() else { return };
        if self.commands.send(WriterCommand::Close).is_ok() && thread.join().is_err() {
            tracing::error!("the thread that writes the store panicked");
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

fn load(connection: &Connection, values: &KeyValues, now: Now) -> rusqlite::Result<Vec<RestoredRow>> {
    let mut select = connection.prepare("SELECT namespace, key, text, kind, updated_at FROM value")?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let kind: String = row.get(3)?;
        let kind = ValueType::named(&kind).unwrap_or(ValueType::String);
        let value = KvValue { text: row.get(2)?, kind, updated_at: row.get(4)? };
        values.apply(KvWrite::Put { namespace: row.get(0)?, items: vec![(row.get(1)?, value)] });
    }
    let mut select = connection.prepare(
        "SELECT service, instance, ip, port, protocol, node, version, labels, generation, healthy, last_seen, expired
         FROM endpoint",
    )?;
    select.query_map([], |row| restored(row, now))?.collect()
}

fn restored(row: &rusqlite::Row<'_>, now: Now) -> rusqlite::Result<RestoredRow> {
    let text = |index| row.get::<_, String>(index);
    let labels: Option<String> = row.get(7)?;
    let labels = labels.map(|json| serde_json::from_str::<Labels>(&json)).transpose();
    let last_seen = row.get(10)?;
    let silent_for = u64::try_from(now.unix.saturating_sub(last_seen)).unwrap_or(0).saturating_mul(1_000);
    let expired: bool = row.get(11)?;
    Ok(RestoredRow {
        identity: Identity {
            service: text(0)?.into(),
            instance: text(1)?.into(),
            ip: text(2)?.into(),
            port: row.get(3)?,
            protocol: text(4)?.into(),
        },
        content: RowContent {
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

struct WriterThread {
    connection: Connection,
    commands: Receiver<WriterCommand>,
    values: Arc<KeyValues>,
    journal: Journal,
}

/// The commands that one transaction handles.
#[derive(Default)]
struct WriterBatch {
    writes: Vec<KvWrite>,
    waiting: Vec<oneshot::Sender<Result<(), WriteFailed>>>,
    closes: bool,
}

impl WriterBatch {
    fn add(&mut self, command: WriterCommand) {
        match command {
            WriterCommand::Write(write, answer) => {
                self.writes.push(write);
                self.waiting.push(answer);
            }
            WriterCommand::Rows => {}
            WriterCommand::Close => self.closes = true,
        }
    }

    /// Whether a request waits for it.
    fn is_urgent(&self) -> bool {
        self.closes || !self.writes.is_empty()
    }
}

impl WriterThread {
    fn run(mut self) {
        let mut failed = false;
        loop {
            let Some(batch) = self.collect(failed) else { return };
            let closes = batch.closes;
            failed = !self.write(batch);
            if closes {
                return;
            }
        }
    }

    /// Waits for commands. After a failure it also returns after a pause, so that the rows are written again.
    fn collect(&self, after_failure: bool) -> Option<WriterBatch> {
        let mut batch = WriterBatch::default();
        if after_failure {
            match self.commands.recv_timeout(RETRY) {
                Ok(command) => batch.add(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        } else {
            batch.add(self.commands.recv().ok()?);
        }
        let until = Instant::now() + COLLECT;
        while !batch.is_urgent() {
            match self.commands.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(command) => batch.add(command),
                Err(_) => break,
            }
        }
        self.commands.try_iter().take(MAX_WRITES_PER_TRANSACTION).for_each(|command| batch.add(command));
        Some(batch)
    }

    /// Commits one transaction; returns whether it succeeded.
    fn write(&mut self, batch: WriterBatch) -> bool {
        let rows = self.journal.take();
        let outcome = commit(&mut self.connection, &batch.writes, &rows);
        let answer = match &outcome {
            Ok(()) => {
                batch.writes.into_iter().for_each(|write| self.values.apply(write));
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "cannot write the store; registrations will be retried");
                self.journal.put_back(rows);
                Err(WriteFailed)
            }
        };
        for waiting in batch.waiting {
            // The request may have been cancelled meanwhile.
            let _cancelled = waiting.send(answer);
        }
        outcome.is_ok()
    }
}

fn commit(connection: &mut Connection, writes: &[KvWrite], rows: &PendingRows) -> rusqlite::Result<()> {
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

fn write_value(transaction: &Transaction<'_>, write: &KvWrite) -> rusqlite::Result<()> {
    match write {
        KvWrite::Put { namespace, items } => {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO value VALUES (?1, ?2, ?3, ?4, ?5)")?;
            items.iter().try_for_each(|(key, value)| {
                put.execute(params![namespace, key, value.text, value.kind.name(), value.updated_at])
                    .map(drop)
            })
        }
        KvWrite::Delete { namespace, key } => {
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
