//! The gateway at a pace below its greatest rate: what a message waits for its PUBACK at half of that rate, and what genuine messages
//! wait beside a flood of forged ones.
//!
//! Messages are sent when they are due, whatever has become of those before them, as long as the window has room; one that the window
//! held back has waited from when it was due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use sealgate::mqtt::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::Options;
use super::common::gateway::Gateway;
use super::common::process::now;
use super::common::wire::{connect, packet_id, whole_packet};
use super::fleet::{Credentials, Device, Fleet, Plan, is_genuine};
use super::load::{self, RUN_MAX, Subscriber};
use super::place::Place;
use super::report::{Report, millis, quantile};
use super::server;

/// How long a part of a round takes.
const PART: Duration = Duration::from_secs(4);
/// Until the first message of a part: until all are connected.
const SETTLE: Duration = Duration::from_millis(200);
/// Genuine messages beside a flood are this part of the greatest rate, and forged ones so many times as many.
const QUIET: f64 = 0.05;
const FORGED: usize = 10;
/// What is to be reached, by the specification of this benchmark.
const COMMITS_MAX: f64 = 3.0;
const FLOODED_MAX: f64 = 2.0;

/// What somebody sends in a part of a round.
#[derive(Clone, Copy)]
struct Part<'c> {
    who: &'c [Credentials],
    /// Messages of each device in a second.
    rate: f64,
    /// As in [`Plan`].
    before: usize,
    genuine_in: Option<usize>,
}

/// One round.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let place = Place::new("paced", options.postgres)?;
    let (gateway, credentials) = place.serve(2 * options.devices, &[])?;
    let (honest, forgers) = credentials.split_at(options.devices);
    let fleet = Arc::new(Fleet::seal(honest, options.messages)?);
    let measured = load::run(&fleet, gateway.mqtt()?, options.window, &gateway.process, Subscriber::None)?;
    drop(fleet);
    let (greatest, each) = (measured.rate(), measured.rate() / options.devices as f64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = |parts: &[Part<'_>]| {
        let running = run_together(parts, &gateway, options.window);
        runtime.block_on(async { timeout(RUN_MAX, running).await })?
    };

    // So that the server writes its log into files that are there, as one does that has run for hours.
    place.url().map(|url| server::run(url, "CHECKPOINT"));
    let before = commits(&gateway)?;
    let mut part = Part { who: honest, rate: each / 2.0, before: options.messages, genuine_in: Some(1) };
    let half = run(&[part])?;
    let since = commits(&gateway)?;
    let commit_ms = (since.1 - before.1) / (since.0 - before.0) * 1e3;
    let section = report.section("at half of the greatest rate");
    section.line("greatest rate", greatest, "messages/s", "");
    section.latencies(&half, &[0.5, 0.99, 0.999], "");
    section.line("one commit, mean", commit_ms, "ms", "");
    let p99 = millis(quantile(&half, 0.99));
    section.line("p99 / one commit", p99 / commit_ms, "", &format!("goal: at most {COMMITS_MAX}"));

    part = Part { rate: each * QUIET, ..part.after() };
    let alone = run(&[part])?;
    part = part.after();
    let flood = Part { who: forgers, rate: part.rate * FORGED as f64, before: 0, genuine_in: None };
    let beside_others = run(&[part, flood])?;
    part = Part { rate: part.rate * (1 + FORGED) as f64, genuine_in: Some(1 + FORGED), ..part.after() };
    let from_the_same = run(&[part])?;
    let section = report.section("genuine messages at 5 % of the greatest rate, beside ten times as many forged ones");
    section.latencies(&alone, &[0.5, 0.99], "");
    for (who, flooded) in [("others", &beside_others), ("the same", &from_the_same)] {
        let (alone, flooded) = (millis(quantile(&alone, 0.99)), millis(quantile(flooded, 0.99)));
        section.line(&format!("forged by {who}: p99"), flooded, "ms", "");
        let goal = format!("goal: at most {FLOODED_MAX}");
        section.line(&format!("forged by {who}: p99 / alone"), flooded / alone, "", &goal);
    }
    Ok(())
}

impl Part<'_> {
    fn messages(&self) -> usize {
        (self.rate * PART.as_secs_f64()).ceil() as usize
    }

    /// The same once more.
    fn after(self) -> Self {
        Part { before: self.before + self.messages(), ..self }
    }
}

/// How many there were, and the seconds that they took.
fn commits(gateway: &Gateway) -> Result<(f64, f64)> {
    let scraped = gateway.scrape()?;
    Ok((scraped["sealgate_ingest_commit_seconds_count"], scraped["sealgate_ingest_commit_seconds_sum"]))
}

/// The latencies of the genuine messages of all of them, in order of length.
async fn run_together(parts: &[Part<'_>], gateway: &Gateway, window: usize) -> Result<Vec<Duration>> {
    let mut sending = JoinSet::new();
    for part in parts {
        let plan =
            Plan { version: Version::V5, messages: part.messages(), before: part.before, genuine_in: part.genuine_in };
        let fleet = Arc::new(Fleet::of(part.who, plan)?);
        for (index, device) in fleet.devices.iter().enumerate() {
            let stream = connect(gateway.mqtt()?, &device.device_id, device.login(), window).await?;
            let (fleet, interval) = (fleet.clone(), Duration::from_secs_f64(1.0 / part.rate));
            // Not all at the same moment.
            let lag = interval.mul_f64(index as f64 / fleet.devices.len() as f64);
            let genuine_in = part.genuine_in;
            sending.spawn(async move {
                let device = &fleet.devices[index];
                let began = now() + SETTLE + lag;
                Pace { stream, device, window, interval, genuine_in, began, sent: VecDeque::new(), answered: 0 }
                    .send()
                    .await
            });
        }
    }
    let mut latencies = Vec::new();
    while let Some(sent) = sending.join_next().await {
        latencies.extend(sent??);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// One device that sends its messages when they are due.
struct Pace<'d> {
    stream: TcpStream,
    device: &'d Device,
    window: usize,
    interval: Duration,
    genuine_in: Option<usize>,
    /// When the first message is due.
    began: Instant,
    /// From when on each message that is on the way has waited.
    sent: VecDeque<Instant>,
    answered: usize,
}

impl Pace<'_> {
    async fn send(mut self) -> Result<Vec<Duration>> {
        let total = self.device.envelopes.len();
        let (mut latencies, mut buffer) = (Vec::new(), BytesMut::with_capacity(4096));
        while self.answered < total {
            self.send_what_is_due().await?;
            let sent = self.answered + self.sent.len();
            let (may_send, due) = (sent < total && self.sent.len() < self.window, self.due(sent));
            tokio::select! {
                read = self.stream.read_buf(&mut buffer) => ensure!(read? > 0, "the server closed the connection"),
                () = sleep_until(due.into()), if may_send => continue,
            }
            let read_at = now();
            while let Some(packet) = whole_packet(&mut buffer)? {
                latencies.extend(self.answer(&packet, read_at)?);
            }
        }
        Ok(latencies)
    }

    fn due(&self, message: usize) -> Instant {
        self.began + self.interval.mul_f64(message as f64)
    }

    async fn send_what_is_due(&mut self) -> Result<()> {
        let (first, now) = (self.answered + self.sent.len(), now());
        let due = (now.saturating_duration_since(self.began).as_secs_f64() / self.interval.as_secs_f64()) as usize + 1;
        let due = if now < self.began { 0 } else { due };
        let end = due.min(self.answered + self.window).min(self.device.envelopes.len());
        let held_back = first < self.answered + self.window && due > end;
        for message in first..end {
            self.sent.push_back(if held_back { self.due(message) } else { now });
        }
        let bytes = self.device.packet_bytes;
        Ok(self.stream.write_all(&self.device.packets[first.min(end) * bytes..end * bytes]).await?)
    }

    /// In order; the time that a genuine message waited.
    fn answer(&mut self, packet: &[u8], read_at: Instant) -> Result<Option<Duration>> {
        let index = self.answered;
        let body = 1 + packet.iter().skip(1).position(|byte| byte & 0x80 == 0).unwrap_or(0) + 1;
        let id = packet_id(index).get().to_be_bytes();
        let is_good = packet.get(body + 2).copied().unwrap_or(0) == 0;
        let is_due = packet[0] == 0x40 && packet.get(body..body + 2) == Some(&id[..]);
        let is_genuine = is_genuine(index, self.genuine_in);
        ensure!(is_due && is_good == is_genuine, "message {index} was answered by {packet:02x?}");
        let sent_at = self.sent.pop_front().context("it was sent")?;
        self.answered += 1;
        Ok(is_genuine.then_some(read_at - sent_at))
    }
}
