//! One connection's way to `ingest`: what its session submits goes out here, and what becomes of it comes back.
//!
//! An envelope counts as received where its packet was parsed. It is submitted as soon as its bytes may be in flight; one that
//! has to wait for that is *held*, and its connection reads nothing meanwhile, so there is never more than one.

use std::sync::Arc;

use super::will::Will;
use super::{Hub, Telemetry};
use crate::ingest::{Budget, Delivery, Inbox, Ingest, Origin, Permit, Receipt, Settled, Share};

/// The way in and back.
pub struct Intake {
    ingest: Ingest,
    share: Share,
    inbox: Arc<Inbox>,
    held: Option<(Telemetry, Receipt)>,
}

impl Intake {
    /// A way of its own for one connection.
    pub fn new(ingest: Ingest, budget: &Budget) -> Self {
        Intake { ingest, share: budget.share(), inbox: Arc::default(), held: None }
    }

    /// Counts an envelope as received, and submits or holds it. Not to be called while one is held.
    pub fn receive(&mut self, telemetry: Telemetry) {
        let receipt = self.ingest.receive(&self.inbox, telemetry.ticket);
        match self.share.try_take(telemetry.payload.len()) {
            Some(permit) => self.submit(telemetry, receipt, permit),
            None => self.held = Some((telemetry, receipt)),
        }
    }

    /// True: an envelope waits for its part of the bytes in flight.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Waits until something has settled or the held envelope could go, and gives back what has settled. Cancel-safe.
    pub async fn settled(&mut self) -> Vec<(u64, Settled)> {
        let held_bytes = self.held.as_ref().map(|(telemetry, _)| telemetry.payload.len());
        tokio::select! {
            () = self.inbox.notified() => {}
            permit = self.share.wait_for(held_bytes.unwrap_or(0)), if held_bytes.is_some() => self.release(permit),
        }
        self.inbox.take()
    }

    /// The connection is over: what is held still goes its way, and then the will. Nobody hears the answers.
    pub async fn finish(mut self, will: Option<Will>, hub: &Hub) {
        if let Some((telemetry, _)) = &self.held {
            let permit = self.share.wait_for(telemetry.payload.len()).await;
            self.release(permit);
        }
        if let Some(will) = will {
            self.publish_will(will, hub).await;
        }
    }

    /// Publishes a will. One on the device's telemetry topic is an envelope like any other.
    pub async fn publish_will(&mut self, will: Will, hub: &Hub) {
        let Some(device_id) = will.telemetry_of else {
            return hub.publish(&Arc::new(will.message), None);
        };
        let payload = will.message.payload;
        let receipt = self.ingest.receive(&Arc::default(), 0);
        let permit = self.share.wait_for(payload.len()).await;
        self.submit(Telemetry { ticket: 0, device_id, payload, origin: Origin::Replay }, receipt, permit);
    }

    fn release(&mut self, permit: Permit) {
        if let Some((telemetry, receipt)) = self.held.take() {
            self.submit(telemetry, receipt, permit);
        }
    }

    fn submit(&self, telemetry: Telemetry, receipt: Receipt, permit: Permit) {
        let Telemetry { device_id, payload, origin, .. } = telemetry;
        self.ingest.submit(Delivery::new(device_id, payload, origin, permit), receipt);
    }
}
