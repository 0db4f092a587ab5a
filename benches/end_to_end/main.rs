//! What the gateway can take, beside the bare insert of the same rows and beside brokers that merely relay.
//!
//! Real sockets on the loopback, sealed envelopes of 200 bytes at QoS 1, a window of 32, 50 devices. What is sent is sealed
//! before the clock starts, so that the client is not what is measured. The gateway, Mosquitto and rumqttd each run in a process
//! of their own, whose processor time is read from the kernel. A round runs all of them one after another; what is printed is
//! the median of the rounds. A run in which a message was refused, or a row is missing, ends with an error and prints no table.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is there to print")]

mod bare;
#[path = "../common/mod.rs"]
mod common;
mod fair;
mod fleet;
mod gateway;
mod load;
mod postgres;
mod relay;
mod report;
mod rows;

use anyhow::{Result, ensure};
use clap::Parser;

use bare::Way;
use fair::Shape;
use fleet::Fleet;
use report::Report;

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
    /// The gateway alone, for a profiler: no bare insert, no relays.
    #[arg(long)]
    gateway_only: bool,
    /// The bare insert alone.
    #[arg(long, conflicts_with = "gateway_only")]
    bare_only: bool,
    /// What one device at full speed costs the others, and nothing else.
    #[arg(long, conflicts_with_all = ["gateway_only", "bare_only"])]
    fair: bool,
    /// What devices that come back with a backlog cost the others, and nothing else.
    #[arg(long, conflicts_with_all = ["gateway_only", "bare_only", "fair"])]
    backfill: bool,
    /// Over PostgreSQL, beside the bare insert of the same rows into the same tables and into the plainest ones.
    #[arg(long, conflicts_with_all = ["bare_only", "fair", "backfill"])]
    postgres: bool,
    /// What `cargo bench` and `cargo test` say to each benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be rumqttd on this address instead.
    #[arg(long, hide = true)]
    rumqttd: Option<std::net::SocketAddr>,
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
    ensure!((1..=99).contains(&options.devices) && options.window <= 65_535 && options.rounds >= 1, "see --help");
    if options.fair {
        return fair::measure(Shape::fair(), &options);
    }
    if options.backfill {
        ensure!(options.devices <= 60, "at most 60 beside those who are live");
        return fair::measure(Shape::backfill(&options), &options);
    }
    if options.postgres {
        return postgres::measure(&options);
    }
    let mut report = Report::new(total, &options);
    let ways = if options.gateway_only { Vec::new() } else { bare::tuned(&options, &mut report)? };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        run_round(&options, &ways, &mut report)?;
    }
    report.print();
    Ok(())
}

fn run_round(options: &Options, ways: &[Way], report: &mut Report) -> Result<()> {
    if options.bare_only {
        return ways.iter().try_for_each(|way| bare::measure(options, way, report));
    }
    let fleet = gateway::measure(options, report)?;
    for way in ways {
        bare::measure(options, way, report)?;
    }
    if !options.gateway_only {
        relay::measure(&fleet, options, report)?;
    }
    Ok(())
}

impl Options {
    /// A fleet of this run's size, with keys that nobody checks.
    fn keyless_fleet(&self) -> Result<Fleet> {
        Fleet::seal(&fleet::Credentials::invented(self.devices), self.messages)
    }
}
