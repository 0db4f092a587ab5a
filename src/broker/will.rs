//! A client's last message, published when its connection ends without a goodbye.
//!
//! One on the device's telemetry topic is an envelope like any other: it goes through `ingest`, and nobody hears the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Hub, Message};
use crate::ingest::{Delivery, Inbox, Ingest, Origin, Share};

/// How often kept sessions are looked through. MQTT counts delays and expiries in seconds.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be published, and where it goes.
pub struct Will {
    /// The message.
    pub message: Message,
    /// Set for telemetry: the device whose it is.
    pub telemetry_of: Option<Arc<str>>,
    /// How long after the end of the connection [MQTT-3.1.3-9].
    pub delay: Duration,
}

/// The driver that ends sessions whose time is over, and publishes the wills whose delay is.
#[expect(clippy::disallowed_methods, reason = "a driver")]
pub async fn publish_wills(hub: Hub, ingest: Ingest, share: Share, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for will in hub.sweep(Instant::now()) {
            will.publish(&hub, &ingest, &share).await;
        }
    }
}

impl Will {
    /// Publishes it; waits only for its part of the bytes that may be in flight.
    pub async fn publish(self, hub: &Hub, ingest: &Ingest, share: &Share) {
        let Some(device_id) = self.telemetry_of else {
            return hub.publish(&Arc::new(self.message), None);
        };
        let payload = self.message.payload;
        let receipt = ingest.receive(&Arc::new(Inbox::default()), 0);
        let permit = share.wait_for(payload.len()).await;
        ingest.submit(Delivery::new(device_id, payload, Origin::Replay, permit), receipt);
    }
}
