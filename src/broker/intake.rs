//! One connection's way to `ingest`: what its session submits goes out here, and what becomes of it comes back.
//!
//! An envelope counts as received where its packet was parsed. It is submitted as soon as its bytes may be in flight; one that
//! has to wait for that is *held*, and its connection reads nothing meanwhile, so there is never more than one.

use std::sync::Arc;

use super::will::Will;
use super::{Hub, Telemetry};
use crate::ingest::{Budget, Delivery, Inbox, Ingest, Origin, Receipt, Settled, Share};

/// The way in and back.
pub struct Intake {
    ingest: Ingest,
    share: Share,
    inbox: Arc<Inbox>,
    /// In a box, for most connections hold none.
    held: Option<Box<(Delivery, Receipt)>>,
}

impl Intake {
    /// A way of its own for one connection.
    pub fn new(ingest: Ingest, budget: &Budget) -> Self {
        Intake { ingest, share: budget.share(), inbox: Arc::default(), held: None }
    }

    /// Counts an envelope as received, and submits or holds it. Not to be called while one is held.
    pub fn receive(&mut self, telemetry: Telemetry) {
        let receipt = self.ingest.receive(&self.inbox, telemetry.ticket);
        let delivery = Delivery::new(telemetry.device_id, telemetry.payload, telemetry.origin);
        match self.share.try_take(delivery.payload.len()) {
            Some(permit) => self.ingest.submit(delivery, receipt, permit),
            None => self.held = Some(Box::new((delivery, receipt))),
        }
    }

    /// True: an envelope waits for its part of the bytes in flight.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Waits until something has settled or the held envelope could go, and gives back what has settled. Cancel-safe.
    pub async fn settled(&mut self) -> Vec<(u64, Settled)> {
        tokio::select! {
            () = self.inbox.notified() => {}
            () = submit_held(&mut self.held, &self.share, &self.ingest), if self.held.is_some() => {}
        }
        self.inbox.take()
    }

    /// The connection is over: what is held still goes its way, and then the will. Nobody hears the answers.
    pub async fn finish(mut self, will: Option<Will>, hub: &Hub) {
        submit_held(&mut self.held, &self.share, &self.ingest).await;
        if let Some(will) = will {
            self.publish_will(will, hub).await;
        }
    }

    /// Publishes a will. One on the device's telemetry topic is an envelope like any other.
    pub async fn publish_will(&mut self, will: Will, hub: &Hub) {
        let Some(device_id) = will.telemetry_of else {
            return hub.publish(&Arc::new(will.message), None);
        };
        let receipt = self.ingest.receive(&Arc::default(), 0);
        let delivery = Delivery::new(device_id, will.message.payload, Origin::Replay);
        let permit = self.share.wait_for(delivery.payload.len()).await;
        self.ingest.submit(delivery, receipt, permit);
    }
}

/// Submits what is held when its bytes may be in flight. Until then it stays held, so that dropping the future loses nothing.
async fn submit_held(held: &mut Option<Box<(Delivery, Receipt)>>, share: &Share, ingest: &Ingest) {
    let Some(next) = held else { return };
    let permit = share.wait_for(next.0.payload.len()).await;
    if let Some(next) = held.take() {
        let (delivery, receipt) = *next;
        ingest.submit(delivery, receipt, permit);
    }
}
