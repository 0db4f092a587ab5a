//! Publishers: one connection each, packets that were encoded before, at QoS 1 a window on the way.

use anyhow::{Result, ensure};
use bytes::BytesMut;
use sealgate::mqtt::{Packet, Publish, QoS, Topic, Version, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::common::wire::{packet_id, whole_packet};

/// What a message of this benchmark has.
pub(crate) const PAYLOAD_BYTES: usize = 200;
/// Packets that are encoded; a publisher sends them again and again. More than any window, so that an identifier is free again
/// when its turn comes.
const CYCLE: usize = 1024;

/// A topic's packets, back to back and of one size, so that a window is one slice or two.
pub(crate) struct Packets {
    bytes: Vec<u8>,
    packet_bytes: usize,
    cycle: usize,
}

/// Sends a topic's packets.
pub(crate) struct Publisher {
    stream: TcpStream,
    packets: Packets,
    qos: QoS,
    window: usize,
    sent: usize,
    acknowledged: usize,
}

/// Where the nth publisher publishes.
pub(crate) fn topic(number: usize) -> String {
    format!("bench/{number}/data")
}

impl Packets {
    pub(crate) fn encode(number: usize, qos: QoS, window: usize) -> Result<Packets> {
        let topic = Topic::new(topic(number).as_str())?;
        let cycle = CYCLE.max(window);
        let mut bytes = BytesMut::new();
        for index in 0..cycle {
            let mut publish = Publish::new(topic.clone(), vec![b'x'; PAYLOAD_BYTES].into());
            publish.qos = qos;
            publish.packet_id = (qos != QoS::AtMostOnce).then(|| packet_id(index));
            encode(&Packet::Publish(publish), Version::V5, &mut bytes);
        }
        Ok(Packets { packet_bytes: bytes.len() / cycle, bytes: bytes.into(), cycle })
    }

    /// The next packets from the `from`th on, up to the `to`th or the end of the cycle, and how many they are.
    fn slice(&self, from: usize, to: usize) -> (&[u8], usize) {
        let place = from % self.cycle;
        let count = (to - from).min(self.cycle - place);
        (&self.bytes[place * self.packet_bytes..(place + count) * self.packet_bytes], count)
    }
}

impl Publisher {
    pub(crate) fn new(stream: TcpStream, packets: Packets, qos: QoS, window: usize) -> Self {
        Publisher { stream, packets, qos, window, sent: 0, acknowledged: 0 }
    }

    /// Sends `total` messages and waits for what is due for them; the number that was acknowledged, and the connection, so that
    /// what is still in the socket is not lost with it.
    pub(crate) async fn publish(mut self, total: usize) -> Result<(usize, TcpStream)> {
        self.publish_more(total).await?;
        Ok((self.acknowledged, self.stream))
    }

    /// Sends `count` messages more and waits for what is due for them.
    pub(crate) async fn publish_more(&mut self, count: usize) -> Result<()> {
        let total = self.sent + count;
        match self.qos {
            QoS::AtMostOnce => self.send_until(total).await,
            _ => self.exchange_until(total).await,
        }
    }

    /// TCP alone holds it back.
    async fn send_until(&mut self, end: usize) -> Result<()> {
        while self.sent < end {
            let (bytes, count) = self.packets.slice(self.sent, end.min(self.sent + self.window));
            self.stream.write_all(bytes).await?;
            self.sent += count;
        }
        Ok(())
    }

    async fn exchange_until(&mut self, total: usize) -> Result<()> {
        let mut buffer = BytesMut::with_capacity(4096);
        while self.acknowledged < total {
            self.send_until(total.min(self.acknowledged + self.window)).await?;
            ensure!(self.stream.read_buf(&mut buffer).await? > 0, "the server closed a publisher's connection");
            while let Some(packet) = whole_packet(&mut buffer)? {
                check(&packet, self.acknowledged % self.packets.cycle)?;
                self.acknowledged += 1;
            }
        }
        Ok(())
    }
}

/// In order, and without a reason that says failure. 0x10 says that nobody has subscribed, which is none.
fn check(packet: &[u8], index: usize) -> Result<()> {
    let id = packet_id(index).get().to_be_bytes();
    let code = packet.get(4).copied().unwrap_or(0);
    let good = packet.len() >= 4 && packet[0] == 0x40 && packet[2..4] == id && code < 0x80;
    ensure!(good, "a PUBACK for {id:02x?} was due: {packet:02x?}");
    Ok(())
}
