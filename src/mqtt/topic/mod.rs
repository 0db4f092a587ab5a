//! Topic names and topic filters, which exist only if they are valid.
//!
//! Two questions are answered here, for routing and for authorisation alike: does a filter match a name, and does one
//! filter cover all that another can match. Who may use which is `auth`'s affair, and how many subscriptions are
//! searched quickly is `broker`'s.

mod filter;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

pub use filter::Filter;

use super::text::{Text, TextError};

/// A topic name: at least one byte, no wildcards, at most [`LEVELS_MAX`] levels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Text);

/// Why a text is no topic name or no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// It is no MQTT string in the first place.
    #[error(transparent)]
    Text(#[from] TextError),
    /// [MQTT-4.7.3-1]
    #[error("the topic is empty")]
    Empty,
    /// A `+` or `#` in a topic name, or in a filter where it is not a whole level, or a `#` that is not the last.
    /// [MQTT-3.3.2-2], [MQTT-4.7.1-1], [MQTT-4.7.1-2]
    #[error("a wildcard stands where none may")]
    Wildcard,
    /// `$share/` without a name, with a wildcard in it, or without a filter after it. [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    #[error("the shared subscription has no name or no filter")]
    Share,
    /// More than [`LEVELS_MAX`] levels. The text is valid MQTT; this gateway does not take it.
    #[error("the topic has more than {LEVELS_MAX} levels")]
    TooDeep,
}

/// The greatest number of levels of a name or filter (the prefix of a shared subscription does not count). The standard
/// has no limit but the length of a string, at which a tree of subscriptions is 65,536 deep (CVE-2019-11779); the
/// figure is mosquitto's.
pub const LEVELS_MAX: usize = 200;

impl Topic {
    /// A topic name of `text`, without a copy if it is a [`Text`].
    pub fn new<T>(text: T) -> Result<Topic, TopicError>
    where
        T: TryInto<Text>,
        TopicError: From<T::Error>,
    {
        let text = text.try_into()?;
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.contains(['+', '#']) {
            return Err(TopicError::Wildcard); // [MQTT-3.3.2-2], [MQTT-4.7.0-1]
        }
        let levels = text.split('/').count();
        if levels > LEVELS_MAX { Err(TopicError::TooDeep) } else { Ok(Topic(text)) }
    }

    /// The name as a `str`.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name as the string that it is in a packet.
    pub fn as_text(&self) -> &Text {
        &self.0
    }

    /// The levels, at least one; a level may be empty.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.as_str().split('/')
    }

    /// Whether this name is out of reach for a filter that begins with a wildcard. [MQTT-4.7.2-1]
    pub fn is_dollar(&self) -> bool {
        self.as_str().starts_with('$')
    }

    /// A copy that has its own memory, as [`Text::detached`] has it.
    pub fn detached(&self) -> Topic {
        Topic(self.0.detached())
    }

    /// The same, with a copy of `payload` in the same piece of memory: they are kept and dropped together.
    pub fn detached_with(&self, payload: &[u8]) -> (Topic, Bytes) {
        let (text, payload) = self.0.detached_with(payload);
        (Topic(text), payload)
    }
}

impl From<std::convert::Infallible> for TopicError {
    fn from(never: std::convert::Infallible) -> TopicError {
        match never {}
    }
}

impl Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Topic, TopicError> {
        Topic::new(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_wildcards_and_is_not_empty() {
        for name in ["a", "/", "//", "a b", "$SYS/x", "ä/ö"] {
            assert_eq!(Topic::new(name).unwrap().as_str(), name);
        }
        assert_eq!(Topic::new(""), Err(TopicError::Empty)); // [MQTT-4.7.3-1]
        for name in ["+", "#", "a/+", "a+", "a/#/b"] {
            assert_eq!(Topic::new(name), Err(TopicError::Wildcard), "{name}"); // [MQTT-3.3.2-2]
        }
        assert_eq!(Topic::new("a\0"), Err(TopicError::Text(TextError::HasNul))); // [MQTT-4.7.3-2]
    }

    #[test]
    fn depth_has_a_bound() {
        assert!(Topic::new("/".repeat(LEVELS_MAX - 1)).is_ok());
        assert_eq!(Topic::new("/".repeat(LEVELS_MAX)), Err(TopicError::TooDeep));
    }
}
