//! The chain of checkpoints, walked from its beginning.

use super::finding::Finding;
use super::statement::{Statement, hash_of};
use super::tree;
use crate::seal::ProofKey;
use crate::store::{BadLeaves, Checkpoint, Leaf, Store, StoreError};

/// Checkpoints that are held at a time; each has some two megabytes of leaves.
const PAGE: u32 = 8;

/// A walk along a chain.
pub(super) struct Walk<'a> {
    store: &'a Store,
    key: &'a ProofKey,
    /// The number of the checkpoint that was looked at last.
    number: i64,
    /// What the next one has to say of it.
    hash: String,
    horizon: i64,
    /// What arrived before this may have been dropped, by the newest checkpoint.
    final_horizon: i64,
}

/// Why a walk did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task ended by itself.
    #[error("a checkpoint was not looked at")]
    Ended,
}

/// A checkpoint whose leaves were read and hashed.
struct Hashed {
    checkpoint: Checkpoint,
    list: List,
}

/// Leaves with their root; none: they are not there.
type List = Option<Result<(Vec<Leaf>, tree::Hash), BadLeaves>>;

impl Hashed {
    fn of(mut checkpoint: Checkpoint) -> Hashed {
        let list = checkpoint.leaves.take().map(|list| {
            let leaves = Leaf::decode(&list)?;
            let root = tree::root(&leaves);
            Ok((leaves, root))
        });
        Hashed { checkpoint, list }
    }
}

/// What a walk comes to.
pub(super) struct Step {
    /// What was signed; none: nothing that can be read.
    pub(super) statement: Option<Statement>,
    /// Its leaves, as far as they are there and are what was signed.
    pub(super) leaves: Vec<Leaf>,
    /// What does not fit.
    pub(super) findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    /// From the first checkpoint on.
    pub(super) fn begin(store: &'a Store, key: &'a ProofKey, final_horizon: i64) -> Walk<'a> {
        Walk { store, key, number: 0, hash: String::new(), horizon: 0, final_horizon }
    }

    /// Hands each checkpoint to `visit`, the oldest first.
    pub(super) async fn each(&mut self, mut visit: impl FnMut(Step)) -> Result<(), WalkError> {
        loop {
            let page = self.store.checkpoints(self.number, PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            // To read and hash the leaves is nearly all of it, and no checkpoint needs another one for that.
            let reading = page.into_iter().map(|checkpoint| tokio::task::spawn_blocking(|| Hashed::of(checkpoint)));
            for hashed in reading.collect::<Vec<_>>() {
                visit(self.step(hashed.await.map_err(|_| WalkError::Ended)?));
            }
        }
    }

    /// The number of the newest checkpoint, once the walk is at its end.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    fn step(&mut self, Hashed { checkpoint, list }: Hashed) -> Step {
        let mut findings = Vec::new();
        let mut finding = |number: i64, detail: &str| findings.push(Finding::chain(number, detail));
        let number = checkpoint.number;
        match number - self.number {
            1 => {}
            2 => finding(self.number + 1, "it is not there"),
            _ => finding(self.number + 1, &format!("it is not there, and none up to {}", number - 1)),
        }
        let statement = Statement::read(&checkpoint.statement, self.key);
        let mut leaves = Vec::new();
        match &statement {
            None => finding(number, "it was not signed with this master key, or was changed"),
            Some(statement) => {
                self.faults(&checkpoint, statement).into_iter().for_each(|fault| finding(number, fault));
                match leaves_of(list, statement, self.final_horizon) {
                    Ok(signed) => leaves = signed,
                    Err(fault) => finding(number, fault),
                }
                self.horizon = statement.horizon;
            }
        }
        self.number = number;
        self.hash = hash_of(&checkpoint.statement);
        Step { statement, leaves, findings }
    }

    /// How a statement does not fit its place.
    fn faults(&self, checkpoint: &Checkpoint, statement: &Statement) -> Vec<&'static str> {
        let columns = (checkpoint.number, checkpoint.last_received_at_ms, checkpoint.horizon_ms);
        let is_here = (statement.number, statement.last_received_at, statement.horizon) == columns;
        let faults = [
            (!is_here).then_some("what was signed is another checkpoint's"),
            (statement.previous != self.hash).then_some("it does not follow the one before"),
            (statement.horizon < self.horizon).then_some("its horizon is before that of the one before"),
        ];
        faults.into_iter().flatten().collect()
    }
}

/// The leaves, if they are what was signed; none are needed where all that they speak of may be dropped.
fn leaves_of(list: List, statement: &Statement, horizon: i64) -> Result<Vec<Leaf>, &'static str> {
    let Some(list) = list else {
        let may_be_gone = statement.leaves == 0 || statement.last_received_at < horizon;
        return if may_be_gone { Ok(Vec::new()) } else { Err("its leaves are not there") };
    };
    let (leaves, root) = list.map_err(|_| "its leaves cannot be read")?;
    let is_signed = leaves.len() as u64 == statement.leaves && hex::encode(root) == statement.root;
    if is_signed { Ok(leaves) } else { Err("its leaves are not those that were signed") }
}
