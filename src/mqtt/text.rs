//! A string as MQTT has it: UTF-8, without U+0000, at most 65,535 bytes.
//!
//! It is a slice of the buffer that it came in, so that a packet is decoded without a copy of its strings. Whoever
//! keeps one for longer than the packet keeps that whole buffer too, and should keep [`Text::detached`] instead. This
//! module does not know what a string means; topics and filters are `topic`'s affair.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use thiserror::Error;

/// An MQTT string. Cheap to clone; reads as a `str`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(ByteString);

/// Why some bytes are no MQTT string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    /// [MQTT-1.5.4-1]
    #[error("the string is not UTF-8")]
    NotUtf8,
    /// [MQTT-1.5.4-2]
    #[error("the string holds U+0000")]
    HasNul,
    /// The two bytes of the length hold no more.
    #[error("the string is longer than 65535 bytes")]
    TooLong,
}

impl Text {
    /// A text that is written in the code.
    ///
    /// # Panics
    ///
    /// If `text` is no MQTT string; in a `const`, that does not compile.
    pub const fn from_static(text: &'static str) -> Text {
        assert!(text.len() <= BYTES_MAX, "a static text is at most 65535 bytes long");
        let mut place = 0;
        while place < text.len() {
            assert!(text.as_bytes()[place] != 0, "a static text holds no U+0000");
            place += 1;
        }
        Text(ByteString::from_static(text))
    }

    /// The text as a `str`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy that has its own memory and no longer keeps the buffer alive that this text came in.
    pub fn detached(&self) -> Text {
        Text(ByteString::from(self.as_str()))
    }

    /// Copies of this text and of `rest` in one piece of memory of their own.
    pub(super) fn detached_with(&self, rest: &[u8]) -> (Text, Bytes) {
        let mut both = BytesMut::with_capacity(self.len() + rest.len());
        both.extend_from_slice(self.as_bytes());
        both.extend_from_slice(rest);
        let rest = both.split_off(self.len());
        let text = ByteString::try_from(both.freeze()).expect("the copy of a text is one");
        (Text(text), rest.freeze())
    }

    /// The part of this text that `part` is, without a copy. `part` is borrowed from this text.
    pub(super) fn slice_ref(&self, part: &str) -> Text {
        Text(self.0.slice_ref(part))
    }
}

impl TryFrom<ByteString> for Text {
    type Error = TextError;

    fn try_from(text: ByteString) -> Result<Text, TextError> {
        if text.len() > BYTES_MAX {
            return Err(TextError::TooLong);
        }
        if text.as_bytes().contains(&0) {
            return Err(TextError::HasNul);
        }
        Ok(Text(text))
    }
}

impl TryFrom<Bytes> for Text {
    type Error = TextError;

    fn try_from(bytes: Bytes) -> Result<Text, TextError> {
        ByteString::try_from(bytes).map_err(|_| TextError::NotUtf8)?.try_into()
    }
}

impl TryFrom<&str> for Text {
    type Error = TextError;

    fn try_from(text: &str) -> Result<Text, TextError> {
        ByteString::from(text).try_into()
    }
}

impl TryFrom<String> for Text {
    type Error = TextError;

    fn try_from(text: String) -> Result<Text, TextError> {
        ByteString::from(text).try_into()
    }
}

impl FromStr for Text {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Text, TextError> {
        text.try_into()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The greatest length of an MQTT string: its length is sent in two bytes.
pub const BYTES_MAX: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &'static [u8]) -> Result<Text, TextError> {
        Bytes::from_static(bytes).try_into()
    }

    #[test]
    fn a_text_is_utf8_without_nul() {
        assert_eq!(text("käfer".as_bytes()).unwrap(), "käfer");
        assert_eq!(text(b""), Ok(Text::default()));
        assert_eq!(text(b"a\0b"), Err(TextError::HasNul)); // [MQTT-1.5.4-2]
        assert_eq!(text(b"\xff"), Err(TextError::NotUtf8)); // [MQTT-1.5.4-1]
        assert_eq!(text(b"\xed\xa0\x80"), Err(TextError::NotUtf8)); // a surrogate, [MQTT-1.5.4-1]
    }

    #[test]
    fn the_byte_order_mark_is_a_character() {
        assert_eq!(text(b"\xef\xbb\xbfa").unwrap().as_str(), "\u{feff}a"); // [MQTT-1.5.4-3]
    }

    #[test]
    fn a_text_is_as_long_as_two_bytes_can_say() {
        assert!(Text::try_from("a".repeat(65_535)).is_ok());
        assert_eq!(Text::try_from("a".repeat(65_536)), Err(TextError::TooLong));
    }

    #[test]
    fn a_map_of_texts_is_asked_with_a_str() {
        let names = std::collections::HashMap::from([(Text::from_static("a"), 1)]);
        assert_eq!(names.get("a"), Some(&1));
    }
}
