//! Why a message is refused: the whole vocabulary.
//!
//! The same words are the metric's label, the quarantine's column and the Reason String of MQTT 5, and their order is the
//! one of the verdicts in a receipt. Mapping them to MQTT's codes is not done here.

use core::fmt;
use core::str::FromStr;

/// Why a message is refused, in the order of the specification's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It is no envelope, or one whose header is out of range.
    Malformed,
    /// It is longer than the limit.
    TooLarge,
    /// A frame's CRC does not fit: damage on the way.
    Corrupt,
    /// The sender is no known device.
    UnknownDevice,
    /// The sender is disabled.
    DeviceDisabled,
    /// The key version is not one that is valid now.
    UnknownKey,
    /// The HMAC does not fit: another key, another device, or a forger.
    BadSeal,
    /// The device's time is further back than the policy allows.
    Stale,
    /// The device's time is further ahead than the policy allows.
    Future,
    /// The payload does not decode as its content format says.
    BadPayload,
    /// The counter was used before with another tag.
    Replayed,
}

impl Reason {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Corrupt,
        Self::UnknownDevice,
        Self::DeviceDisabled,
        Self::UnknownKey,
        Self::BadSeal,
        Self::Stale,
        Self::Future,
        Self::BadPayload,
        Self::Replayed,
    ];

    /// The word of the specification.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Corrupt => "corrupt",
            Self::UnknownDevice => "unknown_device",
            Self::DeviceDisabled => "device_disabled",
            Self::UnknownKey => "unknown_key",
            Self::BadSeal => "bad_seal",
            Self::Stale => "stale",
            Self::Future => "future",
            Self::BadPayload => "bad_payload",
            Self::Replayed => "replayed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl core::error::Error for Reason {}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

/// The word is none of the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReason;

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no reason for a refusal")
    }
}

impl core::error::Error for UnknownReason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert_eq!(reason as usize, place);
        }
        assert_eq!("Malformed".parse::<Reason>(), Err(UnknownReason));
    }
}
