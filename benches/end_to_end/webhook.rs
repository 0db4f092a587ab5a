//! The webhook way: a broker that asks a service about each message, one HTTP request each, before it acknowledges it.
//!
//! Aedes, which is told to ask, and a service in Node that checks the HMAC. Over PostgreSQL it writes what is genuine; beside the
//! gateway over SQLite it writes nothing, so that what it is held against has done less than the gateway.

pub(crate) mod node;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use sealgate::mqtt::Version;

use super::Options;
use super::common::process::{PATIENCE, now};
use super::load::{self, Subscriber};
use super::place::server_cpu;
use super::report::{Report, micros};
use super::server::{self, Postgres};
use node::CLIENTS;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// It takes some forty times as long as the gateway.
const PART_OF_MESSAGES: usize = 5;
/// What is to be reached, by the specification of this benchmark.
const CPU_PART_SQLITE: f64 = 20.0;
const CPU_PART_POSTGRES: f64 = 15.0;

/// One round of each client; without Node there is none.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let Some(folder) = node::installed()? else {
        eprintln!("npm is not installed, or cannot install Aedes; going on without the webhook way");
        return Ok(());
    };
    CLIENTS.iter().try_for_each(|client| measure_one(options, report, &folder, client))
}

fn measure_one(options: &Options, report: &mut Report, folder: &Path, client: &str) -> Result<()> {
    let server = options.postgres.then(|| Postgres::start(&[]));
    let url = server.as_ref().map(Postgres::schema);
    let (service_port, service) = node::start(folder, "service.mjs", url.as_slice())?;
    let (port, broker) = node::start(folder, "broker.mjs", &[service_port.to_string(), client.to_owned()])?;
    ensure!(options.messages <= 65_535, "messages of a device are told apart by their packet identifiers");
    let fleet = Arc::new(options.keyless_fleet(options.messages.div_ceil(PART_OF_MESSAGES), Version::V311)?);
    let cpu = || {
        let server = url.as_deref().map_or(Ok(Duration::ZERO), server_cpu)?;
        Ok::<_, anyhow::Error>(server + broker.cpu()? + service.cpu()?)
    };
    let (before, began) = (cpu()?, now());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    load::run(&fleet, address, options.window, &broker, Subscriber::None)?;
    let count = |url: &str| server::run(url, "SELECT count(*) FROM hook_envelope").parse::<usize>();
    while let Some(url) = &url
        && count(url)? < fleet.len()
    {
        ensure!(now() < began + load::RUN_MAX + PATIENCE, "{} of {} messages are stored", count(url)?, fleet.len());
        std::thread::sleep(LOOK_INTERVAL);
    }
    let rate = fleet.len() as f64 / (now() - began).as_secs_f64();
    let micros = micros(cpu()?.saturating_sub(before), fleet.len());
    let gateway = report.gateway;
    let (part, where_to) = match options.postgres {
        true => (CPU_PART_POSTGRES, "into PostgreSQL"),
        false => (CPU_PART_SQLITE, "which is checked and not written"),
    };
    let section = report.section(&format!("webhook: Aedes, a request for each message by Node's {client}, {where_to}"));
    section.line("verified", rate, "messages/s", "");
    section.line("processor time, all of them", micros, "µs/message", "");
    if let Some(gateway) = gateway {
        section.line("gateway's rate / webhook", gateway.rate / rate, "", "");
        section.line("webhook's time / gateway's", micros / gateway.micros, "", &format!("goal: at least {part}"));
    }
    Ok(())
}
