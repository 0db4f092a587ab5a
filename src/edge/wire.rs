//! Packets over a byte stream: the buffers of one connection, and what reading and writing costs at most.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::Config;
use crate::mqtt::{DecodeError, Decoder, Packet, Version, encode_within};

/// What a read asks for where no packet has begun: most packets are smaller.
const READ_BYTES: usize = 4096;
/// The same after a read that filled as much: a whole window of telemetry comes in one then. Only clients that send much at a time
/// cost the memory.
const READ_BYTES_BUSY: usize = 16 * 1024;
/// Above this much unsent, nothing more is read or taken from the mailbox.
const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// How long a closed connection is read further, so that a reset does not overtake our last packet.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// How long the last packets may take to leave.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Both directions of a connection.
pub(super) struct Wire<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    decoder: Decoder,
    received: BytesMut,
    read_bytes: usize,
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
    /// They should stay in the socket.
    Off,
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    pub(super) fn new(stream: S, config: &Config) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let decoder = Decoder::new(config.packet_bytes_max).with_connect_max(config.connect_bytes_max);
        Wire {
            reader,
            writer,
            decoder,
            received: BytesMut::new(),
            read_bytes: READ_BYTES,
            unsent: BytesMut::new(),
            to_flush: false,
        }
    }

    /// The next whole packet of what has come.
    pub(super) fn poll_packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        self.decoder.decode(&mut self.received)
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
        let is_flushed = self.is_flushed();
        let Wire { reader, writer, decoder, received, read_bytes, unsent, to_flush } = self;
        if reading == Reading::On {
            // Never more than the packet at hand still needs by its own, checked, length.
            received.reserve(decoder.needed(received).max(*read_bytes));
        }
        let leave = async {
            if !unsent.is_empty() {
                writer.write_buf(unsent).await?;
                *to_flush = true;
            }
            if unsent.is_empty() {
                writer.flush().await?;
                *to_flush = false;
            }
            io::Result::Ok(Moved::Sent)
        };
        let done = tokio::select! {
            left = leave, if !is_flushed => left,
            count = reader.read_buf(received), if reading == Reading::On => {
                count.map(|count| {
                    *read_bytes = if count < READ_BYTES { READ_BYTES } else { READ_BYTES_BUSY };
                    if count == 0 { Moved::Gone } else { Moved::Received(count) }
                })
            }
            else => std::future::pending().await,
        };
        done.unwrap_or(Moved::Gone)
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
        self.writer.write_all_buf(&mut self.unsent).await?;
        self.writer.shutdown().await
    }

    async fn linger(&mut self) -> io::Result<()> {
        let mut scrap = [0; 4096];
        let mut count = 0;
        while count < LINGER_BYTES_MAX {
            match self.reader.read(&mut scrap).await? {
                0 => break,
                more => count += more,
            }
        }
        Ok(())
    }
}
