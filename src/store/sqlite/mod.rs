//! The store in one file, `sealgate.db`.
//!
//! One connection writes, behind a lock, and a few others read; each change takes the file's own lock, so other processes (a
//! command beside a running gateway, a shell) may read and write at the same time. What is committed is on the disk:
//! write-ahead log, and a sync for each commit.
//!
//! **How it is kept.** Each accepted envelope is a row in `seen` (its counter), one in `envelope`, and one in `reading` for
//! each value. Devices and words are numbers there; the views `envelopes` and `readings` show names.
//!
//! **The index by device and time.** `… WHERE device_id = ? AND time BETWEEN ? AND ?` must read one range, so something is
//! ordered by device and time. In a fleet that dirties, for each device that sent, one page in each commit: it is the
//! greater part of what a reading costs, and was paid because without it every question about a device reads the whole
//! table. A table that is itself in that order was weighed against an index beside a table in the order of arrival, in
//! batches of a thousand envelopes from 100, 1,000 and 20,000 devices. The index writes less log while the tables are
//! small (its pages hold more rows; once each device has a page of its own, both dirty as many), but needs more room, and a range
//! is read more slowly. Other sizes of pages gained nothing over SQLite's own 4 KiB.

mod audit;
mod bulk;
mod evidence;
mod fault;
mod integrity;
mod keys;
mod log;
mod open;
mod presence;
mod proof;
mod provision;
pub(super) mod readings;
mod registry;
mod retention;
mod rotation;
pub(super) mod spool;
mod statements;
mod tables;
mod tokens;
mod writer;

use super::commit;
use super::commit::Fault;
use super::directory::Files;
use super::quarantine::Bounds;
use super::{CommitError, Config, Entry, OpenError, Outcome, Seen, StoreError, Usage};
use log::Log;
use spool::SpoolId;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use statements::Statements;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tables::Batch;
use tokio::sync::Mutex;
use writer::Writer;

/// Connections for reading: none is held for long.
const READERS_MAX: u32 = 4;

/// The database; clones share it.
#[derive(Clone)]
pub(super) struct Sqlite(Arc<Inner>);

struct Inner {
    files: Files,
    writer: Mutex<Writer>,
    log: Log,
    readers: SqlitePool,
    statements: Statements,
    bounds: Bounds,
    looks_full: AtomicBool,
}

impl Sqlite {
    pub(super) async fn open(config: &Config) -> Result<Sqlite, OpenError> {
        let files = Files::new(&config.data_dir, "sealgate.db");
        let connection = open::open(&files).await?;
        let writer = Mutex::new(Writer::new(open::writing(&files), connection));
        let log = Log::new(open::writing(&files));
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).test_before_acquire(false);
        let readers = readers.connect_lazy_with(open::reading(&files));
        let bounds = Bounds::new(config);
        let inner = Inner {
            files,
            writer,
            log,
            readers,
            statements: Statements::new(),
            bounds,
            looks_full: AtomicBool::new(false),
        };
        Ok(Sqlite(Arc::new(inner)))
    }

    /// The writing connection goes last: it is the one that empties the log and takes it away.
    pub(super) async fn close(self) {
        self.0.readers.close().await;
        self.0.log.close().await;
        if let Err(error) = self.0.writer.lock().await.close().await {
            tracing::warn!(%error, "The database did not close; nothing that was committed is lost.");
        }
    }

    pub(super) async fn commit(&self, batch: &[Entry]) -> Result<Vec<Outcome>, CommitError> {
        self.commit_within(self.0.bounds, batch).await
    }

    pub(super) async fn commit_from_quarantine(&self, batch: &[Entry]) -> Result<Vec<Outcome>, CommitError> {
        self.commit_within(Bounds::NOTHING, batch).await
    }

    async fn commit_within(&self, bounds: Bounds, batch: &[Entry]) -> Result<Vec<Outcome>, CommitError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut writer = self.0.writer.lock().await;
        let committed = match self.0.write(&mut writer, bounds, batch).await {
            Err(error) if fault::of(&error) == Fault::Content => {
                self.0.write_by_halves(&mut writer, bounds, batch).await
            }
            done => done,
        };
        drop(writer);
        if committed.is_ok() && self.0.log.grew(batch.len(), batch.iter().map(Entry::size).sum()) {
            tokio::spawn(Log::copy_back(self.0.clone()));
        }
        Ok(committed.map_err(StoreError::from)?)
    }

    /// None: a file is not away, so that nothing is spooled for it.
    pub(super) async fn spool_mark(&self, _: SpoolId) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    /// Whether there is one now.
    pub(super) async fn add_spool_mark(&self, _: SpoolId) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// The file and its log.
    pub(super) async fn bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for path in [self.0.files.database().to_owned(), self.0.files.wal()] {
            match tokio::fs::metadata(path).await {
                Ok(metadata) => bytes += metadata.len(),
                // Without a log there is none of its bytes.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError(sqlx::Error::Io(error))),
            }
        }
        Ok(bytes)
    }

    pub(super) async fn find_seen(&self, seen: &Seen) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM seen WHERE device = ? AND key_version = ? AND counter = ? AND tag = ?";
        let found = sqlx::query_scalar::<_, i64>(sql).bind(seen.device).bind(seen.key_version).bind(seen.counter);
        Ok(found.bind(seen.tag.as_bytes()).fetch_optional(&self.0.readers).await?.is_some())
    }

    pub(super) async fn quarantine_usage(&self) -> Result<Usage, StoreError> {
        let sql = "SELECT row_count, byte_count FROM quarantine_usage WHERE device_id = ''";
        let usage = statements::usage(&sqlx::query(sql).fetch_one(&self.0.readers).await?, 0)?;
        self.0.looks_full.store(self.0.bounds.is_full(usage), Ordering::Relaxed);
        Ok(usage)
    }

    pub(super) fn quarantine_looks_full(&self) -> bool {
        self.0.looks_full.load(Ordering::Relaxed)
    }
}

impl Inner {
    async fn write(&self, writer: &mut Writer, bounds: Bounds, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
        let mut tables = Batch { transaction: writer.begin().await?, statements: &self.statements };
        let written = commit::write(&mut tables, bounds, batch).await;
        tables.transaction.end(written).await
    }

    async fn write_by_halves(
        &self,
        writer: &mut Writer,
        bounds: Bounds,
        batch: &[Entry],
    ) -> sqlx::Result<Vec<Outcome>> {
        let mut tables = Batch { transaction: writer.begin().await?, statements: &self.statements };
        let written = commit::write_by_halves(&mut tables, bounds, batch).await;
        tables.transaction.end(written).await
    }
}
