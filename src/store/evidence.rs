//! What is in quarantine, as an operator looks at it.
//!
//! A message there has a number, and a later one has a greater number: whoever goes through the quarantine remembers the last number
//! that he saw. A row bears the length of its message and not the message, so that a page of rows is small; the messages are asked
//! for by number. How much there may be is the affair of `quarantine`.

/// A message in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Its number.
    pub id: i64,
    /// The sender as its login said.
    pub device_id: String,
    /// When it came first, Unix ms.
    pub received_at_ms: i64,
    /// Why it was refused.
    pub reason: String,
    /// `frame`, `cose`, `jws` or `unknown`.
    pub encoding: String,
    /// How long it is, in bytes.
    pub len: u64,
}

/// Which messages of the quarantine: those for which all holds that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceFilter {
    /// Of these numbers; empty: of any.
    pub ids: Vec<i64>,
    /// Of numbers up to this one.
    pub id_max: Option<i64>,
    /// Of this device.
    pub device_id: Option<String>,
    /// Refused for this reason.
    pub reason: Option<String>,
    /// Not before this, Unix ms.
    pub since_ms: Option<i64>,
    /// Before this, Unix ms.
    pub until_ms: Option<i64>,
}
