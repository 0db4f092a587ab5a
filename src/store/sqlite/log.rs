//! The write-ahead log, copied back into the file beside the commits.
//!
//! SQLite does that itself, within the commit that makes the log too long: for as long as it takes, some tens of milliseconds for 64 MiB,
//! nobody is answered. Here another connection copies while commits go on; what came meanwhile is little, and the connection that writes
//! copies it between two commits, after which the log begins anew (<https://www.sqlite.org/wal.html>, "Checkpointing").

use super::Inner;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A copy is made after so many messages or bytes of them, and so long after the one before at the earliest: each page is copied once however
/// often it is in the log, and each copy syncs the file.
const MESSAGES: usize = 2_048;
const BYTES: usize = 8 << 20;
const INTERVAL: Duration = Duration::from_millis(500);

/// Each copy leaves what has come meanwhile, which the next one takes in less time.
const COPIES: usize = 2;

const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// What is to be copied, and by whom.
pub(super) struct Log {
    options: SqliteConnectOptions,
    connection: Mutex<Copier>,
    growth: std::sync::Mutex<Growth>,
    fails: AtomicBool,
}

/// What has come since the last copy.
struct Growth {
    messages: usize,
    bytes: usize,
    copied_at: Instant,
}

enum Copier {
    Absent,
    Open(SqliteConnection),
    Closed,
}

impl Log {
    pub(super) fn new(options: SqliteConnectOptions) -> Log {
        Log {
            options,
            connection: Mutex::new(Copier::Absent),
            growth: std::sync::Mutex::new(Growth::since(now())),
            fails: AtomicBool::new(false),
        }
    }

    /// So many messages have come into it, with so many bytes; whether it is to be copied now.
    pub(super) fn grew(&self, messages: usize, bytes: usize) -> bool {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner).is_due(messages, bytes, now())
    }

    /// Copies it back, unless that is being done. What fails is done by SQLite itself when the log has become too long.
    pub(super) async fn copy_back(inner: Arc<Inner>) {
        let Ok(mut copier) = inner.log.connection.try_lock() else { return };
        if let Err(error) = copier.copy(&inner.log.options).await {
            if !matches!(*copier, Copier::Closed) {
                *copier = Copier::Absent;
                if !inner.log.fails.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "The write-ahead log is not copied back; it grows until a commit does it.");
                }
            }
            return;
        }
        if inner.log.fails.swap(false, Ordering::Relaxed) {
            tracing::info!("The write-ahead log is copied back again.");
        }
        let _ = inner.writer.lock().await.run(COPY).await;
    }

    /// Waits for a copy that is being made; no other is.
    pub(super) async fn close(&self) {
        if let Copier::Open(connection) = std::mem::replace(&mut *self.connection.lock().await, Copier::Closed) {
            let _ = connection.close().await;
        }
    }
}

impl Growth {
    fn since(copied_at: Instant) -> Growth {
        Growth { messages: 0, bytes: 0, copied_at }
    }

    fn is_due(&mut self, messages: usize, bytes: usize, now: Instant) -> bool {
        self.messages += messages;
        self.bytes += bytes;
        let is_due = (self.messages >= MESSAGES || self.bytes >= BYTES) && now - self.copied_at >= INTERVAL;
        if is_due {
            *self = Growth::since(now);
        }
        is_due
    }
}

impl Copier {
    async fn copy(&mut self, options: &SqliteConnectOptions) -> sqlx::Result<()> {
        if let Copier::Absent = self {
            *self = Copier::Open(options.connect().await?);
        }
        let Copier::Open(connection) = self else { return Err(sqlx::Error::PoolClosed) };
        for _ in 0..COPIES {
            sqlx::raw_sql(COPY).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_due_after_messages_and_time() {
        let began = now();
        let mut growth = Growth::since(began);
        assert!(!growth.is_due(MESSAGES, 0, began));
        assert!(!growth.is_due(0, 0, began + INTERVAL - Duration::from_nanos(1)));
        assert!(growth.is_due(0, 0, began + INTERVAL));
        assert!(!growth.is_due(MESSAGES - 1, BYTES - 1, began + 2 * INTERVAL));
        assert!(growth.is_due(1, 0, began + 2 * INTERVAL));
        assert!(growth.is_due(0, BYTES, began + 3 * INTERVAL));
    }
}
