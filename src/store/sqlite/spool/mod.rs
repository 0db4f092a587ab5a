//! The spool: what was acknowledged while PostgreSQL was away, in the file `spool.db` of the data directory, until it is drained.
//!
//! Each put is one transaction, on the disk when it is answered. What is drained is committed to the database first and removed here
//! afterwards; the database notes in the same transaction how far it has come ([`Mark`]), and a gateway that starts asks it. So a message is
//! drained once, whatever is killed in between: a counter would tell the second time, but a refused message has none.
//!
//! Numbers are given here and not by SQLite, so that it is known what a put that failed may have left: its COMMIT may be on the disk although
//! its answer was an error. Before the next step that is taken away again.
//!
//! What goes in, and what becomes of it, is not decided here.

mod open;
mod reading;
mod row;

use super::writer::Writer;
use crate::store::{Entry, StoreError, Usage};
use row::Rows;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A gateway's spool; clones share it.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    id: SpoolId,
    bytes_max: u64,
    takes_more: bool,
    after: Duration,
    rows: Rows,
    usage: Mutex<Usage>,
    /// At the start.
    recovered: Mark,
    state: tokio::sync::Mutex<State>,
}

struct State {
    writer: Writer,
    /// The number of the newest message that was put.
    last: i64,
    /// What a put that failed has left is still there, perhaps.
    is_unclean: bool,
    /// Up to this number all are in the database.
    drained: i64,
    /// Of these, what is not removed yet.
    to_remove: Usage,
}

/// The name of a spool, as the database knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct SpoolId(pub(in crate::store) [u8; 16]);

/// How far a spool is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(in crate::store) spool: SpoolId,
    pub(in crate::store) through: i64,
}

/// A message on its way into the spool.
#[derive(Clone, Copy)]
pub struct Spooled<'a> {
    /// What is to be committed.
    pub entry: &'a Entry,
    /// A word of the caller's own, which comes back with it.
    pub origin: &'static str,
}

/// A message that waits in the spool.
#[derive(Clone, Debug)]
pub struct Waiting {
    id: i64,
    /// What is to be committed.
    pub entry: Entry,
    /// As it was put.
    pub origin: &'static str,
}

/// Why a message is not in the spool, or does not come out of it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It would hold more bytes than it may.
    #[error("the spool is full: store.spool_bytes_max is reached")]
    Full,
    /// Its disk, most likely.
    #[error("the spool failed: {0}")]
    Failed(#[from] StoreError),
}

impl From<sqlx::Error> for SpoolError {
    fn from(error: sqlx::Error) -> Self {
        SpoolError::Failed(StoreError(error))
    }
}

impl Spool {
    /// Whether new messages may go in; one that was left over is drained and no more.
    pub fn takes_more(&self) -> bool {
        self.0.takes_more
    }

    /// How long a batch waits for the database before it is spooled.
    pub fn after(&self) -> Duration {
        self.0.after
    }

    /// Bytes that it may hold.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max
    }

    /// What it holds, as its bound counts it.
    pub fn usage(&self) -> Usage {
        *self.0.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was there when the spool was opened.
    pub fn was_recovered(&self, waiting: &Waiting) -> bool {
        waiting.id <= self.0.recovered.through
    }

    /// Puts messages in, all or none. When this answers, the disk has them.
    pub async fn put(&self, messages: &[Spooled<'_>]) -> Result<(), SpoolError> {
        let more =
            Usage { rows: messages.len() as u64, bytes: messages.iter().map(|message| self.bytes(message)).sum() };
        let mut state = self.0.state.lock().await;
        if self.usage().bytes.saturating_add(more.bytes) > self.0.bytes_max {
            return Err(SpoolError::Full);
        }
        state.clean().await?;
        let first = state.last + 1;
        state.is_unclean = true;
        let mut transaction = state.writer.begin().await?;
        let written = self.0.rows.add(&mut transaction.connection, first, messages).await;
        transaction.end(written).await?;
        (state.is_unclean, state.last) = (false, state.last + messages.len() as i64);
        self.change_usage(|usage| Usage { rows: usage.rows + more.rows, bytes: usage.bytes + more.bytes });
        Ok(())
    }

    /// The oldest messages that are not drained, at most so many of so many bytes; a single larger one comes alone.
    pub async fn next(&self, rows_max: usize, bytes_max: usize) -> Result<Vec<Waiting>, SpoolError> {
        let mut state = self.0.state.lock().await;
        let (after, through) = (state.drained, state.last);
        let mut transaction = state.writer.begin().await?;
        let found = self.0.rows.between(&mut transaction.connection, after, through, rows_max, bytes_max).await;
        Ok(transaction.end(found).await?)
    }

    /// The mark that the database gets with messages out of [`Spool::next`].
    pub async fn mark(&self, drained: &[Waiting]) -> Mark {
        let through = match drained.last() {
            Some(last) => last.id,
            None => self.0.state.lock().await.drained,
        };
        Mark { spool: self.0.id, through }
    }

    /// Removes messages that the database has. On an error they stay on the disk, and the next time takes them along; they do not come
    /// out again.
    pub async fn remove(&self, drained: &[Waiting]) -> Result<(), SpoolError> {
        let Some(last) = drained.last() else { return Ok(()) };
        let bytes = |waiting: &Waiting| self.bytes(&Spooled { entry: &waiting.entry, origin: waiting.origin });
        let mut state = self.0.state.lock().await;
        state.drained = last.id;
        state.to_remove.rows += drained.len() as u64;
        state.to_remove.bytes += drained.iter().map(bytes).sum::<u64>();
        state.clean().await?;
        let mut transaction = state.writer.begin().await?;
        let removed = Rows::remove_through(&mut transaction.connection, last.id).await;
        transaction.end(removed).await?;
        let removed = std::mem::take(&mut state.to_remove);
        self.change_usage(|usage| Usage {
            rows: usage.rows.saturating_sub(removed.rows),
            bytes: usage.bytes.saturating_sub(removed.bytes),
        });
        if self.usage().rows == 0 {
            state.writer.run(GIVE_BACK).await?;
        }
        Ok(())
    }

    /// Closes the file; what it holds stays.
    pub async fn close(self) {
        if let Err(error) = self.0.state.lock().await.writer.close().await {
            tracing::warn!(%error, "The spool did not close; nothing that was acknowledged is lost.");
        }
    }

    fn bytes(&self, message: &Spooled<'_>) -> u64 {
        row::bytes(message.entry)
    }

    fn change_usage(&self, change: impl FnOnce(Usage) -> Usage) {
        let mut usage = self.0.usage.lock().unwrap_or_else(PoisonError::into_inner);
        *usage = change(*usage);
    }
}

/// The room that a long outage took, once all is drained.
const GIVE_BACK: &str = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";

impl State {
    /// Takes away what a put that failed has left.
    async fn clean(&mut self) -> sqlx::Result<()> {
        if self.is_unclean {
            let mut transaction = self.writer.begin().await?;
            let cleaned = Rows::remove_after(&mut transaction.connection, self.last).await;
            transaction.end(cleaned).await?;
            self.is_unclean = false;
        }
        Ok(())
    }
}
