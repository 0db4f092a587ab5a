//! The gateway under load: in a process of its own, on an empty data directory, and looked at afterwards.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

use super::Options;
use super::common::gateway::{Added, House};
use super::common::process::Scratch;
use super::fleet::{Credentials, Fleet, name};
use super::load::{self, Subscriber};
use super::report::Report;
use super::rows;

/// One round of the gateway; gives the fleet back, for those who are to relay the same bytes.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<Arc<Fleet>> {
    let scratch = Scratch::new("end_to_end", "gateway")?;
    let house = House::new(&scratch)?;
    let added = house.add_devices(&(0..options.devices).map(name).collect::<Vec<_>>())?;
    let gateway = house.serve(&[])?;
    let credentials = added.iter().map(|added| log_in(added, gateway.public)).collect::<Result<Vec<_>>>()?;
    let fleet = Arc::new(Fleet::seal(&credentials, options.messages)?);
    let measured = load::run(&fleet, gateway.mqtt, options.window, &gateway.process, Subscriber::None)?;

    let scraped = gateway.scrape()?;
    check_counts(&scraped, fleet.len() as f64)?;
    report.batches.push(fleet.len() as f64 / scraped["sealgate_ingest_batch_messages_count"]);
    drop(gateway);
    rows::check(&house.database(), fleet.len())?;
    report.gateway.push(measured);
    Ok(fleet)
}

pub(crate) fn log_in(added: &Added, public: SocketAddr) -> Result<Credentials> {
    Ok(Credentials {
        device_id: added.text("device_id")?.to_owned(),
        key: hex::decode(added.text("seal_key")?)?.try_into().ok().context("a key has 32 bytes")?,
        key_version: added.printed["key_version"].as_u64().context("no key_version")?.try_into()?,
        token: added.token(public)?,
    })
}

/// Everything was stored, and the law of the counts holds.
pub(crate) fn check_counts(scraped: &HashMap<String, f64>, sent: f64) -> Result<()> {
    let count = |name: &str| {
        scraped.get(&format!("sealgate_ingest_{name}")).copied().with_context(|| format!("/metrics has no {name}"))
    };
    let (received, stored) = (count("received_total")?, count("stored_total")?);
    let others = ["duplicate_total", "rejected_total", "dropped_total", "in_flight"].map(count);
    let others: f64 = others.into_iter().sum::<Result<f64>>()?;
    ensure!(
        received == sent && stored == sent && others == 0.0,
        "sent {sent}, received {received}, stored {stored}, anything else {others}"
    );
    Ok(())
}
