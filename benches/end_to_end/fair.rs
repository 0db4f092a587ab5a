//! What devices at full speed cost the others: their latency with them and without them, on one gateway, in turn. One that floods
//! (`--only fair`), or a crowd that has come back with a backlog (`--only
//! backfill`).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Options;
use super::common::gateway::Gateway;
use super::common::process::now;
use super::common::wire::{connect, whole_packet};
use super::fleet::Fleet;
use super::load::{Publisher, RUN_MAX};
use super::place::Place;
use super::report::{millis, quantile};

/// Who sends what in a round.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// How many devices send now and then.
    quiet: usize,
    /// How many messages each of them sends in one part of a round, and how often.
    messages: usize,
    interval: Duration,
    /// How many send as fast as they are acknowledged.
    fast: usize,
    /// What each of these has to send; more than it can while the others send theirs.
    flood: usize,
}

impl Shape {
    /// One that floods.
    pub(crate) fn fair() -> Shape {
        Shape { quiet: 20, messages: 200, interval: Duration::from_millis(20), fast: 1, flood: 100_000 }
    }

    /// A crowd with backlogs.
    pub(crate) fn backfill(options: &Options) -> Shape {
        Shape { quiet: 40, messages: 40, interval: Duration::from_millis(100), fast: options.devices, flood: 16_000 }
    }
}

/// The latencies of the quiet ones, from PUBLISH to PUBACK, in order of length.
type Latencies = Vec<Duration>;

/// What one round has shown.
struct Round {
    alone: Latencies,
    beside: Latencies,
    /// Messages a second that are stored meanwhile, in all.
    rate: f64,
}

/// Measures and prints.
pub(crate) fn measure(shape: Shape, options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ratios = Vec::new();
    let Shape { quiet, interval, fast, .. } = shape;
    println!(
        "{quiet} devices, each with a message in {interval:?}, and {fast} at full speed with {} on the way",
        options.window
    );
    println!("PUBLISH to PUBACK, p50 and p99 in ms");
    for round in 1..=options.rounds {
        let Round { alone, beside, rate } =
            runtime.block_on(async { timeout(RUN_MAX, measure_round(shape, options)).await })??;
        let at = |latencies: &Latencies, part| millis(quantile(latencies, part));
        ratios.push(at(&beside, 0.99) / at(&alone, 0.99));
        println!(
            "round {round}: alone {:.2} {:.2}, beside {fast} at full speed {:.2} {:.2}, ratio of the p99 {:.2}; {rate:.0} messages/s in all",
            at(&alone, 0.5),
            at(&alone, 0.99),
            at(&beside, 0.5),
            at(&beside, 0.99),
            ratios[round - 1]
        );
    }
    ratios.sort_unstable_by(f64::total_cmp);
    println!("median of the ratios {:.2}   goal: at most 2", ratios[ratios.len() / 2]);
    Ok(())
}

async fn measure_round(shape: Shape, options: &Options) -> Result<Round> {
    let place = Place::new("fair", options.postgres)?;
    // Above the default it stands for more devices, or for clients at 3.1.1, whose window is edge.in_flight_max.
    let settings = format!("edge.receive_maximum={}", options.window.max(32));
    let (gateway, mut credentials) = place.serve(shape.quiet + shape.fast, &[&settings])?;
    let fast = Arc::new(Fleet::seal(&credentials.split_off(shape.quiet), shape.flood)?);
    let quiet = Arc::new(Fleet::seal(&credentials, 2 * shape.messages)?);
    let mut streams = Vec::new();
    for device in &quiet.devices {
        streams.push(connect(gateway.mqtt()?, &device.device_id, device.login(), 1).await?);
    }
    let (alone, streams) = now_and_then(&shape, &quiet, streams, 0..shape.messages).await?;
    let mut flood = JoinSet::new();
    for (index, device) in fast.devices.iter().enumerate() {
        let stream = connect(gateway.mqtt()?, &device.device_id, device.login(), options.window).await?;
        let (fast, window) = (fast.clone(), options.window);
        flood.spawn(async move { Publisher::new(stream, &fast.devices[index], window).publish().await });
    }
    let (began, before) = (now(), stored(&gateway)?);
    let (beside, _) = now_and_then(&shape, &quiet, streams, shape.messages..2 * shape.messages).await?;
    let rate = (stored(&gateway)? - before) / (now() - began).as_secs_f64();
    ensure!(flood.try_join_next().is_none(), "a fast one has run out of messages, or its connection has ended");
    flood.abort_all();
    Ok(Round { alone, beside, rate })
}

fn stored(gateway: &Gateway) -> Result<f64> {
    gateway
        .scrape()?
        .get("sealgate_ingest_stored_total")
        .copied()
        .context("the gateway says nothing of what it has stored")
}

/// Each device sends its messages, one after the other; gives the connections back.
async fn now_and_then(
    shape: &Shape,
    fleet: &Arc<Fleet>,
    streams: Vec<TcpStream>,
    messages: Range<usize>,
) -> Result<(Latencies, Vec<TcpStream>)> {
    let Shape { quiet, interval, .. } = *shape;
    let mut sending = JoinSet::new();
    for (index, stream) in streams.into_iter().enumerate() {
        let (fleet, messages) = (fleet.clone(), messages.clone());
        sending.spawn(async move {
            // Not all at the same moment.
            sleep(interval * u32::try_from(index)? / u32::try_from(quiet)?).await;
            send(&fleet, index, stream, messages, interval).await
        });
    }
    let (mut latencies, mut streams) = (Vec::new(), Vec::new());
    while let Some(sent) = sending.join_next().await {
        let (index, stream, measured) = sent??;
        latencies.extend(measured);
        streams.push((index, stream));
    }
    latencies.sort_unstable();
    streams.sort_by_key(|(index, _)| *index);
    Ok((latencies, streams.into_iter().map(|(_, stream)| stream).collect()))
}

async fn send(
    fleet: &Fleet,
    index: usize,
    mut stream: TcpStream,
    messages: Range<usize>,
    interval: Duration,
) -> Result<(usize, TcpStream, Vec<Duration>)> {
    let device = &fleet.devices[index];
    let (mut latencies, mut buffer) = (Vec::new(), BytesMut::new());
    for message in messages {
        let packet = message * device.packet_bytes..(message + 1) * device.packet_bytes;
        let began = now();
        stream.write_all(&device.packets[packet]).await?;
        let answer = loop {
            if let Some(answer) = whole_packet(&mut buffer)? {
                break answer;
            }
            ensure!(stream.read_buf(&mut buffer).await? > 0, "the server closed the connection");
        };
        let code = answer.get(4).copied().unwrap_or(0);
        ensure!(answer[0] == 0x40 && code == 0, "{} was answered by {answer:02x?}", device.device_id);
        let took = now() - began;
        latencies.push(took);
        sleep(interval.saturating_sub(took)).await;
    }
    Ok((index, stream, latencies))
}
