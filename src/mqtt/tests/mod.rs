//! The codec against the standards' examples, against itself, against another's, and against noise.

mod corpus;
mod foreign;
mod golden;
mod malformed;
mod properties;
mod strategies;

use bytes::BytesMut;

use super::*;

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

const PACKET_BYTES_MAX_HERE: u32 = 1 << 20;

/// A decoder that takes any packet of this sender but CONNECT, for a client's has been there.
fn decoder(sender: Sender, version: Version) -> Decoder {
    match sender {
        Sender::Server => Decoder::of_server(version, PACKET_BYTES_MAX_HERE),
        Sender::Client => {
            let mut decoder = Decoder::new(PACKET_BYTES_MAX_HERE);
            let connect = Packet::Connect(Box::new(Connect::new(version, Text::from_static("c"))));
            assert_eq!(decoder.decode(&mut encoded(&connect, version)), Ok(Some(connect)));
            decoder
        }
    }
}

/// A decoder that `packet` may come to next.
fn decoder_for(packet: &Packet, sender: Sender, version: Version) -> Decoder {
    match packet {
        Packet::Connect(_) => Decoder::new(PACKET_BYTES_MAX_HERE),
        _ => decoder(sender, version),
    }
}

fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    bytes
}

/// The one packet that `bytes` are.
fn decode_one(mut decoder: Decoder, bytes: &[u8]) -> Result<Packet, DecodeError> {
    let mut buffer = BytesMut::from(bytes);
    let packet = decoder.decode(&mut buffer)?;
    assert!(buffer.is_empty(), "bytes are left over after {packet:?}");
    Ok(packet.expect("the packet is whole"))
}
