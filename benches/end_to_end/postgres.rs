//! The gateway over PostgreSQL, beside the bare insert of the same rows: into the gateway's own tables, and into the plainest ones that
//! hold the same facts; and beside the way by hand, a broker with a subscriber that checks and inserts.
//!
//! The server is Debian's, started for this run with its own settings as they are shipped. The bare insert is by binary COPY through the
//! Unix socket, which is the fastest way that the server has, one transaction for as many messages as the fleet can have on the way,
//! from one connection and from two. Processor time is that of all processes: the gateway's, the server's and all its backends'.

mod bare;
mod hand_built;
#[path = "../../tests/gateway/harness/postgres.rs"]
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Options;
use super::common::gateway::House;
use super::common::process::Scratch;
use super::fleet::{Fleet, name};
use super::gateway::{check_counts, log_in};
use super::load::{self, Measured, Subscriber};
use super::report::{line, median, micros, quantile, rate, server_micros};
use bare::Tables;
use server::Postgres;

/// What is to be reached, by the specification of this benchmark.
const RATIO_MIN: f64 = 0.6;
const PLAINEST_RATIO_MIN: f64 = 0.7;
const HAND_BUILT_RATIO_MIN: f64 = 8.0;
const HAND_BUILT_CPU_MAX: f64 = 0.2;

/// Measures and prints.
pub(crate) fn measure(options: &Options) -> Result<()> {
    let (mut runs, mut batches, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    let mut by_hand = Vec::new();
    let mut bare: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let gateway = measure_gateway(options)?;
        runs.push(gateway.measured);
        batches.push(gateway.batch);
        servers.push(gateway.server_cpu);
        if options.gateway_only {
            continue;
        }
        by_hand.extend(hand_built::run(options)?);
        for tables in [Tables::Ours, Tables::Plainest] {
            for connections in [1, 2] {
                let took = bare::run(options, tables, connections)?;
                bare.entry(format!("{tables}, connections: {connections}")).or_default().push(took);
            }
        }
    }
    println!(
        "{} rounds, {} devices, {} messages each, window {}",
        options.rounds, options.devices, options.messages, options.window
    );
    println!("each figure is the median of the rounds\n");
    println!("gateway over PostgreSQL");
    let total = options.devices * options.messages;
    line("verified and committed", rate(&runs), "messages/s", "");
    line("processor time, gateway", server_micros(&runs), "µs/message", "");
    line("processor time, PostgreSQL", median(servers.iter().map(|cpu| micros(*cpu, total))), "µs/message", "");
    line("PUBLISH to PUBACK, p50", quantile(&runs, 0.50), "ms", "");
    line("PUBLISH to PUBACK, p99", quantile(&runs, 0.99), "ms", "");
    line("messages of a commit, mean", median(batches.into_iter()), "messages", "");
    println!();
    if !by_hand.is_empty() {
        println!("by hand: Mosquitto, Python, COPY into PostgreSQL");
        let (hand_rate, hand_cpu) =
            (median(by_hand.iter().map(|ran| ran.rate)), median(by_hand.iter().map(|ran| micros(ran.cpu, 1))));
        let cpu = server_micros(&runs) + median(servers.iter().map(|cpu| micros(*cpu, total)));
        line("verified and committed", hand_rate, "messages/s", "");
        line("processor time, all of them", hand_cpu, "µs/message", "");
        let goal = format!("goal: at least {HAND_BUILT_RATIO_MIN}");
        line("gateway's rate / by hand", rate(&runs) / hand_rate, "", &goal);
        line("gateway's time / by hand", cpu / hand_cpu, "", &format!("goal: at most {HAND_BUILT_CPU_MAX}"));
        println!();
    }
    for (way, rates) in &bare {
        println!("bare insert: {way}");
        let inserted = median(rates.iter().copied());
        line("inserted and committed", inserted, "messages/s", "");
        let goal = if way.starts_with("plainest") { PLAINEST_RATIO_MIN } else { RATIO_MIN };
        line("gateway / bare insert", rate(&runs) / inserted, "", &format!("goal: at least {goal}"));
        println!();
    }
    Ok(())
}

struct Run {
    measured: Measured,
    /// Mean messages of a commit.
    batch: f64,
    server_cpu: Duration,
}

fn measure_gateway(options: &Options) -> Result<Run> {
    let scratch = Scratch::new("end_to_end", "postgres")?;
    let server = Postgres::start(&[]);
    let mut house = House::new(&scratch)?;
    let url = server.schema();
    house.url = Some(url.clone());
    let added = house.add_devices(&(0..options.devices).map(name).collect::<Vec<_>>())?;
    let gateway = house.serve(&[])?;
    let credentials = added.iter().map(|added| log_in(added, gateway.public)).collect::<Result<Vec<_>>>()?;
    let fleet = Arc::new(Fleet::seal(&credentials, options.messages)?);
    let before = server_cpu(&url)?;
    let measured = load::run(&fleet, gateway.mqtt, options.window, &gateway.process, Subscriber::None)?;
    let server_cpu = server_cpu(&url)?.saturating_sub(before);
    let scraped = gateway.scrape()?;
    check_counts(&scraped, fleet.len() as f64)?;
    for (table, rows) in [("seen", 1), ("envelope", 1), ("reading", 2), ("envelopes", 1), ("readings", 2)] {
        let found: usize = server::run(&url, &format!("SELECT count(*) FROM {table}")).parse()?;
        ensure!(found == fleet.len() * rows, "{table} has {found} rows of {} messages", fleet.len());
    }
    Ok(Run { measured, batch: fleet.len() as f64 / scraped["sealgate_ingest_batch_messages_count"], server_cpu })
}

/// Processor time of a server: of its first process, of those that it has, and of those that it had.
fn server_cpu(url: &str) -> Result<Duration> {
    let folder = server::run(url, "SHOW data_directory");
    let pid_file = fs::read_to_string(format!("{folder}/postmaster.pid"))?;
    let postmaster = pid_file.lines().next().context("it has a number")?.to_owned();
    let mut ticks = 0;
    for process in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(process?.path().join("stat")) else { continue };
        // The name, in brackets, may hold anything: the state and the parent follow it (proc(5)).
        let Some((head, fields)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let is_first = head.split(' ').next() == Some(&postmaster);
        if is_first || fields.get(1) == Some(&postmaster.as_str()) {
            let of_the_ended = if is_first { 2 } else { 0 };
            ticks += fields[11..13 + of_the_ended].iter().map(|field| field.parse::<u32>().unwrap_or(0)).sum::<u32>();
        }
    }
    Ok(Duration::from_millis(10) * ticks)
}
