//! Proof at rest: what is in the database is what the devices sealed, and all of it.
//!
//! A seal proves each envelope by itself; that none is missing is told by *checkpoints*. Each batch leaves a list of what it stored
//! ([`Leaf`](crate::store::Leaf)), in its own transaction. Off the way of messages, the [`Checkpointer`] takes the lists that have come,
//! hashes them into a tree, and signs the root together with the hash of the checkpoint before: a chain. The newest root is logged and
//! shown as a metric, so that a chain that is cut at its end is found out by whoever kept either. [`verify()`] walks the chain, opens every
//! stored envelope again and compares the readings with it.
//!
//! It proves against outsiders and against whoever keeps the database; not against whoever holds the master keys, who can seal and sign
//! another history. What was changed between a commit and the next checkpoint shows only in what no longer opens.

mod audit;
mod chain;
mod checkpointer;
pub mod config;
mod finding;
mod metrics;
mod spill;
mod statement;
mod tree;
mod verify;

pub use checkpointer::Checkpointer;
pub use config::Config;
pub use finding::{Finding, Kind};
pub use metrics::Metrics;
pub use verify::{Known, Report, Scope, VerifyError, Watcher, verify};
