//! What each source of messages delivers into the database: our own edge, brokers of others with the gateway as their subscriber, and
//! rumqttd in the gateway's process. Then one broker both ways: asking a service about each message, and relaying to a gateway that checks.
//!
//! Real sockets on the loopback, sealed envelopes of 200 bytes at QoS 1, sealed and encoded before the clock starts; one gateway process
//! over SQLite with one worker, which publishes nothing back. Each broker is as `tests/broker` sets it up, started anew for each round. The
//! clock stops when the gateway says that it has stored as many messages as were sent. A run in which a message is missing, refused, or
//! stored twice ends with an error and prints no table.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is there to print")]

mod aedes;
#[path = "../../tests/gateway/harness/broker.rs"]
mod broker;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/counts.rs"]
mod counts;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/fleet.rs"]
mod fleet;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/load.rs"]
mod load;
mod measure;
#[path = "../end_to_end/webhook/node.rs"]
mod node;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/place.rs"]
mod place;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/report.rs"]
mod report;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/rows.rs"]
mod rows;
#[path = "../../tests/gateway/harness/postgres.rs"]
mod server;
mod source;

use anyhow::{Result, ensure};
use clap::Parser;

use report::Report;
use source::Name;

/// What each source delivers into the database: rate, processor time of broker and gateway, latency.
#[derive(Parser)]
#[command(name = "cargo bench --features rumqttd --bench sources --")]
struct Options {
    /// Rounds; the median of each figure is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages of each device in a round.
    #[arg(long, default_value_t = 2_000)]
    messages: usize,
    /// Devices, each with a connection of its own.
    #[arg(long, default_value_t = 50)]
    devices: usize,
    /// Messages that a device has on the way.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// What is measured, and nothing else.
    #[arg(long, value_enum)]
    only: Vec<Name>,
    /// What `cargo bench` and `cargo test` say to each benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The most messages of a round: what rumqttd keeps for its reader, in its bytes.
const MESSAGES_MAX: usize = 1_000_000;
/// At 3.1.1 the messages of a device are told apart by their packet identifiers.
const MESSAGES_OF_A_DEVICE_MAX: usize = 65_535;

fn main() -> Result<()> {
    let options = Options::parse();
    if !options.bench {
        // `cargo test --benches` runs it to see that it starts.
        return Ok(());
    }
    let Options { rounds, messages, devices, window, .. } = options;
    let total = devices * messages;
    ensure!((1..=MESSAGES_MAX).contains(&total), "{total} messages a round are none, or more than {MESSAGES_MAX}");
    ensure!(messages <= MESSAGES_OF_A_DEVICE_MAX, "a device has at most {MESSAGES_OF_A_DEVICE_MAX} messages");
    ensure!((1..=1_000).contains(&devices) && (1..=65_535).contains(&window) && rounds >= 1, "see --help");
    let mut report = Report::default();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for source in source::ALL.iter().filter(|source| options.has(source.name)) {
            source::measure(source, &options, &mut report)?;
        }
        if options.has(Name::Aedes) {
            aedes::measure(&options, &mut report)?;
        }
    }
    println!(
        "{rounds} rounds of {total} messages: {devices} devices, {messages} each, envelopes of {} bytes at QoS 1, window {window}",
        fleet::ENVELOPE_BYTES
    );
    println!(
        "one gateway process with one worker, SQLite, source.publish=false; load generator, broker and gateway on one machine"
    );
    println!("each figure is the median of the rounds\n");
    report.print();
    Ok(())
}

impl Options {
    fn has(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }
}
