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

/// Messages a second.
#[derive(Default)]
pub(crate) struct Rates {
    /// Of the gateway with all connected.
    pub(crate) with: Vec<f64>,
    /// Of a gateway that never had a crowd.
    pub(crate) without: Vec<f64>,
    /// Of the first one, when all have gone.
    pub(crate) after: Vec<f64>,
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
    pub(crate) rates: Rates,
}

pub(crate) fn run(kind: Kind, connections: usize, options: &Options) -> Result<Measured> {
    // TLS is looked at for its memory alone.
    let rounds = if kind == Kind::Tls { 0 } else { options.rounds };
    let loads: Vec<String> = (0..2 * rounds * LOAD_DEVICES).map(|number| format!("load-{number:04}")).collect();
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

    let rates = if rounds > 0 { rates(&mut crowd, kind, &loads, options)? } else { Rates::default() };
    Ok(Measured { kind, connections, first_time, again, bytes_each, dropped, rates })
}

/// With all connected and without any, in alternating order; then with all gone.
fn rates(crowd: &mut Crowd, kind: Kind, loads: &[Added], options: &Options) -> Result<Rates> {
    let (with, after) = loads.split_at(loads.len() / 2);
    let ids = with.iter().map(|added| added.text("device_id").map(str::to_owned)).collect::<Result<Vec<_>>>()?;
    let (empty, without) = Crowd::gather(kind, 0, &ids)?;
    let mut rates = Rates::default();
    let pairs = with.chunks(LOAD_DEVICES).zip(without.chunks(LOAD_DEVICES));
    for (round, (with, without)) in pairs.enumerate() {
        eprintln!("rates, round {} of {}", round + 1, options.rounds);
        if round % 2 == 0 {
            rates.with.push(rate(crowd, with, options.messages)?);
        }
        rates.without.push(rate(&empty, without, options.messages)?);
        if round % 2 == 1 {
            rates.with.push(rate(crowd, with, options.messages)?);
        }
    }
    eprintln!("they go, and the rates are measured once more");
    crowd.drop_all()?;
    for load in after.chunks(LOAD_DEVICES) {
        rates.after.push(rate(crowd, load, options.messages)?);
    }
    Ok(rates)
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
    let measured = load::run(&fleet, gateway.mqtt()?, LOAD_WINDOW, &gateway.process, Subscriber::None)?;
    ensure!(stored()? - before == fleet.len() as f64, "not all of {} messages are stored", fleet.len());
    Ok(measured.acknowledged as f64 / measured.took.as_secs_f64())
}

fn log_in(crowd: &Crowd, added: &Added) -> Result<Credentials> {
    Ok(Credentials {
        device_id: added.text("device_id")?.to_owned(),
        key: hex::decode(added.text("seal_key")?)?.try_into().ok().context("a key has 32 bytes")?,
        key_version: added.printed["key_version"].as_u64().context("no key_version")?.try_into()?,
        user_name: added.text("device_id")?.to_owned(),
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
