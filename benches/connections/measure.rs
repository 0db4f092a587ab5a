//! What is done to a crowd, in which order, and read meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Options;
use super::common::gateway::Added;
use super::common::process::now;
use super::crowd::{Crowd, Kind};
use super::fleet::{Credentials, Fleet};
use super::load::{self, Subscriber};

/// The load of `end_to_end`.
const LOAD_DEVICES: usize = 50;
const LOAD_WINDOW: usize = 32;
/// What the gateway does for itself after the last one has come, before it is asked for its memory.
const REST: Duration = Duration::from_secs(2);

/// What it took to connect some.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) connections: usize,
    pub(crate) took: Duration,
    /// Of the gateway's process; of a pipe's gateway the clients' too.
    pub(crate) cpu: Duration,
}

/// Once through all connections.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) first_tenth: Cost,
    pub(crate) last_tenth: Cost,
    pub(crate) all: Cost,
}

/// All figures of a crowd.
pub(crate) struct Measured {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    pub(crate) first_time: Entry,
    pub(crate) again: Entry,
    /// Resident memory, for each connection.
    pub(crate) bytes_each: f64,
    pub(crate) dropped: Duration,
    /// Messages a second.
    pub(crate) rates_with: Vec<f64>,
    pub(crate) rates_without: Vec<f64>,
}

pub(crate) fn run(kind: Kind, connections: usize, options: &Options) -> Result<Measured> {
    // Rates come in pairs; TLS is looked at for its memory alone.
    let pairs = if kind == Kind::Tls { 0 } else { options.rounds };
    let loads: Vec<String> = (0..pairs * 2 * LOAD_DEVICES).map(|number| format!("load-{number:04}")).collect();
    eprintln!("{connections} devices are added and fetch their tokens");
    let (mut crowd, loads) = Crowd::gather(kind, connections, &loads)?;

    eprintln!("they connect");
    let before = crowd.gateway.process.memory()?.resident;
    let first_time = enter(&mut crowd)?;
    std::thread::sleep(REST);
    let bytes_each = (crowd.gateway.process.memory()?.resident as f64 - before as f64) / connections as f64;

    eprintln!("they drop, and connect again");
    let began = now();
    crowd.drop_all()?;
    let dropped = now() - began;
    let again = enter(&mut crowd)?;

    let (mut rates_with, mut rates_without) = (Vec::new(), Vec::new());
    let mut loads = loads.chunks(LOAD_DEVICES);
    for round in 0..pairs {
        eprintln!("rates, round {} of {pairs}", round + 1);
        for _ in 0..2 {
            let load = loads.next().context("there are devices for each load")?;
            let connected = crowd.count()? > 0;
            let rate = rate(&crowd, load, options.messages)?;
            if connected { &mut rates_with } else { &mut rates_without }.push(rate);
            // With, without, without, with: the order alternates.
            match (rates_with.len() + rates_without.len()) % 4 {
                1 => crowd.drop_all()?,
                3 => _ = enter(&mut crowd)?,
                _ => {}
            }
        }
    }
    Ok(Measured { kind, connections, first_time, again, bytes_each, dropped, rates_with, rates_without })
}

/// All connect; the first tenth and the last are timed apart.
fn enter(crowd: &mut Crowd) -> Result<Entry> {
    let (all, tenth) = (crowd.connections, crowd.connections / 10);
    let first_tenth = connect(crowd, tenth)?;
    let middle = connect(crowd, all - 2 * tenth)?;
    let last_tenth = connect(crowd, tenth)?;
    let count = crowd.count()?;
    ensure!(count == all, "{count} of {all} are connected");
    Ok(Entry { first_tenth, last_tenth, all: first_tenth.and(middle).and(last_tenth) })
}

fn connect(crowd: &mut Crowd, connections: usize) -> Result<Cost> {
    let (began, cpu) = (now(), crowd.gateway.process.thread_cpu()?);
    crowd.connect(connections)?;
    Ok(Cost { connections, took: now() - began, cpu: crowd.gateway.process.thread_cpu()? - cpu })
}

/// What is verified and committed in a second, by devices that have sent nothing before.
fn rate(crowd: &Crowd, load: &[Added], messages: usize) -> Result<f64> {
    let credentials: Vec<Credentials> = load.iter().map(|added| log_in(crowd, added)).collect::<Result<_>>()?;
    let fleet = Arc::new(Fleet::seal(&credentials, messages)?);
    let gateway = &crowd.gateway;
    let stored = || -> Result<f64> { Ok(gateway.scrape()?["sealgate_ingest_stored_total"]) };
    let before = stored()?;
    let measured = load::run(&fleet, gateway.mqtt, LOAD_WINDOW, &gateway.process, Subscriber::None)?;
    ensure!(stored()? - before == fleet.len() as f64, "not all of {} messages are stored", fleet.len());
    Ok(measured.acknowledged as f64 / measured.took.as_secs_f64())
}

fn log_in(crowd: &Crowd, added: &Added) -> Result<Credentials> {
    Ok(Credentials {
        device_id: added.text("device_id")?.to_owned(),
        key: hex::decode(added.text("seal_key")?)?.try_into().ok().context("a key has 32 bytes")?,
        key_version: added.printed["key_version"].as_u64().context("no key_version")?.try_into()?,
        token: added.token(crowd.gateway.public)?,
    })
}

impl Cost {
    fn and(self, other: Cost) -> Cost {
        Cost {
            connections: self.connections + other.connections,
            took: self.took + other.took,
            cpu: self.cpu + other.cpu,
        }
    }

    /// Microseconds of processor time for each.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.connections as f64
    }

    /// Microseconds that passed for each.
    pub(crate) fn micros(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / self.connections as f64
    }
}
