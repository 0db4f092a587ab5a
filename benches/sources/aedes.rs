//! One broker both ways: Aedes, which asks a service about each message and acknowledges what is genuine, and Aedes, which asks nobody and
//! relays to the gateway, which checks each message and stores it.
//!
//! The service checks the HMAC and writes nothing, so the second way is held against one that does less.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealgate::mqtt::Version;

use super::Options;
use super::counts::Delivery;
use super::fleet::{Credentials, Fleet, Plan};
use super::load::{self, Subscriber};
use super::measure::{self, Entry, QUANTILES, Relay, Run};
use super::node::{self, CLIENTS};
use super::report::{Report, micros};
use super::source::{MQTT, QUIET, UNSHARED, V311};

/// A way in which each message is asked about, in the round at hand.
struct Asking {
    client: &'static str,
    rate: f64,
    /// Processor time of all, in microseconds of a message.
    micros: f64,
}

/// One round of both; without Node there is none.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let Some(folder) = node::installed()? else {
        eprintln!("npm is not installed, or cannot install Aedes: it is left out");
        return Ok(());
    };
    let ask = |client: &&'static str| ask(client, &folder, options, report).context("Aedes, webhook");
    let asking = CLIENTS.iter().map(ask).collect::<Result<Vec<_>>>()?;
    check(&asking, &folder, options, report)
}

fn ask(client: &'static str, folder: &Path, options: &Options, report: &mut Report) -> Result<Asking> {
    let (service_port, service) = node::start(folder, "service.mjs", &[])?;
    let (port, broker) = node::start(folder, "broker.mjs", &[service_port.to_string(), client.to_owned()])?;
    let plan = Plan { version: Version::V311, messages: options.messages, before: 0, genuine_in: Some(1) };
    let fleet = Arc::new(Fleet::of(&Credentials::invented(options.devices), plan)?);
    let before = (broker.cpu()?, service.cpu()?);
    let measured = load::run(&fleet, local(port), options.window, &broker, Subscriber::None)?;
    let broker = micros(broker.cpu()?.saturating_sub(before.0), fleet.len());
    let service = micros(service.cpu()?.saturating_sub(before.1), fleet.len());

    let asking = Asking { client, rate: measured.rate(), micros: broker + service };
    let section = report.section(&format!("Aedes, which asks a service about each message by Node's {client}"));
    section.line("verified, not stored", asking.rate, "messages/s", "");
    section.line("processor time, broker", broker, "µs/message", "");
    section.line("processor time, service", service, "µs/message", "");
    section.line("processor time, both", asking.micros, "µs/message", "");
    section.latencies(&measured.latencies, &QUANTILES, "verified, not stored");
    Ok(asking)
}

fn check(asking: &[Asking], folder: &Path, options: &Options, report: &mut Report) -> Result<()> {
    let (port, broker) = node::start(folder, "broker.mjs", &[])?;
    let title = "Aedes, which asks nobody; the gateway checks; worker at MQTT 3.1.1, not shared";
    let run = Run {
        title,
        version: Version::V311,
        messages: options.messages,
        entry: Entry::Relay(Relay { address: local(port), pid: broker.0.id(), account: None }),
        delivery: Delivery::AtLeastOnce,
    };
    let url = format!("source.url=mqtt://{}", local(port));
    let figures = measure::measure(&run, &[MQTT, QUIET, V311, UNSHARED, &url], options)?;
    let section = report.section(title);
    figures.show(section, "received, in the broker's memory");
    section.line("processor time, both", figures.micros(), "µs/message", "");
    for Asking { client, rate, micros } in asking {
        section.line(&format!("rate / webhook by {client}"), figures.rate / rate, "", "");
        section.line(&format!("webhook by {client}, time / this"), micros / figures.micros(), "", "");
    }
    Ok(())
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
