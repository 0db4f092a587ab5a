//! The way by hand: Mosquitto, and a subscriber in Python that checks each seal and inserts into PostgreSQL.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::Options;
use super::super::common::peers::mosquitto;
use super::super::common::process::{PATIENCE, Process, Scratch, now};
use super::super::load::{self, Subscriber};
use super::server::{self, Postgres};
use super::server_cpu;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/end_to_end/postgres/hand_built.py");
/// Python's lock lets one of them work at a time; two, because one waits for the database meanwhile.
const WORKERS: &str = "2";
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A run may take so long, from the first message to the last row.
const RUN_MAX: Duration = Duration::from_secs(300);

/// What one run came to.
pub(crate) struct Ran {
    /// Messages that were committed in a second.
    pub(crate) rate: f64,
    /// Of broker, subscriber and database together, for each message.
    pub(crate) cpu: Duration,
}

/// None: Mosquitto is not installed.
pub(crate) fn run(options: &Options) -> Result<Option<Ran>> {
    let scratch = Scratch::new("end_to_end", "hand-built")?;
    let server = Postgres::start(&[]);
    let url = server.schema();
    let Some((address, broker)) = mosquitto(&scratch)? else { return Ok(None) };
    let mut command = Command::new("/usr/bin/python3");
    command.arg(PROGRAM).args([&address.ip().to_string(), &address.port().to_string(), &url]).arg(WORKERS);
    let mut subscriber = Process::start(command.stdout(Stdio::piped()))?;
    let mut line = String::new();
    BufReader::new(subscriber.0.stdout.take().context("it is a pipe")?).read_line(&mut line)?;
    ensure!(line == "ready\n", "the subscriber needs Debian's python3-paho-mqtt and python3-psycopg2");
    let fleet = Arc::new(options.keyless_fleet()?);
    let cpu = || Ok::<_, anyhow::Error>(server_cpu(&url)? + broker.cpu()? + subscriber.cpu()?);
    let (before, began) = (cpu()?, now());
    load::run(&fleet, address, options.window, &broker, Subscriber::None)?;
    let deadline = began + RUN_MAX + PATIENCE;
    let count = || server::run(&url, "SELECT count(*) FROM hand_envelope").parse::<usize>();
    while count()? < fleet.len() {
        ensure!(now() < deadline, "{} of {} messages are stored", count()?, fleet.len());
        std::thread::sleep(LOOK_INTERVAL);
    }
    let took = now() - began;
    let cpu = cpu()?.saturating_sub(before) / u32::try_from(fleet.len())?;
    Ok(Some(Ran { rate: fleet.len() as f64 / took.as_secs_f64(), cpu }))
}
