//! An acknowledgement that is not one yet: a value whose default is failure.
//!
//! A [`Receipt`] goes with its message through the pipeline, and what becomes of it comes back as a value in the [`Inbox`] of the
//! connection that brought it. Whoever loses a receipt on the way, by an early return or a panic, has said that the message is
//! lost; nothing that was forgotten is ever acknowledged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::counts::Conclusion;
use super::{Cause, EncodingLabel, Ledger, Origin};
use crate::seal::{Reason, Verdict};

/// A message in flight. Settled by [`Ledger::settle_all`]; dropped, it counts as lost.
#[must_use = "a receipt that is dropped says that its message is lost"]
pub struct Receipt(Option<Live>);

struct Live {
    ledger: Ledger,
    inbox: Arc<Inbox>,
    ticket: u64,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Verified and committed.
    Stored,
    /// The same envelope was stored before.
    Duplicate(Origin),
    /// Verified, and on this gateway's disk until the database is back. It stays in flight.
    Spooled,
    /// Refused, and in quarantine or counted as over its bound.
    Rejected {
        /// Why.
        reason: Reason,
        /// What its first byte claims to be.
        encoding: EncodingLabel,
        /// More about the reason, for whoever sealed it.
        detail: Option<Box<str>>,
    },
    /// Not known to be stored: the sender has to send it again.
    Lost,
}

impl Settled {
    /// What the device is told in its receipt; none: nothing is known that it could be told.
    pub(in crate::ingest) fn verdict(&self) -> Option<Verdict> {
        match *self {
            Settled::Stored => Some(Verdict::Stored),
            Settled::Duplicate(_) => Some(Verdict::Duplicate),
            Settled::Spooled => Some(Verdict::Spooled),
            Settled::Rejected { reason, .. } => Some(Verdict::Rejected(reason)),
            Settled::Lost => None,
        }
    }
}

impl Receipt {
    pub(super) fn new(ledger: Ledger, inbox: Arc<Inbox>, ticket: u64) -> Self {
        Receipt(Some(Live { ledger, inbox, ticket }))
    }

    /// Ends it without a verdict.
    pub fn give_up(mut self, cause: Cause) {
        self.abandon(cause);
    }

    pub(super) fn belongs_to(&self, ledger: &Ledger) -> bool {
        self.0.as_ref().is_some_and(|live| live.ledger.is(ledger))
    }

    /// Puts the verdict, which is counted already, into the inbox; gives that back if its owner has to be woken.
    pub(super) fn deliver(mut self, settled: Settled) -> Option<Arc<Inbox>> {
        let Live { inbox, ticket, .. } = self.0.take()?;
        let first = inbox.push(ticket, settled);
        first.then_some(inbox)
    }

    fn abandon(&mut self, cause: Cause) {
        let Some(Live { ledger, inbox, ticket }) = self.0.take() else { return };
        ledger.abandon(cause);
        if inbox.push(ticket, Settled::Lost) {
            inbox.wake();
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.abandon(Cause::Lost);
    }
}

impl From<&Settled> for Conclusion {
    fn from(settled: &Settled) -> Self {
        match *settled {
            Settled::Stored => Conclusion::Stored,
            Settled::Duplicate(origin) => Conclusion::Duplicate(origin),
            Settled::Rejected { reason, encoding, .. } => Conclusion::Rejected(reason, encoding),
            // Whoever settles what is only spooled has lost it.
            Settled::Spooled | Settled::Lost => Conclusion::Dropped(Cause::Lost),
        }
    }
}

/// What has settled for one connection, waiting for it.
///
/// It holds no more than the connection has receipts in flight, and that is bounded by the connection's window.
#[derive(Default)]
pub struct Inbox {
    settled: Mutex<Vec<(u64, Settled)>>,
    bell: Notify,
}

impl Inbox {
    /// Everything that has settled since the last call, with its ticket, in the order in which it settled.
    pub fn take(&self) -> Vec<(u64, Settled)> {
        std::mem::take(&mut self.locked())
    }

    /// Waits until something may have settled. Made for one waiter; dropping the future loses nothing.
    pub async fn notified(&self) {
        self.bell.notified().await;
    }

    /// Puts one in; true if it is the first since [`Inbox::take`], so that nobody has rung for it yet.
    fn push(&self, ticket: u64, settled: Settled) -> bool {
        let mut waiting = self.locked();
        waiting.push((ticket, settled));
        waiting.len() == 1
    }

    pub(super) fn wake(&self) {
        self.bell.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, Vec<(u64, Settled)>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
