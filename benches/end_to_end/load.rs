//! The load generator: one thread, one connection for each device, packets that were made before.
//!
//! A device has its window on the way. As many acknowledgements as one read brings, as many packets the next write takes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::BytesMut;
use sealgate::mqtt::{QoS, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::common::process::{Process, now, thread_cpu};
use super::common::wire::{Login, acknowledge, connect, connect_at, packet_id, subscribe, whole_packet};
use super::fleet::{Device, Fleet};

/// A whole run may not take longer.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(120);
/// A subscriber that hears nothing for so long has got what it gets.
const SILENCE: Duration = Duration::from_secs(2);

/// What one run measured.
pub(crate) struct Measured {
    pub(crate) acknowledged: usize,
    /// What a subscriber got; none if there was none.
    pub(crate) relayed: Option<usize>,
    /// When the first PUBLISH left.
    #[allow(dead_code, reason = "some benchmarks count to the last PUBACK alone")]
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) own_cpu: Duration,
    /// From writing a PUBLISH to reading its PUBACK, in order of length.
    pub(crate) latencies: Vec<Duration>,
}

/// Whether somebody subscribes to what is sent.
#[derive(Clone, Copy)]
pub(crate) enum Subscriber {
    None,
    At(QoS),
}

/// Runs the whole fleet against `address` and reads the processor time of `server`.
pub(crate) fn run(
    fleet: &Arc<Fleet>,
    address: SocketAddr,
    window: usize,
    server: &Process,
    subscriber: Subscriber,
) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { timeout(RUN_MAX, drive(fleet, address, window, server, subscriber)).await })?
}

async fn drive(
    fleet: &Arc<Fleet>,
    address: SocketAddr,
    window: usize,
    server: &Process,
    subscriber: Subscriber,
) -> Result<Measured> {
    let published = Arc::new(AtomicBool::new(false));
    let listener = match subscriber {
        Subscriber::None => None,
        Subscriber::At(qos) => Some(Listener::subscribe(address, qos, fleet.len(), published.clone()).await?),
    };
    let mut connections = Vec::new();
    for device in &fleet.devices {
        connections.push(connect_at(device.version, address, &device.device_id, device.login(), window).await?);
    }

    let (server_before, own_before, began) = (server.cpu()?, thread_cpu()?, now());
    let listening = listener.map(|listener| tokio::spawn(listener.listen()));
    let mut publishing = JoinSet::new();
    for (index, stream) in connections.into_iter().enumerate() {
        let fleet = fleet.clone();
        publishing.spawn(async move { Publisher::new(stream, &fleet.devices[index], window).publish().await });
    }
    let mut latencies = Vec::with_capacity(fleet.len());
    while let Some(published) = publishing.join_next().await {
        latencies.extend(published??);
    }
    let mut ended = now();
    published.store(true, Ordering::Relaxed);
    let mut relayed = None;
    if let Some(listening) = listening {
        let (count, last) = listening.await??;
        relayed = Some(count);
        ended = ended.max(last);
    }
    let (server_cpu, own_cpu) = (server.cpu()? - server_before, thread_cpu()? - own_before);
    latencies.sort_unstable();
    let took = ended - began;
    Ok(Measured { acknowledged: latencies.len(), relayed, began, took, server_cpu, own_cpu, latencies })
}

pub(crate) struct Publisher<'d> {
    stream: TcpStream,
    device: &'d Device,
    window: usize,
    sent_at: Vec<Instant>,
    latencies: Vec<Duration>,
}

impl<'d> Publisher<'d> {
    pub(crate) fn new(stream: TcpStream, device: &'d Device, window: usize) -> Self {
        let count = device.envelopes.len();
        Publisher { stream, device, window, sent_at: Vec::with_capacity(count), latencies: Vec::with_capacity(count) }
    }

    /// Sends everything; the time that each acknowledgement took.
    pub(crate) async fn publish(mut self) -> Result<Vec<Duration>> {
        let total = self.device.envelopes.len();
        let mut buffer = BytesMut::with_capacity(4096);
        while self.latencies.len() < total {
            self.fill(total.min(self.latencies.len() + self.window)).await?;
            ensure!(self.stream.read_buf(&mut buffer).await? > 0, "the server closed the connection");
            let read_at = now();
            while let Some(packet) = whole_packet(&mut buffer)? {
                self.acknowledge(&packet, read_at)?;
            }
        }
        Ok(self.latencies)
    }

    /// Sends up to the `end`th message.
    async fn fill(&mut self, end: usize) -> Result<()> {
        let bytes = self.device.packet_bytes;
        let sent = self.sent_at.len();
        self.sent_at.resize(end, now());
        Ok(self.stream.write_all(&self.device.packets[sent * bytes..end * bytes]).await?)
    }

    /// In order, and without a reason that says failure. At 3.1.1, which Aedes speaks, in any order, as Aedes answers.
    fn acknowledge(&mut self, packet: &[u8], read_at: Instant) -> Result<()> {
        let mut index = self.latencies.len();
        let code = packet.get(4).copied().unwrap_or(0);
        let mut good = packet.len() >= 4 && packet[0] == 0x40 && packet[1] < 0x80 && code == 0;
        if self.device.version == Version::V311 && good {
            index = usize::from(u16::from_be_bytes([packet[2], packet[3]])) - 1;
        }
        good &= index < self.sent_at.len() && packet[2..4] == packet_id(index).get().to_be_bytes();
        ensure!(good, "message {index} of {} was answered by {packet:02x?}", self.device.device_id);
        self.latencies.push(read_at - self.sent_at[index]);
        Ok(())
    }
}

/// Who gets what a broker relays.
struct Listener {
    stream: TcpStream,
    expected: usize,
    published: Arc<AtomicBool>,
}

impl Listener {
    async fn subscribe(address: SocketAddr, qos: QoS, expected: usize, published: Arc<AtomicBool>) -> Result<Self> {
        let mut stream = connect(address, "bench-listener", Login::None, 1).await?;
        subscribe(&mut stream, "devices/+/telemetry", qos).await?;
        Ok(Listener { stream, expected, published })
    }

    /// Counts what comes until everything has, or nothing more does; acknowledges what asks for it.
    async fn listen(mut self) -> Result<(usize, Instant)> {
        let (mut buffer, mut acks) = (BytesMut::with_capacity(256 * 1024), BytesMut::new());
        let (mut count, mut last) = (0, now());
        while count < self.expected {
            buffer.reserve(64 * 1024);
            match timeout(SILENCE, self.stream.read_buf(&mut buffer)).await {
                Ok(read) => ensure!(read? > 0, "the server closed the subscriber's connection"),
                Err(_) if self.published.load(Ordering::Relaxed) => break,
                Err(_) => continue,
            }
            last = now();
            while let Some(packet) = whole_packet(&mut buffer)? {
                count += 1;
                acknowledge(&packet, &mut acks)?;
            }
            self.stream.write_all(&acks).await?;
            acks.clear();
        }
        Ok((count, last))
    }
}
