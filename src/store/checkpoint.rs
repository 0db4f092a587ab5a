//! Checkpoints, as they are kept: what was signed, and the leaves that it speaks of; and the rows, for whoever opens them again. What a
//! checkpoint says is `proof`'s affair.

use super::{Added, Engine, Store, StoreError};

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its place in the chain, from 1.
    pub number: i64,
    /// What was signed, with its signature.
    pub statement: String,
    /// The leaves, as [`super::Leaf::encode`] writes them; none: retention has dropped all that they speak of.
    pub leaves: Option<Vec<u8>>,
    /// The latest arrival among its leaves, Unix ms.
    pub last_received_at_ms: i64,
    /// What arrived before this may be dropped, Unix ms.
    pub horizon_ms: i64,
}

/// Senders by their numbers, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// Leaves that no checkpoint has taken in yet: those of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// The batch's number.
    pub id: i64,
    /// Its leaves.
    pub leaves: Vec<u8>,
}

/// A row of `envelope`, for whoever opens it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEnvelope {
    /// Its number.
    pub id: i64,
    /// Its sender.
    pub device: i64,
    /// The version of its key.
    pub key_version: i64,
    /// Its counter.
    pub counter: i64,
    /// The device's clock, Unix ms.
    pub device_time_ms: Option<i64>,
    /// The gateway's clock, Unix ms.
    pub received_at_ms: i64,
    /// The number of its encoding's name.
    pub encoding: i64,
    /// The content format of its payload.
    pub content_format: i64,
    /// The envelope as it came.
    pub bytes: Vec<u8>,
}

/// A row of `reading`, for whoever compares it.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredRow {
    /// The envelope that it came in.
    pub envelope: i64,
    /// Its sender.
    pub device: i64,
    /// Its place in the envelope.
    pub place: i64,
    /// When, Unix ms.
    pub time_ms: i64,
    /// The number of its name.
    pub name: i64,
    /// The number of its unit.
    pub unit: Option<i64>,
    /// A number.
    pub value: Option<f64>,
    /// A text.
    pub text: Option<String>,
    /// A sum.
    pub sum: Option<f64>,
}

/// Who is shown the rows.
pub trait Audit: Send {
    /// One envelope.
    fn envelope(&mut self, row: StoredEnvelope);

    /// One reading.
    fn reading(&mut self, row: MeasuredRow);
}

impl Store {
    /// Batches whose leaves no checkpoint has taken in, oldest first, at most `limit`.
    pub async fn uncovered(&self, limit: u32) -> Result<Vec<Uncovered>, StoreError> {
        ask!(&self.0, uncovered(limit))
    }

    /// Checkpoints in the order of their numbers, after `after`, at most `limit`.
    pub async fn checkpoints(&self, after: i64, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        ask!(&self.0, checkpoints(after, limit))
    }

    /// The newest checkpoint, without its leaves.
    pub async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        ask!(&self.0, last_checkpoint())
    }

    /// Keeps a checkpoint, and forgets the batches that it has taken in, in one transaction. Of two that have one number, one wins and
    /// the other changes nothing.
    pub async fn add_checkpoint(&self, new: &Checkpoint, taken: &[i64]) -> Result<Added, StoreError> {
        ask!(&self.0, add_checkpoint(new, taken))
    }

    /// What arrived before this is to be dropped, Unix ms.
    pub async fn horizon(&self) -> Result<i64, StoreError> {
        ask!(&self.0, horizon())
    }

    /// All names of readings, units and encodings, each with its number.
    pub async fn words(&self) -> Result<Vec<(i64, String)>, StoreError> {
        ask!(&self.0, words())
    }

    /// The names of senders, each with its number.
    pub async fn sender_names(&self, span: Span) -> Result<Vec<(i64, String)>, StoreError> {
        ask!(&self.0, sender_names(span))
    }

    /// Shows the envelopes of some senders that arrived at `since_ms` or later, and then all readings of these senders: as they are at one
    /// moment, in no order, and however long it takes.
    pub async fn audit(&self, span: Span, since_ms: i64, audit: &mut dyn Audit) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.audit(span, since_ms, audit).await,
            Engine::Postgres(postgres) => postgres.audit(span, since_ms, audit).await,
        }
    }
}
