//! The way by hand: Mosquitto, and a subscriber in Python that checks each seal and inserts into PostgreSQL.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sealgate::mqtt::Version;

use super::Options;
use super::common::peers::mosquitto;
use super::common::process::{PATIENCE, Process, Scratch, now};
use super::load::{self, Subscriber};
use super::place::server_cpu;
use super::report::{Report, micros};
use super::server::{self, Postgres};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/end_to_end/by_hand.py");
/// Python's lock lets one of them work at a time; two, because one waits for the database meanwhile.
const WORKERS: &str = "2";
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A run may take so long, from the first message to the last row.
const RUN_MAX: Duration = Duration::from_secs(300);
/// What is to be reached, by the specification of this benchmark.
const RATE_MIN: f64 = 8.0;
const CPU_MAX: f64 = 0.2;
/// Else it is not the way of a good engineer.
const PEER_RATE_MIN: f64 = 8_900.0;

/// One round; without Mosquitto there is none.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let scratch = Scratch::new("end_to_end", "by-hand")?;
    let server = Postgres::start(&[]);
    let url = server.schema();
    let Some((address, broker)) = mosquitto(&scratch)? else { return Ok(()) };
    let mut command = Command::new("/usr/bin/python3");
    command.arg(PROGRAM).args([&address.ip().to_string(), &address.port().to_string(), &url]).arg(WORKERS);
    let mut subscriber = Process::start(command.stdout(Stdio::piped()))?;
    let mut line = String::new();
    BufReader::new(subscriber.0.stdout.take().context("it is a pipe")?).read_line(&mut line)?;
    ensure!(line == "ready\n", "the subscriber needs Debian's python3-paho-mqtt and python3-psycopg2");
    let fleet = Arc::new(options.keyless_fleet(options.messages, Version::V5)?);
    let cpu = || Ok::<_, anyhow::Error>(server_cpu(&url)? + broker.cpu()? + subscriber.cpu()?);
    let (before, began) = (cpu()?, now());
    load::run(&fleet, address, options.window, &broker, Subscriber::None)?;
    let deadline = began + RUN_MAX + PATIENCE;
    let count = || server::run(&url, "SELECT count(*) FROM hand_envelope").parse::<usize>();
    while count()? < fleet.len() {
        ensure!(now() < deadline, "{} of {} messages are stored", count()?, fleet.len());
        std::thread::sleep(LOOK_INTERVAL);
    }
    let rate = fleet.len() as f64 / (now() - began).as_secs_f64();
    let micros = micros(cpu()?.saturating_sub(before), fleet.len());
    let gateway = report.gateway;
    let section = report.section("by hand: Mosquitto, Python, COPY into PostgreSQL");
    section.line("verified and committed", rate, "messages/s", &format!("a peer from {PEER_RATE_MIN} on"));
    section.line("processor time, all of them", micros, "µs/message", "");
    if let Some(gateway) = gateway {
        section.line("gateway's rate / by hand", gateway.rate / rate, "", &format!("goal: at least {RATE_MIN}"));
        section.line("gateway's time / by hand", gateway.micros / micros, "", &format!("goal: at most {CPU_MAX}"));
    }
    Ok(())
}
