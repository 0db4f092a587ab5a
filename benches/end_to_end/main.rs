//! What the gateway can take, beside the bare insert of the same rows and beside brokers that merely relay.
//!
//! Real sockets on the loopback, sealed envelopes of 200 bytes at QoS 1, a window of 32, 50 devices. What is sent is sealed
//! before the clock starts, so that the client is not what is measured. The gateway, Mosquitto and rumqttd each run in a process
//! of their own, whose processor time is read from the kernel. A round runs all of them one after another; what is printed is
//! the median of the rounds. A run in which a message was refused, or a row is missing, ends with an error and prints no table.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is there to print")]

mod bare;
mod by_hand;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod fair;
mod fleet;
mod gateway;
mod load;
mod paced;
mod place;
mod relay;
mod report;
mod rows;
mod scale;
#[path = "../../tests/gateway/harness/postgres.rs"]
mod server;
mod webhook;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use bare::Way;
use fair::Shape;
use fleet::{Fleet, Plan};
use report::Report;
use sealgate::mqtt::Version;

/// The gateway beside the bare insert and beside brokers that relay: rates, ratio, processor time, latency.
#[derive(Parser)]
#[command(name = "cargo bench --bench end_to_end --")]
struct Options {
    /// Rounds; the median of each figure is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages of each device in a round.
    #[arg(long, default_value_t = 4_000)]
    messages: usize,
    /// Devices, each with a connection of its own.
    #[arg(long, default_value_t = 50)]
    devices: usize,
    /// Messages that a device has on the way.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// Over PostgreSQL.
    #[arg(long)]
    postgres: bool,
    /// What is measured, and nothing else; without it all but `fair` and `backfill`.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// What `cargo bench` and `cargo test` say to each benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be rumqttd on this address instead.
    #[arg(long, hide = true)]
    rumqttd: Option<std::net::SocketAddr>,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The gateway at its greatest rate.
    Gateway,
    /// The bare insert of the same rows.
    Bare,
    /// Brokers that merely relay.
    Relay,
    /// Mosquitto, a subscriber in Python, and PostgreSQL.
    ByHand,
    /// A broker that asks a service about each message.
    Webhook,
    /// Latency at half of the greatest rate, and beside forged messages.
    Paced,
    /// From one device to ten thousand.
    Scale,
    /// What one device at full speed costs the others.
    Fair,
    /// What devices that come back with a backlog cost the others.
    Backfill,
}

/// The most messages of a round: what the process holds sealed in memory, and what the disk takes.
const MESSAGES_MAX: usize = 5_000_000;

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(address) = options.rumqttd {
        return common::peers::be_rumqttd(address);
    }
    if !options.bench {
        // `cargo test --benches` runs it to see that it starts.
        return Ok(());
    }
    let total = options.devices * options.messages;
    ensure!((1..=MESSAGES_MAX).contains(&total), "{total} messages a round are none, or more than {MESSAGES_MAX}");
    ensure!((1..=1_000).contains(&options.devices) && options.window <= 65_535 && options.rounds >= 1, "see --help");
    if options.only.contains(&Part::Fair) {
        fair::measure(Shape::fair(), &options)?;
    }
    if options.only.contains(&Part::Backfill) {
        ensure!(options.devices <= 60, "at most 60 beside those who are live");
        fair::measure(Shape::backfill(&options), &options)?;
    }
    if !options.only.is_empty() && options.only.iter().all(|part| matches!(part, Part::Fair | Part::Backfill)) {
        return Ok(());
    }
    let mut report = Report::default();
    let is_tuned = options.has(Part::Bare) && !options.postgres;
    let ways = if is_tuned { bare::tuned(&options, &mut report)? } else { Vec::new() };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        run_round(&options, &ways, &mut report)?;
    }
    println!(
        "{} rounds of {total} messages: {} devices, {} each, envelopes of {} bytes at QoS 1, window {}",
        options.rounds,
        options.devices,
        options.messages,
        fleet::ENVELOPE_BYTES,
        options.window
    );
    println!("each figure is the median of the rounds\n");
    report.print();
    Ok(())
}

fn run_round(options: &Options, ways: &[Way], report: &mut Report) -> Result<()> {
    let fleet = if options.has(Part::Gateway) { Some(gateway::measure(options, report)?) } else { None };
    if options.has(Part::Bare) {
        bare::measure(options, ways, report)?;
    }
    // What merely relays writes to no database, and what is built by hand to none but PostgreSQL.
    if let Some(fleet) = &fleet
        && options.has(Part::Relay)
        && !options.postgres
    {
        relay::measure(fleet, options, report)?;
    }
    if options.has(Part::ByHand) && options.postgres {
        by_hand::measure(options, report)?;
    }
    if options.has(Part::Webhook) {
        webhook::measure(options, report)?;
    }
    if options.has(Part::Paced) {
        paced::measure(options, report)?;
    }
    if options.has(Part::Scale) {
        scale::measure(options, report)?;
    }
    Ok(())
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.only.contains(&part) || (self.only.is_empty() && !matches!(part, Part::Fair | Part::Backfill))
    }

    /// A fleet of this run's size, with keys that nobody checks.
    fn keyless_fleet(&self, messages: usize, version: Version) -> Result<Fleet> {
        let plan = Plan { version, messages, before: 0, genuine_in: Some(1) };
        Fleet::of(&fleet::Credentials::invented(self.devices), plan)
    }
}
