//! The pipeline: deliveries in, receipts out.
//!
//! A [`Delivery`] is opened at once, on the task of the connection that brought it ([`Ingest::submit`]); what is left of it, an
//! entry for the store, goes to the [`Writer`], which commits whatever came while its last commit ran. The [`Receipt`] of each
//! message settles after that commit and not before: a receipt that is dropped means that the message is lost, and nothing is
//! acknowledged. Everything is counted in one [`Ledger`], under one law. What somebody listens for leaves by the [`Outlets`]: the
//! readings that were verified, and what devices are told about their messages.
//!
//! Who may publish where is not decided here, and neither is what an acknowledgement looks like on the wire.

mod budget;
pub mod config;
pub mod content;
mod intake;
mod ledger;
mod metrics;
mod notary;
mod notes;
mod pipeline;
mod reopen;
mod turns;
mod writer;

pub use crate::seal::{DeviceId, Encoding, Reason};
pub use budget::{Budget, Permit, Share};
pub use config::{Config, Source};
pub use intake::Intake;
pub use ledger::{Cause, Counts, EncodingLabel, Inbox, Ledger, Origin, Receipt, Settled};
pub use metrics::Metrics;
pub use notary::{Due, Notary};
pub use pipeline::{Delivery, Ingest, decode};
pub use reopen::reopen;
pub use writer::{Outlets, Verified, Wanted, Writer};

#[cfg(test)]
mod tests;
