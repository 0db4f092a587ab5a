//! The law of the counts: what a gateway says that it received, and what became of it.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};

/// How often a message may come to the gateway.
#[derive(Clone, Copy)]
pub(crate) enum Delivery {
    Once,
    /// A broker may deliver again what it has not seen acknowledged; it is stored once.
    #[allow(dead_code, reason = "no broker delivers in some benchmarks")]
    AtLeastOnce,
}

/// The series of that name, without what all of them begin with.
pub(crate) fn count(scraped: &HashMap<String, f64>, name: &str) -> Result<f64> {
    scraped.get(&format!("sealgate_ingest_{name}")).copied().with_context(|| format!("/metrics has no {name}"))
}

/// Everything was stored, and the law holds.
pub(crate) fn check(scraped: &HashMap<String, f64>, sent: f64, delivery: Delivery) -> Result<()> {
    let count = |name: &str| count(scraped, name);
    let (received, stored, again) = (count("received_total")?, count("stored_total")?, count("duplicate_total")?);
    let others = ["rejected_total", "dropped_total", "in_flight"].map(count);
    let others: f64 = others.into_iter().sum::<Result<f64>>()?;
    let may_come_again = matches!(delivery, Delivery::AtLeastOnce);
    ensure!(
        received == sent + again && stored == sent && others == 0.0 && (again == 0.0 || may_come_again),
        "sent {sent}, received {received}, stored {stored}, received again {again}, anything else {others}"
    );
    Ok(())
}
