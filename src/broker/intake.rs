//! One connection's way to `ingest`: envelopes, and wills, of which one may be an envelope.

use std::sync::Arc;

use super::will::Will;
use super::{Hub, Telemetry};
use crate::ingest::{self, Budget, Delivery, Ingest, Origin, Settled};

/// The way in and back.
pub struct Intake(ingest::Intake);

impl Intake {
    /// A way of its own for one connection.
    pub fn new(ingest: Ingest, budget: &Budget) -> Self {
        Intake(ingest::Intake::new(ingest, budget))
    }

    /// Counts an envelope as received, and submits or holds it. Not to be called while one is held.
    pub fn receive(&mut self, telemetry: Telemetry) {
        self.0.receive(telemetry.ticket, Delivery::new(telemetry.device_id, telemetry.payload, telemetry.origin));
    }

    /// True: an envelope waits for its part of the bytes in flight.
    pub fn is_holding(&self) -> bool {
        self.0.is_holding()
    }

    /// Waits until something has settled or the held envelope could go, and gives back what has settled. Cancel-safe.
    pub async fn settled(&mut self) -> Vec<(u64, Settled)> {
        self.0.settled().await
    }

    /// The connection is over: what is held still goes its way, and then the will. Nobody hears the answers.
    pub async fn finish(mut self, will: Option<Will>, hub: &Hub) {
        self.0.finish().await;
        if let Some(will) = will {
            self.publish_will(will, hub).await;
        }
    }

    /// Publishes a will. One on the device's telemetry topic is an envelope like any other.
    pub async fn publish_will(&mut self, will: Will, hub: &Hub) {
        let Some(device_id) = will.telemetry_of else {
            return hub.publish(&Arc::new(will.message), None);
        };
        self.0.receive_unheard(Delivery::new(device_id, will.message.payload, Origin::Replay)).await;
    }
}
