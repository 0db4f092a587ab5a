//! Brokers that neither verify nor store: the same publishers, the same bytes, and one subscriber that gets them all.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealgate::mqtt::QoS;

use super::Options;
use super::common::peers::{mosquitto, rumqttd};
use super::common::process::Scratch;
use super::fleet::Fleet;
use super::load::{self, Subscriber};
use super::report::Report;

/// One round of each relay.
pub(crate) fn measure(fleet: &Arc<Fleet>, options: &Options, report: &mut Report) -> Result<()> {
    let bare = Arc::new(fleet.without_tokens());
    for (name, qos) in [("QoS 0", QoS::AtMostOnce), ("QoS 1", QoS::AtLeastOnce)] {
        let scratch = Scratch::new("end_to_end", "mosquitto")?;
        if let Some((address, process)) = mosquitto(&scratch)? {
            let measured =
                load::run(&bare, address, options.window, &process, Subscriber::At(qos)).context("Mosquitto")?;
            report.relays.entry(format!("Mosquitto, subscriber at {name}")).or_default().push(measured);
        } else {
            eprintln!("Mosquitto is not installed (Debian: apt-get install mosquitto); going on without it");
        }
        let (address, process) = rumqttd()?;
        let measured = load::run(&bare, address, options.window, &process, Subscriber::At(qos)).context("rumqttd")?;
        report.relays.entry(format!("rumqttd, subscriber at {name}")).or_default().push(measured);
    }
    Ok(())
}
