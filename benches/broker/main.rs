//! What the broker can pass on, beside Mosquitto and rumqttd: many publishers to one subscriber, and one publisher to many.
//!
//! Real sockets on the loopback, messages of 200 bytes, encoded before the clock starts. Each server runs in a process of its own,
//! is started anew for each measurement, and is asked for its processor time and its memory; a round runs all of them one after
//! another, and what is printed is the median of the rounds. A run in which the gateway has not delivered each message that it
//! acknowledged ends with an error. `--quiet` measures what a server costs that has nearly nothing to do.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is there to print")]

#[path = "../common/mod.rs"]
mod common;
mod load;
mod publisher;
mod quiet;
mod report;
mod server;
mod subscriber;

use anyhow::{Result, ensure};
use clap::Parser;

use load::Shape;
use report::Report;
use server::Kind;

/// The broker beside Mosquitto and rumqttd: rates, losses, processor time, memory.
#[derive(Parser)]
#[command(name = "cargo bench --bench broker --")]
struct Options {
    /// Rounds; the median of each figure is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages of each publisher in fan-in, or to each subscriber in fan-out.
    #[arg(long, default_value_t = 8_000)]
    messages: usize,
    /// Publishers in fan-in, subscribers in fan-out.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Messages that a publisher has on the way.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// These servers alone.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// These shapes alone.
    #[arg(long, value_enum)]
    shape: Vec<Shape>,
    /// Measure servers that have nearly nothing to do.
    #[arg(long)]
    quiet: bool,
    /// How long each measurement of `--quiet` takes.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What `cargo bench` and `cargo test` say to each benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be rumqttd on this address instead.
    #[arg(long, hide = true)]
    rumqttd: Option<std::net::SocketAddr>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(address) = options.rumqttd {
        return common::peers::be_rumqttd(address);
    }
    if !options.bench {
        // `cargo test --benches` runs it to see that it starts.
        return Ok(());
    }
    ensure!((1..=1000).contains(&options.clients) && (1..=65_535).contains(&options.window), "see --help");
    ensure!(options.rounds >= 1 && options.messages >= 1 && options.seconds >= 1, "see --help");
    if options.quiet {
        return quiet::measure(&options);
    }
    let mut report = Report::new(&options);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for shape in options.shapes() {
            for kind in options.kinds() {
                if let Some(measured) = load::measure(kind, shape, &options)? {
                    report.add(shape, kind, measured);
                }
            }
        }
    }
    report.print();
    report.check()
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        chosen(&self.only, [Kind::Gateway, Kind::Mosquitto, Kind::Rumqttd])
    }

    fn shapes(&self) -> Vec<Shape> {
        chosen(&self.shape, [Shape::FanIn0, Shape::FanIn1, Shape::FanOut0, Shape::FanOut1])
    }
}

fn chosen<T: Copy + PartialEq, const N: usize>(wanted: &[T], all: [T; N]) -> Vec<T> {
    all.into_iter().filter(|one| wanted.is_empty() || wanted.contains(one)).collect()
}
