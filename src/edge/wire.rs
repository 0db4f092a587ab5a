//! Packets over a byte stream: the buffers of one connection, and what reading and writing costs at most.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::Config;
use crate::mqtt::{DecodeError, Decoder, Packet, Version, encode_within};

/// The most that one read brings: a whole window of telemetry comes in one.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// What is read at most beyond a packet that has to wait, to see whether the client pings behind it.
const AHEAD_BYTES_MAX: usize = 16 * 1024;
/// What a connection that has sent everything may keep for what it sends next; more is given back, for it may be silent for long.
const UNSENT_BYTES_KEPT: usize = 1024;
/// Above this much unsent, nothing more is read or taken from the mailbox.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// How long a closed connection is read further, so that a reset does not overtake our last packet.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// How long the last packets may take to leave.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Both directions of a connection.
pub(super) struct Wire<S> {
    stream: Pin<Box<S>>,
    decoder: Decoder,
    /// What has come and is no whole packet yet. No memory is held where nothing has.
    received: BytesMut,
    unsent: BytesMut,
    /// Something was written that the stream may still hold back: TLS writes whole records.
    to_flush: bool,
}

/// What happened on the stream.
pub(super) enum Moved {
    /// So many bytes came.
    Received(usize),
    /// Bytes left.
    Sent,
    /// The stream is at its end, or broken.
    Gone,
}

/// Whether bytes should be read now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// They should.
    On,
    /// They should, so far as the client may have pinged behind what has to wait.
    Ahead,
    /// They should stay in the socket.
    Off,
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    pub(super) fn new(stream: S, config: &Config) -> Self {
        let decoder = Decoder::new(config.packet_bytes_max).with_connect_max(config.connect_bytes_max);
        Wire { stream: Box::pin(stream), decoder, received: BytesMut::new(), unsent: BytesMut::new(), to_flush: false }
    }

    /// The next whole packet of what has come.
    pub(super) fn poll_packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        let decoded = self.decoder.decode(&mut self.received);
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
        decoded
    }

    /// Takes a PINGREQ out from behind packets that have to wait; false: there is none. A server owes PINGRESP in no order with other
    /// answers [MQTT-3.12.4-1].
    pub(super) fn take_ping(&mut self) -> bool {
        self.decoder.take_ping(&mut self.received)
    }

    /// How large the packet is that has begun to come; 0: none has.
    pub(super) fn packet_at_hand(&self) -> usize {
        if self.received.is_empty() { 0 } else { self.received.len() + self.decoder.needed(&self.received) }
    }

    /// What the client speaks, once its CONNECT has said so.
    pub(super) fn version(&self) -> Option<Version> {
        self.decoder.version()
    }

    /// Puts a packet behind what is unsent; one that is larger than `bytes_max` comes back.
    pub(super) fn send(&mut self, packet: Packet, version: Version, bytes_max: u32) -> Option<Packet> {
        encode_within(&packet, version, bytes_max, &mut self.unsent).is_err().then_some(packet)
    }

    /// True: so much is unsent that nothing should be added which can wait.
    pub(super) fn is_congested(&self) -> bool {
        self.unsent.len() >= UNSENT_BYTES_MAX
    }

    /// True: everything has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent.is_empty() && !self.to_flush
    }

    /// Moves bytes in either direction, whichever can go first. Never resolves if there is nothing to move. Cancel-safe.
    pub(super) async fn move_bytes(&mut self, reading: Reading) -> Moved {
        poll_fn(|cx| self.poll_move(reading, cx)).await
    }

    fn poll_move(&mut self, reading: Reading, cx: &mut Context<'_>) -> Poll<Moved> {
        if !self.is_flushed()
            && let Poll::Ready(left) = self.poll_leave(cx)
        {
            return Poll::Ready(left.map_or(Moved::Gone, |()| Moved::Sent));
        }
        match reading {
            Reading::On => self.poll_receive(cx),
            Reading::Ahead if self.received.len() < AHEAD_BYTES_MAX => self.poll_receive(cx),
            Reading::Ahead | Reading::Off => Poll::Pending,
        }
    }

    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            let count = ready!(self.stream.as_mut().poll_write(cx, &self.unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(count);
            self.to_flush = true;
        }
        if self.unsent.is_empty() {
            if self.unsent.capacity() > UNSENT_BYTES_KEPT {
                self.unsent = BytesMut::new();
            }
            ready!(self.stream.as_mut().poll_flush(cx))?;
            self.to_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads onto the stack and keeps what has come, so that a connection that waits holds no memory for what it waits for.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        let mut scratch = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut read = ReadBuf::uninit(&mut scratch);
        let outcome = ready!(self.stream.as_mut().poll_read(cx, &mut read));
        if outcome.is_err() || read.filled().is_empty() {
            return Poll::Ready(Moved::Gone);
        }
        self.received.extend_from_slice(read.filled());
        Poll::Ready(Moved::Received(read.filled().len()))
    }

    /// Sends what is unsent, then closes; both within bounds of time.
    pub(super) async fn close(mut self) {
        if timeout(LAST_WRITE, self.finish()).await.is_ok_and(|finished| finished.is_ok()) {
            let _ = timeout(LINGER, self.linger()).await;
        }
    }

    /// Lets time go by without an answer, unless the client goes. What it sends meanwhile is read and forgotten.
    pub(super) async fn rest(&mut self, pause: Duration) {
        if !pause.is_zero() {
            let _ = timeout(pause, self.linger()).await;
        }
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.unsent).await?;
        self.stream.shutdown().await
    }

    async fn linger(&mut self) -> io::Result<()> {
        // On the heap: this future is part of a larger one, which would have the room for it all the time.
        let mut scrap = vec![0; 4096];
        let mut count = 0;
        while count < LINGER_BYTES_MAX {
            match self.stream.read(&mut scrap).await? {
                0 => break,
                more => count += more,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::mqtt::{Connect, Publish, QoS, Text, Topic, encode};

    async fn wire() -> (Wire<DuplexStream>, DuplexStream) {
        let (ours, mut theirs) = duplex(256 * 1024);
        let mut wire = Wire::new(ours, &Config::default());
        let connect = Connect::new(Version::V5, Text::from_static("a"));
        theirs.write_all(&bytes(&Packet::Connect(connect.into()))).await.unwrap();
        assert!(matches!(next(&mut wire).await, Packet::Connect(_)));
        (wire, theirs)
    }

    fn bytes(packet: &Packet) -> BytesMut {
        let mut bytes = BytesMut::new();
        encode(packet, Version::V5, &mut bytes);
        bytes
    }

    fn publish(payload_bytes: usize) -> Packet {
        let publish = Publish::new(Topic::new("a").unwrap(), vec![7; payload_bytes].into());
        Packet::Publish(Publish { qos: QoS::AtMostOnce, ..publish })
    }

    async fn next(wire: &mut Wire<DuplexStream>) -> Packet {
        loop {
            if let Some(packet) = wire.poll_packet().unwrap() {
                return packet;
            }
            assert!(matches!(wire.move_bytes(Reading::On).await, Moved::Received(_)));
        }
    }

    #[tokio::test]
    async fn who_has_nothing_to_say_holds_no_memory_to_hear_it() {
        let (mut wire, mut theirs) = wire().await;
        for payload_bytes in [10, 100_000] {
            theirs.write_all(&bytes(&publish(payload_bytes))).await.unwrap();
            assert_eq!(next(&mut wire).await, publish(payload_bytes));
            assert!(wire.poll_packet().unwrap().is_none());
            assert_eq!(wire.received.capacity(), 0);
        }
    }

    #[tokio::test]
    async fn packets_are_whole_however_they_come() {
        let (mut wire, mut theirs) = wire().await;
        let packets = [publish(3), publish(40_000), publish(0)];
        let all: Vec<u8> = packets.iter().flat_map(bytes).collect();
        let (first, rest) = all.split_at(9);
        for byte in first {
            theirs.write_all(&[*byte]).await.unwrap();
            assert!(matches!(wire.move_bytes(Reading::On).await, Moved::Received(_)));
        }
        theirs.write_all(rest).await.unwrap();
        for packet in &packets {
            assert_eq!(next(&mut wire).await, *packet);
        }
        drop(theirs);
        assert!(matches!(wire.move_bytes(Reading::On).await, Moved::Gone));
    }

    #[tokio::test]
    async fn a_ping_is_found_behind_what_has_to_wait_and_the_rest_stays_as_it_was() {
        let (mut wire, mut theirs) = wire().await;
        let ping = bytes(&Packet::PingReq);
        // A payload that looks like PINGREQ is none.
        let lookalike = Packet::Publish(Publish::new(Topic::new("a").unwrap(), ping.repeat(3).into()));
        let all = [bytes(&publish(3)), ping.clone(), bytes(&lookalike), ping.clone(), bytes(&publish(5))].concat();
        theirs.write_all(&all).await.unwrap();
        assert!(matches!(wire.move_bytes(Reading::Ahead).await, Moved::Received(_)));
        assert_eq!([wire.take_ping(), wire.take_ping(), wire.take_ping()], [true, true, false]);
        for packet in [publish(3), lookalike, publish(5)] {
            assert_eq!(next(&mut wire).await, packet);
        }
        assert!(!wire.take_ping());
    }

    #[tokio::test]
    async fn no_more_is_read_ahead_than_may_be() {
        let (mut wire, mut theirs) = wire().await;
        theirs.write_all(&bytes(&publish(200_000))[..100_000]).await.unwrap();
        let read = async { while let Moved::Received(_) = wire.move_bytes(Reading::Ahead).await {} };
        assert!(timeout(Duration::from_millis(50), read).await.is_err());
        assert!(wire.received.len() <= AHEAD_BYTES_MAX + READ_BYTES, "{}", wire.received.len());
    }

    #[tokio::test]
    async fn after_a_burst_its_memory_is_given_back() {
        let (mut wire, mut theirs) = wire().await;
        let sent = bytes(&publish(100_000));
        assert!(wire.send(publish(100_000), Version::V5, u32::MAX).is_none());
        while !wire.is_flushed() {
            assert!(matches!(wire.move_bytes(Reading::Off).await, Moved::Sent));
        }
        assert!(wire.unsent.capacity() <= UNSENT_BYTES_KEPT);
        let mut came = vec![0; sent.len()];
        theirs.read_exact(&mut came).await.unwrap();
        assert_eq!(came, sent);
    }
}
