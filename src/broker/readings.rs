//! The driver that publishes what was verified: `readings/{device}`, QoS 0, after the commit.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Hub, Message};
use crate::ingest::{Verified, content};
use crate::mqtt::QoS;
use crate::mqtt::topic::Topic;

/// Publishes every batch until the pipeline has ended.
pub(super) async fn publish_readings(hub: Hub, mut verified: mpsc::Receiver<Vec<Verified>>) {
    while let Some(batch) = verified.recv().await {
        for message in batch.iter().filter_map(message) {
            hub.publish(&Arc::new(message), None);
        }
    }
}

fn message(verified: &Verified) -> Option<Message> {
    let topic = Topic::new(format!("readings/{}", verified.device_id)).ok()?;
    let payload = content::to_senml_json(&verified.readings);
    Some(Message::plain(topic, Bytes::from(payload), QoS::AtMostOnce))
}
