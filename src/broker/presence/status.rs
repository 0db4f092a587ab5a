//! What is told of a device, and its forms: JSON for subscribers, a row for the database.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Serialize;

use crate::broker::{Ending, Message};
use crate::metrics::{Label, label};
use crate::mqtt::topic::{Topic, TopicError};
use crate::mqtt::{PassedOn, PublishProperties, QoS, Text, Version};
use crate::store::PresenceRow;

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum State {
    /// It is connected, or was until a moment ago.
    Online,
    /// It is not.
    Offline,
}

label! { State as "state": Online = "online", Offline = "offline" }

/// Why a device is in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has connected.
    Connected,
    /// Its connection ended.
    Ended(Ending),
    /// It was online when the gateway before this one ended, and has not come back to this one.
    GatewayRestarted,
}

/// What is known of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: State,
    /// When the state began, Unix ms.
    pub(super) since_ms: i64,
    pub(super) reason: Reason,
    /// Of its connection, or of the last one.
    pub(super) address: SocketAddr,
    /// The same.
    pub(super) version: Version,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Reason::Connected => "connected",
            Reason::Ended(ending) => ending.as_str(),
            Reason::GatewayRestarted => "gateway_restarted",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let endings = Ending::ALL.iter().map(|ending| Reason::Ended(*ending));
        [Reason::Connected, Reason::GatewayRestarted].into_iter().chain(endings).find(|reason| reason.as_str() == text)
    }
}

/// The JSON, its keys in this order.
#[derive(Serialize)]
struct Told {
    state: &'static str,
    since: i64,
    reason: &'static str,
    address: SocketAddr,
    version: &'static str,
}

impl Status {
    /// The message that tells it.
    pub(super) fn message(&self, device_id: &str) -> Result<Message, TopicError> {
        let told = Told {
            state: self.state.as_str(),
            since: self.since_ms,
            reason: self.reason.as_str(),
            address: self.address,
            version: version_text(self.version),
        };
        // Without the room that it grew in: it is kept for as long as the device is known.
        let payload = Bytes::from(serde_json::to_vec(&told).unwrap_or_default().into_boxed_slice());
        let topic = Topic::new(format!("devices/{device_id}/status").as_str())?;
        Ok(Message { retain: true, properties: JSON.clone(), ..Message::plain(topic, payload, QoS::AtLeastOnce) })
    }

    /// As it is saved.
    pub(super) fn row(&self, device_id: Arc<str>) -> PresenceRow {
        PresenceRow {
            device_id,
            state: Cow::Borrowed(self.state.as_str()),
            since_ms: self.since_ms,
            reason: Cow::Borrowed(self.reason.as_str()),
            address: self.address.to_string(),
            version: Cow::Borrowed(version_text(self.version)),
            is_elsewhere: false,
        }
    }

    /// As it was saved; none: by other hands, or by a version that had other words.
    pub(super) fn of_row(row: &PresenceRow) -> Option<Self> {
        Some(Status {
            state: *State::ALL.iter().find(|state| state.as_str() == row.state)?,
            since_ms: row.since_ms,
            reason: Reason::parse(&row.reason)?,
            address: row.address.parse().ok()?,
            version: *VERSIONS.iter().find(|version| version_text(**version) == row.version)?,
        })
    }
}

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn version_text(version: Version) -> &'static str {
    match version {
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

/// What MQTT 5 says of each status; all share it.
static JSON: LazyLock<PublishProperties> = LazyLock::new(|| {
    let content_type = Some(Text::from_static("application/json"));
    PublishProperties::from(PassedOn { payload_is_utf8: Some(true), content_type, ..PassedOn::default() })
});

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reason: Reason, address: &str, version: Version) -> Status {
        let state = if reason == Reason::Connected { State::Online } else { State::Offline };
        Status { state, since_ms: 1_700_000_000_123, reason, address: address.parse().unwrap(), version }
    }

    #[test]
    fn a_status_is_told_in_json_and_retained() {
        let message = status(Reason::Connected, "[2001:db8::7]:4711", Version::V5).message("pump").unwrap();
        assert_eq!(message.topic.as_str(), "devices/pump/status");
        assert_eq!(
            message.payload,
            r#"{"state":"online","since":1700000000123,"reason":"connected","address":"[2001:db8::7]:4711","version":"5.0"}"#
        );
        assert_eq!((message.retain, message.qos), (true, QoS::AtLeastOnce));
    }

    #[test]
    fn a_status_comes_back_from_its_row_whatever_the_reason() {
        let endings = Ending::ALL.iter().map(|ending| Reason::Ended(*ending));
        for reason in [Reason::Connected, Reason::GatewayRestarted].into_iter().chain(endings) {
            for version in VERSIONS {
                let status = status(reason, "192.0.2.1:50000", version);
                assert_eq!(Status::of_row(&status.row("pump".into())), Some(status));
            }
        }
        let other = PresenceRow {
            reason: "bored".into(),
            ..status(Reason::Connected, "1.2.3.4:5", Version::V5).row("a".into())
        };
        assert_eq!(Status::of_row(&other), None);
    }
}
