//! The gateway under load: in a process of its own, on an empty database, and looked at afterwards.

use std::sync::Arc;

use anyhow::Result;

use super::Options;
use super::counts::{self, Delivery};
use super::fleet::Fleet;
use super::load::{self, Measured, Subscriber};
use super::place::Place;
use super::report::{Report, Standard, micros};

/// At most so much of the gateway's time for a message over SQLite, by the specification of this benchmark.
const CPU_MICROS_MAX: f64 = 10.0;

/// One round of the gateway; gives the fleet back, for those who are to relay the same bytes.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<Arc<Fleet>> {
    let place = Place::new("gateway", options.postgres)?;
    let (gateway, credentials) = place.serve(options.devices, &[])?;
    let fleet = Arc::new(Fleet::seal(&credentials, options.messages)?);
    let before = place.server_cpu()?;
    let measured = load::run(&fleet, gateway.mqtt()?, options.window, &gateway.process, Subscriber::None)?;
    let server_cpu = place.server_cpu()?.saturating_sub(before);

    let scraped = gateway.scrape()?;
    counts::check(&scraped, fleet.len() as f64, Delivery::Once)?;
    let batch = fleet.len() as f64 / scraped["sealgate_ingest_batch_messages_count"];
    drop(gateway);
    place.check_rows(fleet.len())?;
    show(options, report, &measured, batch, micros(server_cpu, fleet.len()));
    Ok(fleet)
}

fn show(options: &Options, report: &mut Report, measured: &Measured, batch: f64, server_micros: f64) {
    let section = report.section(if options.postgres { "gateway over PostgreSQL" } else { "gateway" });
    section.line("verified and committed", measured.rate(), "messages/s", "");
    if options.postgres {
        section.line("processor time, gateway", measured.server_micros(), "µs/message", "");
        section.line("processor time, PostgreSQL", server_micros, "µs/message", "");
    } else {
        let goal = format!("goal: at most {CPU_MICROS_MAX}, and at most Mosquitto's");
        section.line("processor time", measured.server_micros(), "µs/message", &goal);
    }
    section.latencies(&measured.latencies, &[0.5, 0.99], "");
    section.line("messages of a commit, mean", batch, "messages", "");
    section.line("load generator", micros(measured.own_cpu, measured.acknowledged), "µs/message", "not counted above");
    report.gateway = Some(Standard { rate: measured.rate(), micros: measured.server_micros() + server_micros });
}
