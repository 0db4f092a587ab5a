//! The driver that makes checkpoints.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::statement::{Statement, hash_of};
use super::{Config, Metrics, tree};
use crate::seal::ProofKey;
use crate::store::{Added, BadLeaves, Checkpoint, Leaf, Store, StoreError, Uncovered};

/// Leaves of one checkpoint, about: the batch that reaches it is its last.
const LEAVES_MAX: usize = 1 << 16;
/// Batches that are read at a time.
const BATCHES: u32 = 1 << 10;

/// Signs what was stored. Of several on one database each takes what is there; of two that take the same, one wins.
pub struct Checkpointer {
    store: Store,
    key: ProofKey,
    interval: Duration,
    metrics: Metrics,
}

/// Why there is no checkpoint now.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a row of `uncovered` was changed: {0}")]
    Changed(#[from] BadLeaves),
    #[error("checkpoint {0} was not signed with this master key")]
    Foreign(i64),
}

impl Checkpointer {
    /// Over a database, with the key of its master keys.
    pub fn new(store: Store, key: ProofKey, config: &Config, metrics: Metrics) -> Checkpointer {
        Checkpointer { store, key, interval: config.checkpoint_interval, metrics }
    }

    /// Goes on until `ends`, and then takes in what is left, so that after a clean end nothing is.
    pub async fn run(self, ends: CancellationToken) {
        loop {
            if let Err(error) = self.catch_up().await {
                self.metrics.failures.inc();
                error!(%error, "What was stored is not signed yet; it is tried again.");
            }
            if ends.is_cancelled() {
                return;
            }
            let _ = tokio::time::timeout(self.interval, ends.cancelled()).await;
        }
    }

    /// Makes checkpoints until there is nothing to say.
    async fn catch_up(&self) -> Result<(), CheckpointError> {
        while self.make_next().await? {}
        Ok(())
    }

    /// Makes one; whether there may be more to say.
    async fn make_next(&self) -> Result<bool, CheckpointError> {
        let last = self.store.last_checkpoint().await?;
        let before = last.as_ref().map(|last| self.read(last)).transpose()?;
        if let Some(newest) = &before {
            self.metrics.show(newest);
        }
        let horizon = self.store.horizon().await?;
        let batches = self.batches().await?;
        if batches.is_empty() && before.as_ref().map_or(horizon <= 0, |before| before.horizon >= horizon) {
            return Ok(false);
        }
        let leaves = sorted(&batches)?;
        let statement = Statement {
            number: before.as_ref().map_or(1, |before| before.number + 1),
            previous: last.as_ref().map(|last| hash_of(&last.statement)).unwrap_or_default(),
            made_at: now_ms(),
            leaves: leaves.len() as u64,
            root: hex::encode(tree::root(&leaves)),
            last_received_at: leaves.iter().map(|leaf| leaf.received_at_ms).max().unwrap_or(i64::MIN),
            horizon: before.map_or(horizon, |before| before.horizon.max(horizon)),
        };
        self.keep(&statement, &leaves, &batches).await?;
        Ok(true)
    }

    fn read(&self, last: &Checkpoint) -> Result<Statement, CheckpointError> {
        Statement::read(&last.statement, &self.key).ok_or(CheckpointError::Foreign(last.number))
    }

    async fn batches(&self) -> Result<Vec<Uncovered>, CheckpointError> {
        let mut batches = self.store.uncovered(BATCHES).await?;
        let mut bytes = 0;
        let taken = batches.iter().take_while(|batch| {
            let is_within = bytes < LEAVES_MAX * Leaf::TAG_BYTES;
            bytes += batch.leaves.len();
            is_within
        });
        let taken = taken.count();
        batches.truncate(taken);
        Ok(batches)
    }

    async fn keep(&self, statement: &Statement, leaves: &[Leaf], batches: &[Uncovered]) -> Result<(), CheckpointError> {
        let checkpoint = Checkpoint {
            number: statement.number,
            statement: statement.sign(&self.key),
            leaves: Some(Leaf::encode(leaves)),
            last_received_at_ms: statement.last_received_at,
            horizon_ms: statement.horizon,
        };
        let taken: Vec<i64> = batches.iter().map(|batch| batch.id).collect();
        if self.store.add_checkpoint(&checkpoint, &taken).await? == Added::Now {
            self.metrics.show(statement);
            let Statement { number, leaves, root, .. } = statement;
            info!(number, leaves, %root, "Checkpoint.");
        }
        Ok(())
    }
}

/// All leaves in their order, each once.
fn sorted(batches: &[Uncovered]) -> Result<Vec<Leaf>, BadLeaves> {
    let mut leaves = Vec::new();
    for batch in batches {
        leaves.extend(Leaf::decode(&batch.leaves)?);
    }
    leaves.sort_unstable();
    leaves.dedup();
    Ok(leaves)
}

#[expect(clippy::disallowed_methods, reason = "the checkpointer is a driver")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
