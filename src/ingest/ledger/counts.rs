//! The counts themselves: plain numbers, and the labels that they are kept under.
//!
//! Nothing here locks or knows of a receipt; [`Ledger`](super::Ledger) keeps one [`Counts`] behind its lock. That a verdict is
//! counted and that a receipt ends are two steps, so that a test can do the one without the other and see the law fail.

use crate::metrics::{Label, label};
use crate::seal::{Encoding, Reason};

/// Every message that came in, by what became of it.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    received: u64,
    recovered: u64,
    stored: u64,
    duplicate: [u64; Origin::ALL.len()],
    rejected: [[u64; EncodingLabel::ALL.len()]; Reason::ALL.len()],
    dropped: [u64; Cause::ALL.len()],
    live: u64,
}

/// What a message is counted as in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conclusion {
    Stored,
    Duplicate(Origin),
    Rejected(Reason, EncodingLabel),
    Dropped(Cause),
}

impl Counts {
    /// Messages taken on.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Messages that were in the spool at the start.
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Messages committed.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Messages that were stored before.
    pub fn duplicate(&self, origin: Origin) -> u64 {
        self.duplicate[origin.index()]
    }

    /// Messages refused.
    pub fn rejected(&self, reason: Reason, encoding: EncodingLabel) -> u64 {
        self.rejected[reason as usize][encoding.index()]
    }

    /// Messages that nothing became of, and that nobody acknowledged.
    pub fn dropped(&self, cause: Cause) -> u64 {
        self.dropped[cause.index()]
    }

    /// Receipts that live, and messages in the spool.
    pub fn in_flight(&self) -> u64 {
        self.live
    }

    /// Received and recovered less everything else: 0, or the law is broken.
    pub fn difference(&self) -> i128 {
        let concluded = self.stored
            + self.duplicate.iter().sum::<u64>()
            + self.rejected.iter().flatten().sum::<u64>()
            + self.dropped.iter().sum::<u64>();
        i128::from(self.received) + i128::from(self.recovered) - i128::from(concluded) - i128::from(self.live)
    }

    pub(super) fn receive(&mut self) {
        self.received += 1;
        self.live += 1;
    }

    pub(super) fn recover(&mut self, messages: u64) {
        self.recovered += messages;
        self.live += messages;
    }

    pub(super) fn conclude(&mut self, conclusion: Conclusion) {
        let count = match conclusion {
            Conclusion::Stored => &mut self.stored,
            Conclusion::Duplicate(origin) => &mut self.duplicate[origin.index()],
            Conclusion::Rejected(reason, encoding) => &mut self.rejected[reason as usize][encoding.index()],
            Conclusion::Dropped(cause) => &mut self.dropped[cause.index()],
        };
        *count += 1;
    }

    /// Ends the life of a receipt, or the wait of a spooled message.
    pub(super) fn end(&mut self) {
        self.live -= 1;
    }
}

/// Why the same envelope came again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The device sent it again because it had no answer.
    Retry,
    /// Anything else, a captured envelope played back among it.
    Replay,
}

label! { Origin as "origin": Retry = "retry", Replay = "replay" }

/// Why a message was dropped: neither stored nor refused, and never acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its receipt was dropped before anything had been decided: a fault of the gateway.
    Lost,
    /// The gateway ended before the database took it.
    Shutdown,
}

label! { Cause as "cause": Lost = "lost", Shutdown = "shutdown" }

/// The encoding that a refused message's first byte claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingLabel {
    /// The fixed frame.
    Frame,
    /// COSE_Mac0.
    Cose,
    /// JWS compact.
    Jws,
    /// No first byte, or one that begins no encoding.
    Unknown,
}

impl From<Option<Encoding>> for EncodingLabel {
    fn from(encoding: Option<Encoding>) -> Self {
        match encoding {
            Some(Encoding::Frame) => EncodingLabel::Frame,
            Some(Encoding::Cose) => EncodingLabel::Cose,
            Some(Encoding::Jws) => EncodingLabel::Jws,
            None => EncodingLabel::Unknown,
        }
    }
}

label! { EncodingLabel as "encoding": Frame = "frame", Cose = "cose", Jws = "jws", Unknown = "unknown" }
