//! What a sealer says, whichever encoding it writes, and why it cannot be said.
//!
//! Sealing refuses what opening would refuse, so that a device learns of its mistake before it has sent it.

use core::fmt;

use crate::header::{Algorithm, COUNTER_MAX, TIME_MAX_MS};

/// A message before it is sealed.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// How the tag is made.
    pub algorithm: Algorithm,
    /// The version of the key that seals it, 1..=255.
    pub key_version: u8,
    /// The CoAP content-format of the payload.
    pub content_format: u16,
    /// Greater for each new message of this device under this key: 1..=[`COUNTER_MAX`], in a JWS
    /// 1..=[`crate::JWS_COUNTER_MAX`]. It is never used twice.
    pub counter: u64,
    /// The device's clock, in ms since 1970-01-01 UTC; none if it has no clock.
    pub time_ms: Option<i64>,
    /// What the content format says.
    pub payload: &'a [u8],
}

impl Message<'_> {
    pub(crate) fn check(&self) -> Result<(), SealError> {
        self.check_up_to(COUNTER_MAX)
    }

    pub(crate) fn check_up_to(&self, counter_max: u64) -> Result<(), SealError> {
        if self.key_version == 0 {
            return Err(SealError::KeyVersion);
        }
        if !(1..=counter_max).contains(&self.counter) {
            return Err(SealError::Counter);
        }
        if self.time_ms.is_some_and(|time_ms| !(0..=TIME_MAX_MS).contains(&time_ms)) {
            return Err(SealError::Time);
        }
        Ok(())
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A payload is nothing for a log.
        write!(f, "Message(counter {}, {} bytes)", self.counter, self.payload.len())
    }
}

/// Why a message cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key version is 0.
    KeyVersion,
    /// The counter is 0 or greater than the encoding allows.
    Counter,
    /// The time is outside 1970 to 9999, or 0 in a frame, where that means that there is no clock.
    Time,
    /// A JWS has no media type for this content format.
    ContentFormat,
    /// A JWS has no truncated tag.
    Algorithm,
    /// The room given is too small.
    Room,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyVersion => "key versions start at 1",
            Self::Counter => "the counter is 0 or greater than this encoding allows",
            Self::Time => "the time is outside 1970 to 9999",
            Self::ContentFormat => "there is no media type for this content format",
            Self::Algorithm => "a JWS has no truncated tag",
            Self::Room => "the sealed message does not fit into the room given",
        })
    }
}

impl core::error::Error for SealError {}
