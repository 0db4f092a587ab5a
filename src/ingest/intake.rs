//! One connection's way into the pipeline: what it brings goes out here, and what becomes of it comes back.
//!
//! A message counts as received when it is handed in. It is submitted as soon as its bytes may be in flight; one that has to wait for
//! that is *held*, and its connection hands in nothing meanwhile, so there is never more than one.

use std::sync::Arc;

use super::{Budget, Delivery, Inbox, Ingest, Receipt, Settled, Share};

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

    /// Counts a message as received, and submits or holds it. Not to be called while one is held.
    pub fn receive(&mut self, ticket: u64, delivery: Delivery) {
        let receipt = self.ingest.receive(&self.inbox, ticket);
        match self.share.try_take(delivery.payload.len()) {
            Some(permit) => self.ingest.submit(delivery, receipt, permit),
            None => self.held = Some(Box::new((delivery, receipt))),
        }
    }

    /// True: a message waits for its part of the bytes in flight.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Waits until something has settled or the held message could go, and gives back what has settled. Cancel-safe.
    pub async fn settled(&mut self) -> Vec<(u64, Settled)> {
        tokio::select! {
            () = self.inbox.notified() => {}
            () = submit_held(&mut self.held, &self.share, &self.ingest), if self.held.is_some() => {}
        }
        self.inbox.take()
    }

    /// The connection is over: what is held still goes its way.
    pub async fn finish(&mut self) {
        submit_held(&mut self.held, &self.share, &self.ingest).await;
    }

    /// Hands in a message of which nobody hears what becomes of it.
    pub async fn receive_unheard(&self, delivery: Delivery) {
        let receipt = self.ingest.receive(&Arc::default(), 0);
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
