//! The name of a device, which exists only if it is one.
//!
//! It goes into topics, file names, SQL and the MAC, so its alphabet leaves no room for a separator, a wildcard or a path.
//! It is a value of fixed size, so that firmware needs no allocator for it.

use core::fmt;
use core::str::FromStr;

/// 1 to 64 bytes of `A-Z a-z 0-9 . _ : -`, and not `.` or `..`. Ordered as its text is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    // The padding is zero, which no device id holds, so that derived equality and order are those of the text.
    bytes: [u8; BYTES_MAX],
    len: u8,
}

impl DeviceId {
    pub(crate) const BYTES_MAX: usize = BYTES_MAX;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(crate) fn padded(&self) -> &[u8; BYTES_MAX] {
        &self.bytes
    }

    /// The number of bytes, as the context of the MAC carries it.
    pub(crate) fn len(&self) -> u8 {
        self.len
    }
}

impl FromStr for DeviceId {
    type Err = BadDeviceId;

    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let mut bytes = [0; BYTES_MAX];
        let len = u8::try_from(text.len()).map_err(|_| BadDeviceId::Length)?;
        let room = bytes.get_mut(..text.len()).ok_or(BadDeviceId::Length)?;
        if text.is_empty() {
            return Err(BadDeviceId::Length);
        }
        if !text.bytes().all(is_allowed) {
            return Err(BadDeviceId::Character);
        }
        if matches!(text, "." | "..") {
            return Err(BadDeviceId::Dots);
        }
        room.copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len })
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.as_str())
    }
}

/// Why a text is no device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDeviceId {
    /// It is empty or longer than 64 bytes.
    Length,
    /// It holds something outside `A-Z a-z 0-9 . _ : -`.
    Character,
    /// It is `.` or `..`, which a path would take for a directory.
    Dots,
}

impl fmt::Display for BadDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a device id has 1 to 64 bytes",
            Self::Character => "a device id holds A-Z a-z 0-9 . _ : - alone",
            Self::Dots => "a device id is not . or ..",
        })
    }
}

impl core::error::Error for BadDeviceId {}

const BYTES_MAX: usize = 64;

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_the_specification_allows_is_an_id() {
        let longest = "d".repeat(64);
        for text in ["a", "plant-7.pump:12", "...", "_", "A.b_C:9-", longest.as_str()] {
            assert_eq!(text.parse::<DeviceId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_none() {
        let too_long = "d".repeat(65);
        let far_too_long = "d".repeat(257);
        for (text, why) in [
            ("", BadDeviceId::Length),
            (too_long.as_str(), BadDeviceId::Length),
            (far_too_long.as_str(), BadDeviceId::Length),
            ("a/b", BadDeviceId::Character),
            ("a+", BadDeviceId::Character),
            ("a\0", BadDeviceId::Character),
            ("ä", BadDeviceId::Character),
            (".", BadDeviceId::Dots),
            ("..", BadDeviceId::Dots),
        ] {
            assert_eq!(text.parse::<DeviceId>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn ids_are_ordered_as_their_text() {
        let id = |text: &str| text.parse::<DeviceId>().unwrap();
        assert!(id("a") < id("a1") && id("a1") < id("b") && id("aa") < id("b"));
    }
}
