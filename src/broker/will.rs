//! A client's last message, published when its connection ends without a goodbye.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Broker, Message};

/// How often kept sessions are looked through. MQTT counts delays and expiries in seconds.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be published, and when.
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
pub async fn publish_wills(broker: Broker, stop: CancellationToken) {
    let mut intake = broker.intake();
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for will in broker.hub.sweep(Instant::now()) {
            intake.publish_will(will, &broker.hub).await;
        }
    }
}
