//! Connections that write, and their transactions.
//!
//! A few of them, each with its own transaction: while one waits for the disk another sends. A transaction takes a connection out of
//! its place and puts it back only when the database has said that the transaction is over. One that is dropped, or that ends in
//! an error, takes the connection with it: the server rolls back, and the next transaction opens a new one. So no state of a
//! failed transaction is ever met again.

use crate::store::labels::Labels;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The writing connections.
pub(super) struct Writers {
    options: PgConnectOptions,
    permits: Semaphore,
    count: u32,
    idle: Mutex<Vec<Writer>>,
    labels: Mutex<Labels>,
}

/// One connection.
struct Writer {
    connection: PgConnection,
    /// Numbers of envelopes that are this connection's to give.
    ids: Range<i64>,
}

/// A transaction of its own connection.
pub(super) struct Transaction<'w> {
    /// Its number on the server.
    id: String,
    writer: Writer,
    writers: &'w Writers,
    /// Words that this transaction looked up or added; remembered when it is committed.
    new_labels: Vec<(Box<str>, i64)>,
    _permit: SemaphorePermit<'w>,
}

/// Numbers at a time, as many as the largest batch may have. A connection that ends takes what is left of its range along; there are
/// 8 * 10^12 of them.
const RANGE: i64 = 1 << 20;

impl Writers {
    /// So many at most; each is opened when it is needed.
    pub(super) fn new(options: PgConnectOptions, count: u32) -> Writers {
        Writers {
            options,
            permits: Semaphore::new(count as usize),
            count,
            idle: Mutex::default(),
            labels: Mutex::default(),
        }
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// Begins a transaction, and waits until a connection is free.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'_>> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let (writer, id) = self.begun().await?;
        Ok(Transaction { id, writer, writers: self, new_labels: Vec::new(), _permit: permit })
    }

    /// A connection in a new transaction. One that has rested may have died meanwhile, with its server; that is found out here, and
    /// only one that was just opened has the last word.
    async fn begun(&self) -> sqlx::Result<(Writer, String)> {
        loop {
            let idle = self.idle().pop();
            let Some(mut writer) = idle else { break };
            if let Ok(id) = begin(&mut writer.connection).await {
                return Ok((writer, id));
            }
        }
        let mut connection = self.options.connect().await?;
        let id = begin(&mut connection).await?;
        Ok((Writer { connection, ids: 0..0 }, id))
    }

    /// Waits for the transactions at hand, and closes all connections; no other is opened.
    pub(super) async fn close(&self) -> sqlx::Result<()> {
        let _waited = self.permits.acquire_many(self.count).await;
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for writer in idle {
            writer.connection.close().await?;
        }
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Writer>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labels(&self) -> std::sync::MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a transaction, and asks for its number: with that it can be found out what became of it, should the answer to COMMIT be lost.
/// In one way there and back.
async fn begin(connection: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()::text").fetch_one(connection).await?.try_get(0)
}

impl Transaction<'_> {
    /// Its connection.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.writer.connection
    }

    /// Its number on the server.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Commits; when this answers, the disk has it. An error that is not the server's leaves open what became of it.
    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        sqlx::query("COMMIT").execute(&mut self.writer.connection).await?;
        if !self.new_labels.is_empty() {
            let mut labels = self.writers.labels();
            self.new_labels.into_iter().for_each(|(word, id)| labels.insert(word, id));
        }
        self.writers.idle().push(self.writer);
        Ok(())
    }

    /// Undoes all of it and keeps the connection, if the database lets it.
    pub(super) async fn roll_back(mut self) {
        if sqlx::query("ROLLBACK").execute(&mut self.writer.connection).await.is_ok() {
            self.writers.idle().push(self.writer);
        }
    }

    /// Numbers that no envelope has had, nor will have: what is not used is lost.
    pub(super) async fn reserve(&mut self, count: usize) -> sqlx::Result<Range<i64>> {
        let count = i64::try_from(count).ok().filter(|count| *count <= RANGE);
        let count =
            count.ok_or_else(|| sqlx::Error::Protocol("a batch has more entries than a range has numbers".into()))?;
        if self.writer.ids.end - self.writer.ids.start < count {
            let sql = "SELECT nextval('envelope_range')";
            let range: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.writer.connection).await?;
            self.writer.ids = (range - 1) * RANGE + 1..range * RANGE + 1;
        }
        let first = self.writer.ids.start;
        self.writer.ids.start += count;
        Ok(first..first + count)
    }

    /// The number of a word, if it is remembered.
    pub(super) fn remembered(&self, word: &str) -> Option<i64> {
        self.writers.labels().find(word)
    }

    /// Remembers a word once this is committed.
    pub(super) fn remember(&mut self, word: &str, id: i64) {
        self.new_labels.push((word.into(), id));
    }

    /// Forgets what this transaction looked up, for it is undone in part.
    pub(super) fn forget(&mut self) {
        self.new_labels.clear();
    }
}
