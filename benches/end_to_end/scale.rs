//! How the rate changes with the number of devices, and the memory of the gateway with the most of them.
//!
//! As many messages are on the way in all, and are sent in all, whether by one device or by ten thousand. A device's first messages, for
//! which its keys are fetched, are sent before the clock starts.

use std::sync::Arc;

use anyhow::Result;
use sealgate::mqtt::Version;

use super::Options;
use super::fleet::{Fleet, Plan};
use super::load::{self, Subscriber};
use super::place::Place;
use super::report::Report;

const DEVICES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// On the way, of all devices together.
const WINDOW: usize = 10_000;
/// Messages of each device before the clock starts.
const FIRST: usize = 2;
/// The paces of one connection must not bound a device that sends all by itself.
const SETTINGS: [&str; 3] =
    ["edge.receive_maximum=10000", "edge.messages_per_second_max=10000000", "edge.bytes_per_second_max=4294967296"];
/// The least rate is at least this part of the greatest, by the specification of this benchmark.
const LEAST_MIN: f64 = 0.8;

/// One round.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let total = options.devices * options.messages;
    let mut rates = Vec::new();
    let mut memory = Default::default();
    let section = report.section("by number of devices, 10,000 messages on the way in all");
    for devices in DEVICES {
        let place = Place::new("scale", options.postgres)?;
        let (gateway, credentials) = place.serve(devices, &SETTINGS)?;
        let window = WINDOW / devices;
        let run = |messages, before| {
            let fleet = Arc::new(Fleet::of(
                &credentials,
                Plan { version: Version::V5, messages, before, genuine_in: Some(1) },
            )?);
            load::run(&fleet, gateway.mqtt()?, window, &gateway.process, Subscriber::None)
        };
        run(FIRST, 0)?;
        let measured = run(total.div_ceil(devices), FIRST)?;
        let of = if devices == 1 { "device" } else { "devices" };
        section.line(&format!("{devices} {of}"), measured.rate(), "messages/s", "");
        section.line(&format!("{devices} {of}, gateway"), measured.server_micros(), "µs/message", "");
        rates.push(measured.rate());
        memory = gateway.process.memory()?;
    }
    let (least, greatest) =
        rates.iter().fold((f64::MAX, 0.0_f64), |(least, greatest), rate| (least.min(*rate), greatest.max(*rate)));
    section.line("least rate / greatest", least / greatest, "", &format!("goal: at least {LEAST_MIN}"));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    section.line("10000 devices, resident", mib(memory.resident), "MiB", "");
    section.line("10000 devices, peak", mib(memory.peak), "MiB", "");
    Ok(())
}
