//! What goes into a commit, and what comes out of it.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// One message, as ingest judged it.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Opened and decoded: to be stored, unless its counter was used before.
    Accepted(Accepted),
    /// Refused: to be kept for the operator.
    Refused(Refused),
}

impl Entry {
    /// Bytes of the message.
    pub fn size(&self) -> usize {
        match self {
            Entry::Accepted(accepted) => accepted.bytes.len(),
            Entry::Refused(refused) => refused.bytes.len(),
        }
    }

    /// The counter that decides about it, if one does.
    pub(super) fn seen(&self) -> Option<Seen> {
        match self {
            Entry::Accepted(accepted) => Some(accepted.seen),
            Entry::Refused(refused) => refused.unless_stored,
        }
    }
}

/// What makes two envelopes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// [`super::Device::row`].
    pub device: i64,
    /// The version of the key that sealed it.
    pub key_version: u8,
    /// Its counter.
    pub counter: i64,
    /// Its tag, which stands for every authenticated byte.
    pub tag: Tag,
}

/// The tag of an envelope, at most 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag {
    len: u8,
    bytes: [u8; Tag::LEN_MAX],
}

impl Tag {
    /// As long as HMAC-SHA-256 makes it.
    pub const LEN_MAX: usize = 32;

    /// `None` if it is longer than [`Tag::LEN_MAX`].
    pub fn new(tag: &[u8]) -> Option<Tag> {
        let mut bytes = [0; Tag::LEN_MAX];
        bytes.get_mut(..tag.len())?.copy_from_slice(tag);
        Some(Tag { len: tag.len() as u8, bytes })
    }

    pub(super) fn empty() -> Tag {
        Tag { len: 0, bytes: [0; Tag::LEN_MAX] }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

/// A verified message.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The sender.
    pub device_id: Arc<str>,
    /// What makes it the same as another.
    pub seen: Seen,
    /// The device's clock, Unix ms; `None` if it has none.
    pub device_time_ms: Option<i64>,
    /// The gateway's clock, Unix ms.
    pub received_at_ms: i64,
    /// `frame`, `cose` or `jws`.
    pub encoding: &'static str,
    /// The CoAP content-format of the payload.
    pub content_format: u16,
    /// The envelope as it came.
    pub bytes: Bytes,
    /// What the payload says.
    pub readings: Vec<Reading>,
}

/// A message that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The sender as its login says.
    pub device_id: Arc<str>,
    /// The gateway's clock, Unix ms.
    pub received_at_ms: i64,
    /// Why.
    pub reason: &'static str,
    /// `frame`, `cose`, `jws` or `unknown`.
    pub encoding: &'static str,
    /// The message as it came.
    pub bytes: Bytes,
    /// If this very envelope is stored, it is a duplicate and not refused: so for what is stale, from the future or under an
    /// unknown key.
    pub unless_stored: Option<Seen>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub name: String,
    /// In which unit.
    pub unit: Option<String>,
    /// When, Unix ms.
    pub time_ms: i64,
    /// The value; a SenML record may have a sum alone.
    pub value: Option<Value>,
    /// The SenML sum.
    pub sum: Option<f64>,
}

impl Reading {
    /// What stands in the columns `value` and `text`.
    pub fn value_and_text(&self) -> (Option<f64>, Option<&str>) {
        match &self.value {
            None => (None, None),
            Some(Value::Number(number)) => (Some(*number), None),
            Some(Value::Boolean(true)) => (None, Some("true")),
            Some(Value::Boolean(false)) => (None, Some("false")),
            Some(Value::String(text) | Value::Data(text)) => (None, Some(text)),
        }
    }
}

/// A measured value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Kept in `value`.
    Number(f64),
    /// Kept in `text`.
    String(String),
    /// Kept in `text`, as `true` or `false`.
    Boolean(bool),
    /// Bytes in base64url, kept in `text`.
    Data(String),
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored now.
    Stored,
    /// The same envelope was stored before; nothing was written.
    Duplicate,
    /// Its counter was used by another envelope.
    Replayed(Kept),
    /// Its counter is not above the floor under which retention has forgotten what was used.
    Forgotten(Kept),
    /// It came as refused, and stays so.
    Refused(Kept),
    /// The database refused the row for its content.
    BadPayload(Kept),
}

/// Whether the quarantine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It has.
    Quarantined,
    /// Not written: a bound of the quarantine is reached, or the database refuses even the quarantined row.
    OverBound,
}
