//! Brokers that neither verify nor store: the same publishers, the same bytes, and one subscriber that gets them all.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealgate::mqtt::QoS;

use super::Options;
use super::common::peers::{mosquitto, rumqttd};
use super::common::process::Scratch;
use super::fleet::Fleet;
use super::load::{self, Measured, Subscriber};
use super::report::Report;

/// One round of each relay.
pub(crate) fn measure(fleet: &Arc<Fleet>, options: &Options, report: &mut Report) -> Result<()> {
    let bare = Arc::new(fleet.without_tokens());
    for (name, qos) in [("QoS 0", QoS::AtMostOnce), ("QoS 1", QoS::AtLeastOnce)] {
        let scratch = Scratch::new("end_to_end", "mosquitto")?;
        if let Some((address, process)) = mosquitto(&scratch)? {
            let measured =
                load::run(&bare, address, options.window, &process, Subscriber::At(qos)).context("Mosquitto")?;
            show(report, &format!("merely relayed: Mosquitto, subscriber at {name}"), &measured);
        } else {
            eprintln!("Mosquitto is not installed (Debian: apt-get install mosquitto); going on without it");
        }
        let (address, process) = rumqttd()?;
        let measured = load::run(&bare, address, options.window, &process, Subscriber::At(qos)).context("rumqttd")?;
        show(report, &format!("merely relayed: rumqttd, subscriber at {name}"), &measured);
    }
    Ok(())
}

fn show(report: &mut Report, title: &str, measured: &Measured) {
    let of = format!("of {}", measured.acknowledged);
    let section = report.section(title);
    section.line("acknowledged", measured.rate(), "messages/s", "");
    section.line("reached the subscriber", measured.relayed.unwrap_or(0) as f64, "messages", &of);
    section.line("processor time", measured.server_micros(), "µs/message", "");
    section.latencies(&measured.latencies, &[0.5, 0.99], "");
}
