//! Bytes out of packets.
//!
//! Each packet's layout is written down once and run twice: into a counter, which gives the lengths that stand in
//! front, and into the buffer. What a version has no place for is left out: 3.1.1 gets no properties, and codes in
//! CONNACK and SUBACK alone. A caller builds only packets that the version has; AUTH and a server's DISCONNECT are no
//! part of 3.1.1.

mod body;
mod properties;
mod sink;

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::packet::publish::Publish;
use super::packet::{Packet, Version};
use super::varint;
use body::Body;
use sink::{Part, Put, size_of};

/// The packet is larger than its receiver takes. [MQTT-3.1.2-24]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the packet of {bytes} bytes is larger than {bytes_max}, which is what its receiver takes")]
pub struct TooLarge {
    /// The size of the packet with its fixed header.
    pub bytes: u32,
    /// The limit.
    pub bytes_max: u32,
}

/// Appends `packet` to `out`, which grows to what is needed and no further.
///
/// # Panics
///
/// If the packet has more than 268,435,455 bytes after its fixed header, for which MQTT has no length. A packet that
/// was decoded, or is built of one, has less: see [`super::PACKET_BYTES_MAX`].
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) {
    encode_within(packet, version, u32::MAX, out).expect("a packet is built of less than MQTT can say the length of");
}

/// Appends `packet` to `out`, unless it has more than `bytes_max` bytes with its fixed header; then `out` is as it was.
pub fn encode_within(packet: &Packet, version: Version, bytes_max: u32, out: &mut BytesMut) -> Result<(), TooLarge> {
    let body = Body { packet, version };
    let body_bytes = size_of(&body);
    let bytes = packet_bytes(body_bytes);
    if body_bytes > varint::MAX as usize || bytes > bytes_max as usize {
        return Err(TooLarge { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), bytes_max });
    }
    out.reserve(bytes);
    out.put_u8(first_byte(packet));
    varint::write(body_bytes as u32, |byte| out.put_u8(byte));
    body.write(&mut Put(out));
    Ok(())
}

impl Packet {
    /// The bytes that the packet has in this version, with its fixed header.
    pub fn size(&self, version: Version) -> usize {
        packet_bytes(size_of(&Body { packet: self, version }))
    }
}

fn packet_bytes(body_bytes: usize) -> usize {
    1 + varint::size(u32::try_from(body_bytes).unwrap_or(varint::MAX)) + body_bytes
}

/// The type of the packet and its flags (table 2-1, table 2-2).
fn first_byte(packet: &Packet) -> u8 {
    match packet {
        Packet::Connect(_) => 0x10,
        Packet::ConnAck(_) => 0x20,
        Packet::Publish(publish) => 0x30 | publish_flags(publish),
        Packet::PubAck(_) => 0x40,
        Packet::PubRec(_) => 0x50,
        Packet::PubRel(_) => 0x62, // [MQTT-3.6.1-1]
        Packet::PubComp(_) => 0x70,
        Packet::Subscribe(_) => 0x82, // [MQTT-3.8.1-1]
        Packet::SubAck(_) => 0x90,
        Packet::Unsubscribe(_) => 0xA2, // [MQTT-3.10.1-1]
        Packet::UnsubAck(_) => 0xB0,
        Packet::PingReq => 0xC0,
        Packet::PingResp => 0xD0,
        Packet::Disconnect(_) => 0xE0,
        Packet::Auth(_) => 0xF0,
    }
}

fn publish_flags(publish: &Publish) -> u8 {
    u8::from(publish.dup) << 3 | publish.qos.as_u8() << 1 | u8::from(publish.retain)
}
