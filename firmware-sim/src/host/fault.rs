//! What can go wrong with a message, and what the specification says becomes of it.

use std::fmt;
use std::str::FromStr;

use sealgate_envelope::Reason;
use thiserror::Error;

/// What goes wrong, one thing a message at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// One bit of the envelope is another on the way.
    BitFlip,
    /// Somebody on the way changes the payload, and mends the CRC.
    ForgedPayload,
    /// It is sealed under another key.
    WrongKey,
    /// An envelope that was stored is sent once more, as if it were new.
    Replay,
    /// A new reading is sealed under a counter that was used.
    ReusedCounter,
    /// The same envelope is delivered twice, the second time as one that is sent again (DUP).
    DuplicateDelivery,
    /// The device's clock is far behind.
    Stale,
    /// The device's clock is far ahead.
    Future,
    /// Bytes that are no envelope.
    Garbage,
    /// The connection breaks while the message is on its way.
    DroppedConnection,
    /// It is published to another device's topic.
    WrongTopic,
    /// The device logs in with a token that was tampered with. Drawn for each connection, not for each message.
    BadToken,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 12] = [
        Fault::BitFlip,
        Fault::ForgedPayload,
        Fault::WrongKey,
        Fault::Replay,
        Fault::ReusedCounter,
        Fault::DuplicateDelivery,
        Fault::Stale,
        Fault::Future,
        Fault::Garbage,
        Fault::DroppedConnection,
        Fault::WrongTopic,
        Fault::BadToken,
    ];

    /// Its name on the command line and in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::BitFlip => "bit_flip",
            Fault::ForgedPayload => "forged_payload",
            Fault::WrongKey => "wrong_key",
            Fault::Replay => "replay",
            Fault::ReusedCounter => "reused_counter",
            Fault::DuplicateDelivery => "duplicate_delivery",
            Fault::Stale => "stale",
            Fault::Future => "future",
            Fault::Garbage => "garbage",
            Fault::DroppedConnection => "dropped_connection",
            Fault::WrongTopic => "wrong_topic",
            Fault::BadToken => "bad_token",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What must become of a message, or of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expected {
    /// It is in the database afterwards, once.
    Stored,
    /// It was there before.
    Duplicate,
    /// It is refused for this reason.
    Rejected(Reason),
    /// The login does not hold its topic.
    NotAuthorized,
    /// The login is refused: the token's signature does not fit.
    WrongSignature,
}

impl Expected {
    /// The gateway's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Expected::Stored => "stored",
            Expected::Duplicate => "duplicate",
            Expected::Rejected(reason) => reason.as_str(),
            Expected::NotAuthorized => "not_authorized",
            Expected::WrongSignature => "wrong_signature",
        }
    }

    /// Whether an acknowledgement that says success is right.
    pub fn is_accepted(self) -> bool {
        matches!(self, Expected::Stored | Expected::Duplicate)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How often each fault happens, as a probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultRates([f64; Fault::ALL.len()]);

impl FaultRates {
    /// Each with the same probability.
    pub fn all(probability: f64) -> Self {
        FaultRates([probability; Fault::ALL.len()])
    }

    /// With this probability for one of them.
    #[must_use]
    pub fn with(mut self, fault: Fault, probability: f64) -> Self {
        self.0[fault as usize] = probability;
        self
    }

    /// How often a fault happens.
    pub fn of(&self, fault: Fault) -> f64 {
        self.0[fault as usize]
    }

    /// What goes wrong with the next message; none mostly. `chance` lies in 0..1.
    pub(super) fn draw(&self, chance: f64) -> Option<Fault> {
        let mut passed = 0.0;
        Fault::ALL.into_iter().filter(|fault| *fault != Fault::BadToken).find(|fault| {
            passed += self.of(*fault);
            chance < passed
        })
    }

    /// Whether the probabilities are some, and those of a message not more than 1 together.
    pub fn are_valid(&self) -> bool {
        let each = self.0.iter().all(|probability| (0.0..=1.0).contains(probability));
        each && self.0.iter().sum::<f64>() - self.of(Fault::BadToken) <= 1.0 + 1e-9
    }
}

/// Its name.
impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        Fault::ALL.into_iter().find(|fault| fault.as_str() == text).ok_or(BadFault)
    }
}

/// There is no such fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "expected NAME=PROBABILITY with one of bit_flip, forged_payload, wrong_key, replay, reused_counter, duplicate_delivery, stale, future, garbage, dropped_connection, wrong_topic, bad_token"
)]
pub struct BadFault;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_stands_in_the_error() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault.as_str().parse(), Ok(fault));
            assert_eq!(fault as usize, place);
            assert!(BadFault.to_string().contains(fault.as_str()));
        }
    }

    #[test]
    fn each_is_drawn_as_often_as_it_is_probable() {
        let rates = FaultRates::all(0.05);
        let mut counts = [0; Fault::ALL.len()];
        for step in 0..1000 {
            if let Some(fault) = rates.draw(f64::from(step) / 1000.0) {
                counts[fault as usize] += 1;
            }
        }
        assert!(counts[..11].iter().all(|count| (49..=51).contains(count)), "{counts:?}");
        assert_eq!(counts[Fault::BadToken as usize], 0, "a login is not a message");
    }

    #[test]
    fn probabilities_are_checked() {
        assert!(FaultRates::all(1.0 / 11.0).are_valid());
        assert!(!FaultRates::all(0.1).are_valid());
        assert!(!FaultRates::default().with(Fault::Stale, -0.1).are_valid());
        assert!(!FaultRates::default().with(Fault::BadToken, f64::NAN).are_valid());
    }
}
