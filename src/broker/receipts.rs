//! The driver that publishes what devices are told about their messages: `devices/{id}/receipts`, QoS 1, not retained.
//!
//! A receipt that finds no room is not waited for, and neither is a device that is away: who is told nothing sends again, and is told
//! that the message is a duplicate.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Hub, Message};
use crate::ingest::{Due, Notary};
use crate::mqtt::QoS;
use crate::mqtt::topic::Topic;

/// Publishes every batch until the pipeline has ended.
pub(super) async fn publish_receipts(hub: Hub, mut notary: Notary) {
    while let Some(batch) = notary.next().await {
        for due in &batch {
            publish(&hub, &notary, due);
        }
    }
}

/// Nothing is sealed that nobody hears.
fn publish(hub: &Hub, notary: &Notary, due: &Due) {
    let Ok(topic) = Topic::new(format!("devices/{}/receipts", due.device_id())) else { return };
    if !hub.is_heard(&topic) {
        return;
    }
    for frame in notary.seal(due, now_ms()) {
        hub.publish(&Arc::new(Message::plain(topic.clone(), frame, QoS::AtLeastOnce)), None);
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever publishes receipts is a driver")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
