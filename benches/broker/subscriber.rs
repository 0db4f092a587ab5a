//! Subscribers: they read as fast as they can, acknowledge what asks for it, and count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::BytesMut;
use sealgate::mqtt::QoS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::common::process::now;
use super::common::wire::{Login, acknowledge, connect, subscribe, whole_packet};

/// A subscriber that hears nothing for so long, when all is published, has got what it gets.
const SILENCE: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 64 * 1024;

/// One that has subscribed.
pub(crate) struct Subscriber {
    stream: TcpStream,
    published: Arc<AtomicBool>,
}

/// What it got, and when the last of it.
pub(crate) struct Heard {
    pub(crate) count: usize,
    pub(crate) last: Instant,
}

impl Subscriber {
    pub(crate) async fn new(
        address: SocketAddr,
        login: Login<'_>,
        client_id: &str,
        filter: &str,
        qos: QoS,
        published: Arc<AtomicBool>,
    ) -> Result<Self> {
        let mut stream = connect(address, client_id, login, 1).await?;
        subscribe(&mut stream, filter, qos).await?;
        Ok(Subscriber { stream, published })
    }

    /// Counts until `expected` have come, or nothing more does.
    pub(crate) async fn listen(mut self, expected: usize) -> Result<Heard> {
        let (mut buffer, mut acks) = (BytesMut::with_capacity(2 * READ_BYTES), BytesMut::new());
        let mut heard = Heard { count: 0, last: now() };
        while heard.count < expected {
            buffer.reserve(READ_BYTES);
            match timeout(SILENCE, self.stream.read_buf(&mut buffer)).await {
                Ok(read) => ensure!(read? > 0, "the server closed a subscriber's connection"),
                Err(_) if self.published.load(Ordering::Relaxed) => break,
                Err(_) => continue,
            }
            heard.last = now();
            while let Some(packet) = whole_packet(&mut buffer)? {
                heard.count += 1;
                acknowledge(&packet, &mut acks)?;
            }
            self.stream.write_all(&acks).await?;
            acks.clear();
        }
        Ok(heard)
    }
}
