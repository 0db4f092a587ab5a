//! Packets out of bytes.
//!
//! The driver reads into a buffer and asks [`Decoder::decode`] until it says `None`; [`Decoder::needed`] tells how much
//! to read next. The first byte decides whether the packet may come at all, the fixed header whether it is too large:
//! both are refused before its body is there. After an error nothing more can be decoded on this connection.

mod ack;
mod connack;
mod connect;
mod error;
mod properties;
mod publish;
mod reader;
mod subscribe;

use bytes::{Buf, Bytes, BytesMut};
use zeroize::Zeroize;

pub use error::DecodeError;
use reader::Reader;

use super::packet::{Packet, Version};
use super::reason::Place;
use super::varint;

/// Makes packets of one connection's bytes. Pure: it holds no bytes itself.
#[derive(Clone, Debug)]
pub struct Decoder {
    packet_bytes_max: u32,
    /// The same for CONNECT, from whom nobody knows yet.
    connect_bytes_max: u32,
    peer: Peer,
    /// Known from a client's CONNECT on.
    version: Option<Version>,
}

/// Who sends the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Client,
    Server,
}

/// The most that a limit may be: what MQTT can say, less 1 MiB for what a packet may gain when it is sent on (a name
/// for an alias, subscription identifiers), so that whatever was decoded can be encoded.
pub const PACKET_BYTES_MAX: u32 = varint::MAX - (1 << 20);

/// The most filters of one SUBSCRIBE or UNSUBSCRIBE; more are refused with 0x97. Each takes at least 4 bytes of the
/// packet and 40 of memory. The figure is a choice: a client may send any number of such packets.
pub const SUBSCRIPTIONS_MAX: usize = 1_000;

/// The most user properties, or subscription identifiers, of one packet; more are refused with 0x97. A pair takes at
/// least 5 bytes of the packet and 64 of memory. The figure is a choice.
pub const REPEATS_MAX: usize = 100;

impl Decoder {
    /// For what a client sends, from its CONNECT on. A packet may have `packet_bytes_max` bytes with its fixed header,
    /// and never more than [`PACKET_BYTES_MAX`].
    pub fn new(packet_bytes_max: u32) -> Decoder {
        let packet_bytes_max = packet_bytes_max.min(PACKET_BYTES_MAX);
        Decoder { packet_bytes_max, connect_bytes_max: packet_bytes_max, peer: Peer::Client, version: None }
    }

    /// With a smaller bound for CONNECT: whoever has not said who he is gets less room.
    #[must_use]
    pub fn with_connect_max(self, connect_bytes_max: u32) -> Decoder {
        Decoder { connect_bytes_max: connect_bytes_max.min(self.packet_bytes_max), ..self }
    }

    /// For what a server sends to a client that speaks `version`.
    pub fn of_server(version: Version, packet_bytes_max: u32) -> Decoder {
        Decoder { peer: Peer::Server, version: Some(version), ..Decoder::new(packet_bytes_max) }
    }

    /// The version of the connection, as soon as a CONNECT has said it: also if the rest of that CONNECT is refused.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The next packet, whose bytes are taken out of `buffer`; `None` if it is not whole yet.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(&first) = buffer.first() else { return Ok(None) };
        let kind = self.admit(first)?;
        let Some(length) = varint::read(&buffer[1..])? else { return Ok(None) };
        let header_bytes = 1 + length.bytes;
        let bytes = header_bytes as u32 + length.value;
        if bytes > self.bytes_max() {
            return Err(DecodeError::TooLarge { bytes, bytes_max: self.bytes_max() });
        }
        if buffer.len() < bytes as usize {
            return Ok(None);
        }
        let mut packet = buffer.split_to(bytes as usize);
        packet.advance(header_bytes);
        let packet = match (kind, self.version) {
            (Kind::Connect, _) => self.connect(&mut packet)?,
            (_, Some(version)) => body(kind, first, packet.freeze(), version, self.peer)?,
            (_, None) => return Err(DecodeError::ConnectMissing),
        };
        if self.version == Some(Version::V5) {
            length.check_minimal()?; // [MQTT-1.5.5-1]; 3.1.1 does not ask for it, and the version is known only now
        }
        Ok(Some(packet))
    }

    /// How many bytes the packet that `buffer` begins with still lacks, as far as its header is there; never more than
    /// the limit, and 0 if [`Decoder::decode`] would not wait for more.
    pub fn needed(&self, buffer: &BytesMut) -> usize {
        let Some(length_bytes) = buffer.get(1..) else { return HEADER_BYTES_MIN };
        match varint::read(length_bytes) {
            Ok(None) => 1,
            Ok(Some(length)) if 1 + length.bytes as u32 + length.value <= self.bytes_max() => {
                (1 + length.bytes + length.value as usize).saturating_sub(buffer.len())
            }
            _ => 0,
        }
    }

    /// Takes the first PINGREQ out of `buffer`, though it stands behind packets that have to wait; false: there is none.
    pub fn take_ping(&self, buffer: &mut BytesMut) -> bool {
        let Some(at) = find_ping(buffer) else { return false };
        let behind = buffer.split_off(at);
        buffer.extend_from_slice(&behind[PINGREQ.len()..]);
        true
    }

    /// How large the packet at hand may be.
    fn bytes_max(&self) -> u32 {
        match (self.peer, self.version) {
            (Peer::Client, None) => self.connect_bytes_max,
            _ => self.packet_bytes_max,
        }
    }

    /// Whether a packet that begins with this byte may come now.
    fn admit(&self, first: u8) -> Result<Kind, DecodeError> {
        let kind = Kind::of(first)?;
        match (self.peer, self.version) {
            (Peer::Client, None) if kind != Kind::Connect => Err(DecodeError::ConnectMissing), // [MQTT-3.1.0-1]
            (Peer::Client, Some(_)) if kind == Kind::Connect => Err(DecodeError::ConnectAgain), // [MQTT-3.1.0-2]
            (_, Some(Version::V311)) if kind == Kind::Auth => Err(DecodeError::UnknownType(first >> 4)),
            (peer, version) if !kind.is_sent_by(peer, version) => Err(DecodeError::WrongSide),
            _ => Ok(kind),
        }
    }

    /// A CONNECT is copied, so that what a connection keeps of it does not keep the read buffer, and both are wiped,
    /// for they hold the password.
    fn connect(&mut self, packet: &mut [u8]) -> Result<Packet, DecodeError> {
        let copy = Bytes::copy_from_slice(packet);
        packet.zeroize();
        let connect = connect::connect(Reader::new(copy.clone()), &mut self.version);
        let connect = connect.map(|connect| Packet::Connect(Box::new(connect.detached())));
        if let Ok(mut copy) = copy.try_into_mut() {
            copy.as_mut().zeroize();
        }
        connect
    }
}

/// The type of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

impl Kind {
    fn of(first: u8) -> Result<Kind, DecodeError> {
        let kind = match first >> 4 {
            1 => Kind::Connect,
            2 => Kind::ConnAck,
            3 => return Ok(Kind::Publish),
            4 => Kind::PubAck,
            5 => Kind::PubRec,
            6 => Kind::PubRel,
            7 => Kind::PubComp,
            8 => Kind::Subscribe,
            9 => Kind::SubAck,
            10 => Kind::Unsubscribe,
            11 => Kind::UnsubAck,
            12 => Kind::PingReq,
            13 => Kind::PingResp,
            14 => Kind::Disconnect,
            15 => Kind::Auth,
            unknown => return Err(DecodeError::UnknownType(unknown)),
        };
        if first & 0x0F == kind.flags() { Ok(kind) } else { Err(DecodeError::HeaderFlags) }
    }

    /// The lower four bits of the first byte, which are fixed but for PUBLISH. [MQTT-2.1.3-1]
    fn flags(self) -> u8 {
        match self {
            // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1]
            Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe => 0b0010,
            // [MQTT-3.14.1-1], [MQTT-3.15.1-1]
            _ => 0,
        }
    }

    /// The direction of table 2-1.
    fn is_sent_by(self, peer: Peer, version: Option<Version>) -> bool {
        match self {
            Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::PingReq => peer == Peer::Client,
            Kind::ConnAck | Kind::SubAck | Kind::UnsubAck | Kind::PingResp => peer == Peer::Server,
            Kind::Disconnect => peer == Peer::Client || version == Some(Version::V5),
            Kind::Publish | Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp | Kind::Auth => true,
        }
    }
}

/// The packet whose body this is; any but CONNECT.
fn body(kind: Kind, first: u8, body: Bytes, version: Version, peer: Peer) -> Result<Packet, DecodeError> {
    let body = Reader::new(body);
    Ok(match kind {
        Kind::Connect => return Err(DecodeError::ConnectAgain),
        Kind::ConnAck => Packet::ConnAck(Box::new(connack::connack(body, version)?)),
        Kind::Publish => Packet::Publish(publish::publish(first, body, version, peer)?),
        Kind::PubAck => Packet::PubAck(ack::ack(body, version, Place::Taken)?),
        Kind::PubRec => Packet::PubRec(ack::ack(body, version, Place::Taken)?),
        Kind::PubRel => Packet::PubRel(ack::ack(body, version, Place::Released)?),
        Kind::PubComp => Packet::PubComp(ack::ack(body, version, Place::Released)?),
        Kind::Subscribe => Packet::Subscribe(subscribe::subscribe(body, version)?),
        Kind::SubAck => Packet::SubAck(subscribe::suback(body, version)?),
        Kind::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(body, version)?),
        Kind::UnsubAck => Packet::UnsubAck(subscribe::unsuback(body, version)?),
        Kind::PingReq => body.end().map(|()| Packet::PingReq)?,
        Kind::PingResp => body.end().map(|()| Packet::PingResp)?,
        Kind::Disconnect => Packet::Disconnect(ack::disconnect(body, version, peer)?),
        Kind::Auth => Packet::Auth(ack::auth(body, peer)?),
    })
}

/// Where a whole PINGREQ begins, at the start or behind whole packets.
fn find_ping(buffer: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = buffer.get(at..)?;
        if rest.starts_with(&PINGREQ) {
            return Some(at);
        }
        let length = varint::read(rest.get(1..)?).ok().flatten()?;
        at = at.checked_add(1 + length.bytes)?.checked_add(length.value as usize)?;
    }
}

/// PINGREQ, which bears nothing [MQTT-3.12.1].
const PINGREQ: [u8; 2] = [0xC0, 0];
const HEADER_BYTES_MIN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_wiped_from_the_read_buffer() {
        let mut body = *b"\0\x04MQTT\x05\xC2\0\x0A\0\0\x01c\0\x01u\0\x06secret";
        let packet = Decoder::new(100).connect(&mut body);
        assert!(matches!(packet, Ok(Packet::Connect(connect)) if connect.password.is_some()));
        assert!(body.iter().all(|byte| *byte == 0));
    }
}
