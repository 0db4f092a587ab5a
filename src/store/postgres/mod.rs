//! The store in PostgreSQL, 15 or later.
//!
//! A few connections write, each a batch at a time, and a few others read; several gateways may share one database. What decides that
//! an envelope is new is one row in `seen`, whose key two transactions cannot both write: the second one waits for the first, and
//! then finds its counter used up.
//!
//! **How it is kept.** As in SQLite each accepted envelope is a row in `seen`, one in `envelope`, and one in `reading` for each
//! value, with numbers for devices and words; the views `envelopes` and `readings` show names. `envelope` and `reading` are divided
//! by days, so that a day is given up by dropping a table (`partitions`); `seen` is not, because a counter is used up for ever.

mod audit;
mod evidence;
mod fault;
mod integrity;
mod keys;
mod open;
mod partitions;
mod presence;
mod proof;
mod provision;
pub(super) mod readings;
mod registry;
mod retention;
mod rotation;
mod spool;
mod tables;
mod time;
mod tokens;
mod writer;

use super::commit;
use super::commit::Fault;
use super::directory::Files;
use super::quarantine::Bounds;
use super::{CommitError, Config, DatabaseConfig, Doubt, Entry, Mark, OpenError, Outcome, Seen, StoreError, Usage};
use crate::store::node::node_id;
use sqlx::postgres::{PgPool, PgPoolOptions};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use writer::Writers;

/// Connections for everything but batches: none is held for long.
const POOL_MAX: u32 = 4;

/// The database; clones share it.
#[derive(Clone)]
pub(super) struct Postgres(Arc<Inner>);

struct Inner {
    writers: Writers,
    pool: PgPool,
    bounds: Bounds,
    /// Which gateway this is.
    node: String,
    patience: Duration,
    looks_full: AtomicBool,
}

impl Postgres {
    pub(super) async fn open(config: &Config, database: &DatabaseConfig) -> Result<Postgres, OpenError> {
        // For the master keys.
        Files::new(&config.data_dir, "sealgate.db").claim_directory()?;
        let (options, place) = open::options(database).map_err(|error| OpenError::Database {
            place: "that database.url names".to_owned(),
            source: error.into(),
        })?;
        open::open(&options, &place, database).await?;
        let pool = PgPoolOptions::new().max_connections(POOL_MAX).acquire_timeout(database.connect_timeout);
        let node = node_id(&config.data_dir)?;
        let inner = Inner {
            node,
            pool: pool.connect_lazy_with(options.clone()),
            writers: Writers::new(options, database.writers),
            bounds: Bounds::new(config),
            patience: database.connect_timeout + database.statement_timeout * 2,
            looks_full: AtomicBool::new(false),
        };
        Ok(Postgres(Arc::new(inner)))
    }

    /// Does not wait for ever: the server bounds each statement, but one that is cut off says nothing, and TCP notices after hours.
    /// What was under way is given up with its connection.
    pub(super) async fn within<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let silent =
            || StoreError(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer")));
        tokio::time::timeout(self.0.patience, work).await.unwrap_or_else(|_| Err(silent().into()))
    }

    pub(super) async fn close(self) {
        let closed = async {
            self.0.pool.close().await;
            Ok(self.0.writers.close().await?)
        };
        if let Err(error) = self.within::<(), StoreError>(closed).await {
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
        self.commit_with(bounds, batch, None).await
    }

    /// `drained` is noted with it.
    async fn commit_with(
        &self,
        bounds: Bounds,
        batch: &[Entry],
        drained: Option<Mark>,
    ) -> Result<Vec<Outcome>, CommitError> {
        match self.write(bounds, batch, drained, Way::Whole).await {
            Err(Failure::Content) => self.write(bounds, batch, drained, Way::ByHalves).await,
            done => done,
        }
        .map_err(|failure| match failure {
            Failure::Content => {
                CommitError::Passing(StoreError(sqlx::Error::Protocol("a batch was refused by halves".into())))
            }
            Failure::Passing(error) => CommitError::Passing(error),
            Failure::Unknown(doubt) => CommitError::Unknown(doubt),
        })
    }

    /// What became of a transaction whose COMMIT was not answered: none, if it was undone.
    pub(super) async fn resolve(&self, doubt: &Doubt) -> Result<Option<Vec<Outcome>>, StoreError> {
        let sql = "SELECT pg_xact_status($1::text::xid8)";
        let status: Option<String> = sqlx::query_scalar(sql).bind(&doubt.transaction).fetch_one(&self.0.pool).await?;
        match status.as_deref() {
            Some("committed") => Ok(Some(doubt.outcomes.clone())),
            Some("in progress") => {
                Err(StoreError(sqlx::Error::Protocol("the server has not ended the transaction yet".into())))
            }
            // Aborted; or so old that the server has forgotten it, and then the counters tell what is stored.
            _ => Ok(None),
        }
    }

    async fn write(
        &self,
        bounds: Bounds,
        batch: &[Entry],
        drained: Option<Mark>,
        way: Way,
    ) -> Result<Vec<Outcome>, Failure> {
        let mut transaction = self.within(async { Ok::<_, StoreError>(self.0.writers.begin().await?) }).await?;
        let written = async {
            let written = match way {
                Way::Whole => commit::write(&mut transaction, bounds, batch).await,
                Way::ByHalves => commit::write_by_halves(&mut transaction, bounds, batch).await,
            }?;
            spool::note(&mut transaction, drained).await?;
            Ok::<_, StoreError>(written)
        };
        let outcomes = match self.within(written).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // A server that does not answer undoes it when the connection is closed.
                let _ = tokio::time::timeout(self.0.patience, transaction.roll_back()).await;
                return Err(error.into());
            }
        };
        let id = transaction.id().to_owned();
        match self.within(async { Ok::<_, StoreError>(transaction.commit().await?) }).await {
            Ok(()) => Ok(outcomes),
            // The server has said that it did not.
            Err(StoreError(error)) if error.as_database_error().is_some() => Err(Failure::Passing(error.into())),
            Err(error) => {
                tracing::warn!(%error, "The answer to a COMMIT was lost; what became of it is asked.");
                Err(Failure::Unknown(Doubt { transaction: id, outcomes }))
            }
        }
    }

    /// Of this schema, which may not be the only one of the database.
    pub(super) async fn bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'm')";
        let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&self.0.pool).await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    pub(super) fn writers(&self) -> usize {
        self.0.writers.count()
    }

    pub(super) async fn find_seen(&self, seen: &Seen) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM seen WHERE device = $1 AND key_version = $2 AND counter = $3 AND tag = $4";
        let found = sqlx::query_scalar::<_, i32>(sql).bind(seen.device).bind(i16::from(seen.key_version));
        let found = found.bind(seen.counter).bind(seen.tag.as_bytes());
        Ok(found.fetch_optional(&self.0.pool).await?.is_some())
    }

    pub(super) async fn quarantine_usage(&self) -> Result<Usage, StoreError> {
        let sql = "SELECT row_count, byte_count FROM quarantine_usage WHERE device_id = ''";
        let usage = tables::usage(&sqlx::query(sql).fetch_one(&self.0.pool).await?, 0)?;
        self.0.looks_full.store(self.0.bounds.is_full(usage), Ordering::Relaxed);
        Ok(usage)
    }

    pub(super) fn quarantine_looks_full(&self) -> bool {
        self.0.looks_full.load(Ordering::Relaxed)
    }
}

/// How a batch is written.
#[derive(Clone, Copy)]
enum Way {
    Whole,
    ByHalves,
}

/// Why a batch is not committed, or not known to be.
enum Failure {
    Content,
    Passing(StoreError),
    Unknown(Doubt),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match fault::of(&error.0) {
            Fault::Content => Failure::Content,
            Fault::Passing => Failure::Passing(error),
        }
    }
}
