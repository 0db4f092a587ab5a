//! One run of a fleet into a gateway, by whichever way its messages come: the clock, the processors and the counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use sealgate::mqtt::Version;

use super::Options;
use super::common::gateway::Gateway;
use super::common::process::{PATIENCE, cpu_of, now};
use super::counts::{self, Delivery};
use super::fleet::{Credentials, Fleet, Plan};
use super::load::{self, Measured, RUN_MAX, Subscriber};
use super::place::Place;
use super::report::{Section, micros};

/// Of the times from PUBLISH to PUBACK.
pub(crate) const QUANTILES: [f64; 2] = [0.5, 0.99];
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The threads of rumqttd in the gateway's process, as far as the kernel keeps their names: its router, and its listener at 3.1.1.
const EMBEDDED_THREADS: [&str; 2] = ["router-0", "rumqttd-v4"];

/// What is run.
pub(crate) struct Run<'r> {
    pub(crate) title: &'r str,
    /// What devices speak.
    pub(crate) version: Version,
    /// Of each device.
    pub(crate) messages: usize,
    pub(crate) entry: Entry,
    pub(crate) delivery: Delivery,
}

/// Where devices go.
pub(crate) enum Entry {
    /// To the gateway's own door.
    Edge,
    /// To the broker in its process.
    Embedded,
    /// To another process.
    Relay(Relay),
}

/// A broker in a process of its own.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// None: it lets everybody in.
    pub(crate) account: Option<Account>,
}

/// Under which all come in.
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What was measured.
pub(crate) struct Figures {
    /// Verified and committed messages in a second.
    pub(crate) rate: f64,
    /// Microseconds of a message; none where there is no broker.
    pub(crate) broker: Option<f64>,
    pub(crate) gateway: f64,
    measured: Measured,
    /// Messages of a commit.
    batch: f64,
    /// Messages that the broker has delivered once more; none where it cannot.
    again: Option<f64>,
}

/// Processor time of broker and gateway.
#[derive(Clone, Copy)]
struct Spent {
    broker: Duration,
    gateway: Duration,
}

/// One round.
pub(crate) fn measure(run: &Run<'_>, settings: &[&str], options: &Options) -> Result<Figures> {
    let figures = measure_round(run, settings, options);
    figures.with_context(|| run.title.to_owned())
}

fn measure_round(run: &Run<'_>, settings: &[&str], options: &Options) -> Result<Figures> {
    let place = Place::new("sources", false)?;
    let (gateway, credentials) = place.serve(options.devices, settings)?;
    let credentials = run.entry.logins(credentials);
    let plan = Plan { version: run.version, messages: run.messages, before: 0, genuine_in: Some(1) };
    let fleet = Arc::new(Fleet::of(&credentials, plan)?);
    run.entry.wait_until_subscribed(&gateway)?;
    let address = run.entry.address(&gateway)?;

    let before = run.entry.spent(&gateway)?;
    let (measured, stored_at) = send(&fleet, address, options.window, &gateway)?;
    let after = run.entry.spent(&gateway)?;

    let scraped = settled(&gateway)?;
    counts::check(&scraped, fleet.len() as f64, run.delivery)?;
    let batch = fleet.len() as f64 / scraped["sealgate_ingest_batch_messages_count"];
    let again = counts::count(&scraped, "duplicate_total")?;
    let again = matches!(run.delivery, Delivery::AtLeastOnce).then_some(again);
    drop(gateway);
    place.check_rows(fleet.len())?;
    let of = |after: Duration, before| micros(after.saturating_sub(before), fleet.len());
    Ok(Figures {
        rate: fleet.len() as f64 / (stored_at - measured.began).as_secs_f64(),
        broker: (!matches!(run.entry, Entry::Edge)).then(|| of(after.broker, before.broker)),
        gateway: of(after.gateway, before.gateway),
        measured,
        batch,
        again,
    })
}

/// Sends everything; gives the moment, too, at which the gateway had stored it.
fn send(fleet: &Arc<Fleet>, address: SocketAddr, window: usize, gateway: &Gateway) -> Result<(Measured, Instant)> {
    let is_given_up = AtomicBool::new(false);
    thread::scope(|scope| {
        let storing = scope.spawn(|| until_stored(gateway, fleet.len() as f64, &is_given_up));
        let measured = load::run(fleet, address, window, &gateway.process, Subscriber::None);
        is_given_up.store(measured.is_err(), Ordering::Relaxed);
        let stored_at = storing.join().map_err(|_| anyhow!("a thread has panicked"))?;
        // Why the devices failed says more than that not all was stored then.
        Ok((measured?, stored_at?))
    })
}

fn until_stored(gateway: &Gateway, sent: f64, is_given_up: &AtomicBool) -> Result<Instant> {
    let deadline = now() + RUN_MAX + PATIENCE;
    loop {
        let scraped = gateway.scrape()?;
        let count = |name| counts::count(&scraped, name);
        let (stored, lost) = (count("stored_total")?, count("rejected_total")? + count("dropped_total")?);
        if stored == sent {
            return Ok(now());
        }
        ensure!(lost == 0.0, "{lost} messages were refused or lost");
        ensure!(stored < sent, "{stored} messages are stored of {sent}");
        let is_in_time = now() < deadline && !is_given_up.load(Ordering::Relaxed);
        ensure!(is_in_time, "{stored} of {sent} messages are stored, and no more come");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// What /metrics says when nothing is in flight: what a broker delivered again may still be.
fn settled(gateway: &Gateway) -> Result<HashMap<String, f64>> {
    let deadline = now() + PATIENCE;
    loop {
        let scraped = gateway.scrape()?;
        if counts::count(&scraped, "in_flight")? == 0.0 || now() > deadline {
            return Ok(scraped);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

impl Entry {
    /// What devices come in with: their tokens, unless another broker wants something else, or nothing.
    fn logins(&self, credentials: Vec<Credentials>) -> Vec<Credentials> {
        let Entry::Relay(relay) = self else { return credentials };
        let (user, password) = match &relay.account {
            Some(account) => (account.user.as_str(), account.password.as_str()),
            None => ("", ""),
        };
        let under = |of: Credentials| Credentials { user_name: user.to_owned(), token: password.to_owned(), ..of };
        credentials.into_iter().map(under).collect()
    }

    fn address(&self, gateway: &Gateway) -> Result<SocketAddr> {
        match self {
            Entry::Edge | Entry::Embedded => gateway.mqtt(),
            Entry::Relay(relay) => Ok(relay.address),
        }
    }

    /// Else what is sent before the first subscription is nobody's.
    fn wait_until_subscribed(&self, gateway: &Gateway) -> Result<()> {
        let deadline = now() + PATIENCE;
        while !matches!(self, Entry::Edge) && gateway.scrape()?.get("sealgate_source_subscribed") != Some(&1.0) {
            ensure!(now() < deadline, "the gateway is not subscribed");
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    fn spent(&self, gateway: &Gateway) -> Result<Spent> {
        let gateway_cpu = gateway.process.cpu()?;
        let broker = match self {
            Entry::Edge => Duration::ZERO,
            Entry::Relay(relay) => cpu_of(relay.pid)?,
            Entry::Embedded => gateway.process.thread_cpu_of(|name| EMBEDDED_THREADS.contains(&name))?,
        };
        let is_inside = matches!(self, Entry::Embedded);
        Ok(Spent { broker, gateway: if is_inside { gateway_cpu.saturating_sub(broker) } else { gateway_cpu } })
    }
}

impl Figures {
    /// Of broker and gateway together.
    pub(crate) fn micros(&self) -> f64 {
        self.broker.unwrap_or(0.0) + self.gateway
    }

    pub(crate) fn show(&self, section: &mut Section, acknowledged: &str) {
        section.line("verified and committed", self.rate, "messages/s", "");
        section.line("acknowledged", self.measured.rate(), "messages/s", acknowledged);
        if let Some(broker) = self.broker {
            section.line("processor time, broker", broker, "µs/message", "");
        }
        section.line("processor time, gateway", self.gateway, "µs/message", "");
        section.latencies(&self.measured.latencies, &QUANTILES, acknowledged);
        section.line("messages of a commit, mean", self.batch, "messages", "");
        if let Some(again) = self.again {
            section.line("delivered again", again, "messages", "");
        }
        let own = micros(self.measured.own_cpu, self.measured.acknowledged);
        section.line("load generator", own, "µs/message", "not counted above");
    }
}
