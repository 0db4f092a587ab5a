//! One device's socket: greeted, written to, read from, and ended politely or not.

use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::link::{self, BadPacket, Incoming, MqttVersion};
use super::token::NoToken;
use crate::outbox::Publish;

/// Why a connection was not made, or did not last.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Token(#[from] NoToken),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the gateway did not answer CONNECT")]
    NoWelcome,
    #[error("the gateway refused the login: {0}")]
    Refused(String),
    #[error("the gateway refused the subscription to receipts: {0}")]
    NotSubscribed(String),
    #[error("the gateway ended the connection: {0}")]
    Goodbye(String),
    #[error("the gateway closed the connection")]
    Closed,
    #[error("the gateway has said nothing for one and a half times the keep-alive")]
    Mute,
    #[error(transparent)]
    Packet(#[from] BadPacket),
}

/// A connection that stands.
pub(super) struct Connection {
    stream: TcpStream,
    version: MqttVersion,
    received: BytesMut,
    out: BytesMut,
    /// Messages that the gateway takes before it has acknowledged one.
    window: usize,
    keep_alive: Duration,
    ping_at: Instant,
    /// When the gateway was last heard.
    heard_at: Instant,
    /// Why nothing can be written any more. What has come before is read still: acknowledgements may be among it.
    broken: Option<io::Error>,
}

/// What CONNECT says of its sender.
pub(super) struct Login<'a> {
    pub(super) id: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) keep_alive_secs: u16,
}

/// How long CONNECT and its answer may take.
const GREETING: Duration = Duration::from_secs(10);
/// Above this much unsent nothing more is written.
const OUT_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 4096;

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(gateway: &str, version: MqttVersion, login: Login<'_>) -> Result<Self, Trouble> {
        timeout(GREETING, Self::greet(gateway, version, login)).await.map_err(|_| Trouble::NoWelcome)?
    }

    async fn greet(gateway: &str, version: MqttVersion, login: Login<'_>) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(gateway).await?;
        stream.set_nodelay(true)?;
        let keep_alive = Duration::from_secs(login.keep_alive_secs.max(2).into());
        let mut connection = Connection {
            stream,
            version,
            received: BytesMut::new(),
            out: BytesMut::new(),
            window: usize::MAX,
            keep_alive,
            ping_at: now() + keep_alive / 2,
            heard_at: now(),
            broken: None,
        };
        link::connect(version, &login, &mut connection.out);
        connection.stream.write_all_buf(&mut connection.out).await?;
        match connection.first_packet().await? {
            Incoming::Welcome(receive_max) => {
                connection.window = receive_max.map_or(usize::MAX, usize::from);
                Ok(connection)
            }
            Incoming::Refused(code) => Err(Trouble::Refused(code)),
            _ => Err(Trouble::NoWelcome),
        }
    }

    async fn first_packet(&mut self) -> Result<Incoming, Trouble> {
        loop {
            if let Some(packet) = self.poll_packet()? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Trouble::Closed);
            }
        }
    }

    /// Messages that the gateway takes before it has acknowledged one [MQTT-3.3.4-7].
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Whether one more message may be written behind what is unsent.
    pub(super) fn takes_more(&self) -> bool {
        self.broken.is_none() && self.out.len() < OUT_BYTES_MAX
    }

    /// Writes a message behind what is unsent.
    pub(super) fn publish(&mut self, topic: &str, publish: &Publish<'_>) {
        link::publish(self.version, topic, publish, &mut self.out);
    }

    /// Asks for what is published to `topic`.
    pub(super) fn subscribe(&mut self, topic: &str) {
        link::subscribe(self.version, topic, &mut self.out);
    }

    /// Acknowledges a message for the device.
    pub(super) fn acknowledge(&mut self, packet_id: u16) {
        link::acknowledge(self.version, packet_id, &mut self.out);
    }

    /// The next whole packet of what has come.
    pub(super) fn poll_packet(&mut self) -> Result<Option<Incoming>, BadPacket> {
        link::decode(self.version, &mut self.received)
    }

    /// Moves bytes in either direction. Dropping the future loses nothing.
    pub(super) async fn move_bytes(&mut self) -> Result<(), Trouble> {
        let (mut reader, mut writer) = self.stream.split();
        self.received.reserve(READ_BYTES);
        tokio::select! {
            count = reader.read_buf(&mut self.received) => match count {
                Ok(0) => Err(self.broken.take().map_or(Trouble::Closed, Trouble::Io)),
                Ok(_) => {
                    self.heard_at = now();
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            sent = writer.write_buf(&mut self.out), if !self.out.is_empty() && self.broken.is_none() => {
                self.broken = sent.err();
                self.ping_at = now() + self.keep_alive / 2;
                Ok(())
            }
        }
    }

    /// When [`Connection::handle_timeout`] is due, unless something is sent or comes before.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.ping_at.min(self.silent_at())
    }

    /// Asks the gateway whether it is there, or gives it up.
    pub(super) fn handle_timeout(&mut self) -> Result<(), Trouble> {
        if now() >= self.silent_at() {
            return Err(Trouble::Mute);
        }
        if now() >= self.ping_at {
            link::ping(&mut self.out);
            self.ping_at = now() + self.keep_alive / 2;
        }
        Ok(())
    }

    fn silent_at(&self) -> Instant {
        self.heard_at + self.keep_alive.mul_f64(1.5)
    }

    /// Sends DISCONNECT behind what is unsent.
    pub(super) async fn say_goodbye(&mut self) -> io::Result<()> {
        link::disconnect(&mut self.out);
        self.send_the_rest().await
    }

    /// The fault: the connection is about to break before, while or after its last bytes leave. `chance` lies in 0..1.
    pub(super) async fn break_off(&mut self, chance: f64) -> io::Result<()> {
        self.out.truncate((self.out.len() as f64 * 2.0 * chance) as usize);
        self.send_the_rest().await
    }

    async fn send_the_rest(&mut self) -> io::Result<()> {
        let sent = timeout(GREETING, self.stream.write_all_buf(&mut self.out)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[expect(clippy::disallowed_methods, reason = "a socket's driver reads the clock")]
fn now() -> Instant {
    Instant::now()
}
