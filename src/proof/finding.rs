//! What does not fit: each said in one line, and named so that a person can look at it.

use serde::Serialize;

use crate::metrics::{Label, label};

/// What kind of thing does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The chain of checkpoints is not whole.
    Chain,
    /// An envelope that a checkpoint speaks of is not there.
    Missing,
    /// An envelope is there that no checkpoint speaks of.
    Added,
    /// An envelope is not what its device sealed, or stands beside other facts than it came with.
    Changed,
    /// Readings are not those of their envelope.
    Readings,
}

label! { Kind as "kind":
    Chain = "chain", Missing = "missing", Added = "added", Changed = "changed", Readings = "readings"
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The checkpoint, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<i64>,
    /// The device by its name, or by its number where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The version of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_version: Option<i64>,
    /// The counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<i64>,
    /// The number of the envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<i64>,
    /// What does not fit.
    pub detail: String,
}

impl Finding {
    /// About a checkpoint.
    pub(super) fn chain(checkpoint: i64, detail: impl Into<String>) -> Finding {
        Finding { checkpoint: Some(checkpoint), ..Finding::new(Kind::Chain, detail) }
    }

    /// About nothing yet.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Finding {
        Finding {
            kind,
            checkpoint: None,
            device_id: None,
            key_version: None,
            counter: None,
            envelope: None,
            detail: detail.into(),
        }
    }

    /// The same as a line for people.
    pub fn line(&self) -> String {
        let numbers = [
            ("checkpoint", self.checkpoint),
            ("key version", self.key_version),
            ("counter", self.counter),
            ("envelope", self.envelope),
        ];
        let named = numbers.iter().filter_map(|(name, number)| number.map(|number| format!(" {name} {number}")));
        let device = self.device_id.as_ref().map(|device_id| format!(" device {device_id}")).unwrap_or_default();
        let place: String = named.collect();
        format!("{}:{device}{place}: {}", self.kind.as_str(), self.detail)
    }
}
