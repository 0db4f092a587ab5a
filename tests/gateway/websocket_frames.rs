//! Frames of WebSockets as no library would send them: MQTT cut in any way, the seeds of `tests/corpus/websocket`, and their
//! mutations.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use sealgate::mqtt::{
    Ack, Decoder, Disconnect, Filter, Packet, Publish, QoS, ReasonCode, Subscribe, Subscription, Topic, Version, encode,
};

use crate::corpus::{mutate, mutations, seeds};
use crate::harness::{Client, Gateway, Login, PATIENCE, eventually};
use crate::websocket::{MQTT, upgrade};

const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A client's frame (RFC 6455 section 5.2); `last`: no fragment of its message follows.
fn frame(last: bool, opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![u8::from(last) << 7 | opcode];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A gateway with a service that may do what it likes below `flow/`.
fn gateway() -> (Gateway, Login) {
    let gateway = Gateway::start_with(&[("edge.messages_per_second_max", "1000000")]);
    let service = gateway.add_service("flow", &["pub:flow/#", "sub:flow/#"]);
    let login = Login::of_service(&gateway, &service);
    (gateway, login)
}

fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    bytes
}

fn connect(login: &Login, version: Version) -> BytesMut {
    encoded(&Packet::Connect(Box::new(login.connect(version))), version)
}

/// All that comes until the gateway closes its side.
fn until_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut came = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_to_end(&mut came).unwrap();
    came
}

/// All that comes until the gateway says that it closes, or does; a connection that it resets because it left something unread is
/// closed too.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut came = Vec::new();
    while !frames_in(&came).iter().any(|(opcode, _)| *opcode == CLOSE) {
        let mut bytes = [0; 16 * 1024];
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => came.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(error) => panic!("the gateway should have closed: {error}; before came {came:02x?}"),
        }
    }
    came
}

/// A server's frames, which bear no mask, by opcode and payload; what is no whole frame is left out.
fn frames_in(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match (length, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (short, rest) => (usize::from(*short), rest),
        };
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((first & 0x0F, payload));
        bytes = rest;
    }
    frames
}

/// The MQTT in a server's frames.
fn mqtt_in(bytes: &[u8]) -> Vec<u8> {
    let binary = frames_in(bytes).into_iter().filter(|(opcode, _)| matches!(*opcode, BINARY | CONTINUATION));
    binary.flat_map(|(_, payload)| payload.to_vec()).collect()
}

fn packets_in(mqtt: &[u8], version: Version) -> Vec<Packet> {
    let (mut decoder, mut buffer) = (Decoder::of_server(version, u32::MAX), BytesMut::from(mqtt));
    std::iter::from_fn(|| decoder.decode(&mut buffer).expect("the gateway sends what MQTT allows")).collect()
}

/// How the next bytes are put into frames.
#[derive(Clone, Debug)]
struct Piece {
    bytes: usize,
    /// False: the message goes on in the next frame.
    last: bool,
    before: Before,
    mask: [u8; 4],
}

/// What stands before a piece.
#[derive(Clone, Debug)]
enum Before {
    Nothing,
    Ping(u8),
    Pong(u8),
    /// A frame of no bytes, in the message or a message of its own.
    Empty,
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let before = prop_oneof![
        4 => Just(Before::Nothing),
        1 => (0..126u8).prop_map(Before::Ping),
        1 => (0..126u8).prop_map(Before::Pong),
        1 => Just(Before::Empty),
    ];
    let bytes = prop_oneof![3 => 1..6usize, 2 => 6..300usize, 1 => Just(2_000)];
    (bytes, any::<bool>(), before, any::<[u8; 4]>()).prop_map(|(bytes, last, before, mask)| Piece {
        bytes,
        last,
        before,
        mask,
    })
}

/// The bytes in frames, cut as the pieces say, again and again.
fn cut(mut mqtt: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let (mut frames, mut opcode) = (Vec::new(), BINARY);
    for piece in pieces.iter().cycle() {
        match piece.before {
            Before::Nothing => {}
            Before::Ping(length) => frames.extend(frame(true, PING, &vec![b'i'; length.into()], piece.mask)),
            Before::Pong(length) => frames.extend(frame(true, PONG, &vec![b'o'; length.into()], piece.mask)),
            Before::Empty => frames.extend(frame(opcode == BINARY, opcode, b"", piece.mask)),
        }
        let (now, later) = mqtt.split_at(piece.bytes.min(mqtt.len()));
        let last = piece.last || later.is_empty();
        frames.extend(frame(last, opcode, now, piece.mask));
        opcode = if last { BINARY } else { CONTINUATION };
        mqtt = later;
        if mqtt.is_empty() {
            break;
        }
    }
    frames
}

/// What is answered at once and in order.
fn any_packets() -> impl Strategy<Value = Vec<Packet>> {
    let id = || (1..10u16).prop_map(|id| NonZeroU16::new(id).unwrap());
    let publish = (select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]), id(), 0..3_000usize).prop_map(
        |(qos, id, payload_bytes)| {
            let mut publish = Publish::new(Topic::new("flow/a").unwrap(), Bytes::from(vec![0xC0; payload_bytes]));
            (publish.qos, publish.packet_id) = (qos, (qos != QoS::AtMostOnce).then_some(id));
            Packet::Publish(publish)
        },
    );
    let subscribe = (id(), select(vec!["flow/b", "other", "$share/g/flow/b"])).prop_map(|(packet_id, filter)| {
        let subscriptions = vec![Subscription::new(Filter::new(filter).unwrap(), QoS::AtLeastOnce)];
        Packet::Subscribe(Subscribe { packet_id, subscription_id: None, subscriptions, user_properties: Vec::new() })
    });
    let release = id().prop_map(|id| Packet::PubRel(Ack::new(id, ReasonCode::Success)));
    prop::collection::vec(prop_oneof![4 => publish, 1 => subscribe, 1 => release, 2 => Just(Packet::PingReq)], 0..12)
}

/// A case that fails by waiting takes as long as patience lasts, so what is found is made smaller for a while only.
fn runner(cases: u32) -> TestRunner {
    let max_shrink_time = 10_000;
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, max_shrink_time, ..ProptestConfig::default() })
}

#[test]
fn however_mqtt_is_cut_into_frames_the_answers_are_those_of_tcp() {
    let (gateway, login) = gateway();
    let cases = (select(vec![Version::V311, Version::V5]), any_packets(), prop::collection::vec(any_piece(), 1..20));
    let checked = runner(150).run(&cases, |(version, packets, pieces)| {
        let mut mqtt = connect(&login, version);
        packets.iter().for_each(|packet| encode(packet, version, &mut mqtt));
        encode(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)), version, &mut mqtt);

        let mut plain = TcpStream::connect(gateway.mqtt()).unwrap();
        plain.write_all(&mqtt).unwrap();
        let expected = packets_in(&until_the_end(&mut plain), version);
        prop_assert!(matches!(&expected[0], Packet::ConnAck(ack) if ack.code == ReasonCode::Success), "{expected:?}");

        let (mut stream, _) = upgrade(&gateway, MQTT);
        stream.write_all(&cut(&mqtt, &pieces)).unwrap();
        let answers = packets_in(&mqtt_in(&until_closed(&mut stream)), version);
        prop_assert_eq!(answers, expected);
        Ok(())
    });
    checked.unwrap();
}

/// A WebSocket whose client is logged in.
fn let_in(gateway: &Gateway, login: &Login) -> TcpStream {
    let (mut stream, _) = upgrade(gateway, MQTT);
    stream.write_all(&frame(true, BINARY, &connect(login, Version::V5), [0; 4])).unwrap();
    let mut came = Vec::new();
    while packets_in(&mqtt_in(&came), Version::V5).is_empty() {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "CONNACK was due: {came:02x?}");
        came.extend_from_slice(&bytes[..count]);
    }
    stream
}

/// Whether PINGRESP comes before the end.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut came = Vec::new();
    loop {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => came.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
        if packets_in(&mqtt_in(&came), Version::V5).contains(&Packet::PingResp) {
            return true;
        }
    }
}

/// No connection is left, the counts agree, and whoever speaks MQTT is served.
fn lives_on(gateway: &Gateway, login: &Login) {
    eventually("no connection is left", || {
        (gateway.metrics().value("sealgate_edge_connections", &[]) == 0.0).then_some(())
    });
    assert!(gateway.law_holds());
    let mut client = Client::connect(gateway, Version::V5, login);
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Packet::PingResp);
}

#[test]
fn each_seed_of_frames_is_answered_or_closed_as_it_says() {
    let (gateway, login) = gateway();
    for seed in seeds("websocket") {
        let mut stream = let_in(&gateway, &login);
        // The gateway may be gone before all is written.
        let _ = stream.write_all(&seed.bytes());
        match seed.expected() {
            "answered" => assert!(is_answered(&mut stream), "{}", seed.name),
            "closed" => drop(until_closed(&mut stream)),
            "open" => {
                let _ = stream.shutdown(Shutdown::Write);
                until_closed(&mut stream);
            }
            other => panic!("{}: {other} is no verdict", seed.name),
        }
    }
    lives_on(&gateway, &login);
}

/// How much more memory a gateway may have had at a time than before a test of one connection at a time.
const GROWTH_BYTES_MAX: usize = 16 * 1024 * 1024;

#[test]
fn mutated_frames_are_answered_or_closed_and_cost_nothing_that_stays() {
    let (gateway, login) = gateway();
    let seeds: Vec<Vec<u8>> = seeds("websocket").iter().map(|seed| seed.bytes()).collect();
    let cases = (select(seeds.clone()), mutations(), any::<bool>());
    let before = gateway.peak_memory_bytes();
    let checked = runner(300).run(&cases, |(mut bytes, changes, is_let_in)| {
        mutate(&mut bytes, &changes, &seeds);
        let mut stream = if is_let_in { let_in(&gateway, &login) } else { upgrade(&gateway, MQTT).0 };
        // The gateway may be gone before all is written.
        let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        until_closed(&mut stream);
        Ok(())
    });
    checked.unwrap();
    lives_on(&gateway, &login);
    let grown = gateway.peak_memory_bytes() - before;
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes");
}

/// The library keeps what it has to write, pongs among it, for as long as the client does not read: without a bound of ours, all.
#[test]
fn pongs_that_are_not_read_do_not_pile_up() {
    let (gateway, login) = gateway();
    let mut stream = let_in(&gateway, &login);
    let before = gateway.peak_memory_bytes();
    let pings = frame(true, PING, &[b'x'; 125], [0; 4]).repeat(8_000);
    let sent_max = 48 * 1024 * 1024;
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut sent = 0;
    while sent < sent_max && stream.write_all(&pings).is_ok() {
        sent += pings.len();
    }
    let grown = gateway.peak_memory_bytes() - before;
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes for {sent} bytes of pings");
    drop(stream);
    lives_on(&gateway, &login);
}
