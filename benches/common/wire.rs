//! The few packets that a load generator exchanges before it is at speed, and what it needs of the packets that come then: where
//! each ends, and its identifier.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BytesMut};
use sealgate::mqtt::{
    Connect, Decoder, Filter, Packet, QoS, ReasonCode, Subscribe, Subscription, Text, Version, encode,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::PATIENCE;

/// What a client says who it is.
#[derive(Clone, Copy)]
pub(crate) enum Login<'a> {
    /// Nothing: the peer asks for nothing.
    None,
    /// With a token.
    As { user_name: &'a str, token: &'a str },
}

/// The packet identifier of a client's nth message; 0 is none.
pub(crate) fn packet_id(index: usize) -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add((index % 65_535) as u16)
}

/// Connects and logs in; what is on the way later may be `window`.
pub(crate) async fn connect(
    address: SocketAddr,
    client_id: &str,
    login: Login<'_>,
    window: usize,
) -> Result<TcpStream> {
    connect_at(Version::V5, address, client_id, login, window).await
}

/// The same at a version.
pub(crate) async fn connect_at(
    version: Version,
    address: SocketAddr,
    client_id: &str,
    login: Login<'_>,
    window: usize,
) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    log_in_at(version, &mut stream, client_id, login, window).await?;
    Ok(stream)
}

/// Logs in on a stream that is open; what is on the way later may be `window`.
pub(crate) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    client_id: &str,
    login: Login<'_>,
    window: usize,
) -> Result<()> {
    log_in_at(Version::V5, stream, client_id, login, window).await
}

async fn log_in_at<S: AsyncRead + AsyncWrite + Unpin>(
    version: Version,
    stream: &mut S,
    client_id: &str,
    login: Login<'_>,
    window: usize,
) -> Result<()> {
    let mut connect = Connect::new(version, Text::try_from(client_id)?);
    // rumqttd takes 0 for no time at all. Longer than a run, so that nobody pings.
    connect.keep_alive_secs = 600;
    if let Login::As { user_name, token } = login {
        connect.user_name = Some(Text::try_from(user_name)?);
        connect.password = Some(token.as_bytes().try_into()?);
    }
    send_at(version, stream, &Packet::Connect(Box::new(connect))).await?;
    match receive_at(version, stream).await? {
        Packet::ConnAck(answer) => {
            ensure!(answer.code == ReasonCode::Success, "CONNACK says {:?}", answer.code);
            let receive_max = answer.receive_max.map_or(usize::from(u16::MAX), |max| usize::from(max.get()));
            ensure!(receive_max >= window, "a window of {window} is more than the server takes: {receive_max}");
        }
        other => bail!("CONNACK was due: {other:?}"),
    }
    Ok(())
}

/// Sends a packet.
pub(crate) async fn send<S: AsyncWrite + Unpin>(stream: &mut S, packet: &Packet) -> Result<()> {
    send_at(Version::V5, stream, packet).await
}

async fn send_at<S: AsyncWrite + Unpin>(version: Version, stream: &mut S, packet: &Packet) -> Result<()> {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    stream.write_all(&bytes).await?;
    // TLS writes whole records.
    Ok(stream.flush().await?)
}

/// The one packet that is due before anything else can come.
pub(crate) async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Packet> {
    receive_at(Version::V5, stream).await
}

async fn receive_at<S: AsyncRead + Unpin>(version: Version, stream: &mut S) -> Result<Packet> {
    let (mut decoder, mut buffer) = (Decoder::of_server(version, u32::MAX), BytesMut::new());
    loop {
        ensure!(timeout(PATIENCE, stream.read_buf(&mut buffer)).await?? > 0, "the server closed the connection");
        if let Some(packet) = decoder.decode(&mut buffer)? {
            return Ok(packet);
        }
    }
}

/// Subscribes to one filter.
pub(crate) async fn subscribe<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, filter: &str, qos: QoS) -> Result<()> {
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: packet_id(0),
        subscription_id: None,
        user_properties: Default::default(),
        subscriptions: vec![Subscription::new(Filter::new(filter)?, qos)],
    });
    send(stream, &subscribe).await?;
    match receive(stream).await? {
        Packet::SubAck(ack) => ensure!(ack.codes.iter().all(|code| !code.is_failure()), "SUBACK: {:?}", ack.codes),
        other => bail!("SUBACK was due: {other:?}"),
    }
    Ok(())
}

/// Takes a whole packet off the buffer.
pub(crate) fn whole_packet(buffer: &mut BytesMut) -> Result<Option<BytesMut>> {
    let (mut length, mut at) = (0, 1);
    loop {
        let Some(byte) = buffer.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        ensure!(at <= 4, "a length has at most four bytes");
    }
    Ok((buffer.len() >= at + length).then(|| buffer.split_to(at + length)))
}

/// The PUBACK of a PUBLISH, if it wants one.
pub(crate) fn acknowledge(publish: &[u8], acks: &mut BytesMut) -> Result<()> {
    ensure!(publish[0] >> 4 == 3, "a subscriber gets PUBLISH, not {:02x?}", &publish[..publish.len().min(8)]);
    if publish[0] >> 1 & 3 == 0 {
        return Ok(());
    }
    let header = 1 + publish.iter().skip(1).position(|byte| byte & 0x80 == 0).context("a length has an end")? + 1;
    let mut body = &publish[header..];
    ensure!(body.len() > 4, "a PUBLISH has a topic and an identifier");
    let topic_bytes = usize::from(body.get_u16());
    let id = body.get(topic_bytes..topic_bytes + 2).context("a PUBLISH at QoS 1 has an identifier")?;
    acks.extend_from_slice(&[0x40, 2, id[0], id[1]]);
    Ok(())
}
