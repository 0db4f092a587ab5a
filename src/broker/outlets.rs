//! What leaves the pipeline for whoever has subscribed to it.

use super::Hub;
use super::readings::publish_readings;
use super::receipts::publish_receipts;
use crate::ingest::Outlets;

/// Publishes everything that comes out until the pipeline has ended. Receipts and readings do not wait for each other; if one of the
/// two ends by itself, so does this.
pub async fn publish_outlets(hub: Hub, outlets: Outlets) {
    let Outlets { verified, notary } = outlets;
    let readings = tokio::spawn(publish_readings(hub.clone(), verified));
    let receipts = tokio::spawn(publish_receipts(hub, notary));
    let _ = tokio::try_join!(readings, receipts);
}
