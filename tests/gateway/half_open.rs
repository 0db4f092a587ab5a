//! Clients that begin and do not go on: none of them is in the way of another, however they came.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use sealgate::mqtt::{Packet, ReasonCode, Version, encode};

use crate::harness::{Authority, Client, Device, Gateway, Login, PATIENCE, Scratch};

/// Of each kind.
const COUNT: usize = 100;
/// The head of a record that is to have 512 bytes, and the head of a ClientHello (RFC 8446 sections 5.1 and 4).
const HELLO_WITHOUT_END: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: mqtt\r\n\r\n";

/// A way to begin, and where.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Silent,
    HalfAConnect,
    HelloWithoutEnd,
    HalfAnUpgrade,
    UpgradeWithoutMqtt,
}

const KINDS: [Kind; 5] =
    [Kind::Silent, Kind::HalfAConnect, Kind::HelloWithoutEnd, Kind::HalfAnUpgrade, Kind::UpgradeWithoutMqtt];

struct World {
    gateway: Gateway,
    pump: Device,
    login: Login,
    _scratch: Scratch,
}

impl World {
    /// Whoever begins has longer than a test takes.
    fn new() -> Self {
        let (scratch, authority) = (Scratch::new("half_open"), Authority::new());
        let certified = authority.certify("localhost", &scratch.join(""), "gateway");
        let gateway = Gateway::start_with(&[
            ("edge.connect_timeout", "10m"),
            ("edge.tls_listen", "127.0.0.1:0"),
            ("edge.tls_certificate", &certified.certificate.display().to_string()),
            ("edge.tls_key", &certified.key.display().to_string()),
        ]);
        let pump = gateway.add_device("pump");
        let login = Login::of_device(&gateway, &pump);
        World { gateway, pump, login, _scratch: scratch }
    }

    fn begin(&self, kind: Kind) -> TcpStream {
        let (address, begun) = match kind {
            Kind::Silent => (self.gateway.mqtt(), Vec::new()),
            Kind::HalfAConnect => (self.gateway.mqtt(), self.halves().0),
            Kind::HelloWithoutEnd => (self.gateway.mqtts(), HELLO_WITHOUT_END.to_vec()),
            Kind::HalfAnUpgrade => (self.gateway.public(), UPGRADE[..UPGRADE.len() / 2].into()),
            Kind::UpgradeWithoutMqtt => (self.gateway.public(), UPGRADE.into()),
        };
        let stream = open(address, &begun);
        if let Kind::UpgradeWithoutMqtt = kind {
            assert!(head(&stream).starts_with("HTTP/1.1 101 "));
        }
        stream
    }

    /// A good CONNECT, in two.
    fn halves(&self) -> (Vec<u8>, Vec<u8>) {
        let mut connect = bytes::BytesMut::new();
        encode(&Packet::Connect(self.login.connect(Version::V5).into()), Version::V5, &mut connect);
        let half = connect.split_to(connect.len() / 2);
        (half.to_vec(), connect.to_vec())
    }

    /// A good client comes in by plain TCP, and in a WebSocket.
    fn good_clients_come_in(&self, beside: &str) {
        let mut client = Client::connect(&self.gateway, Version::V5, &self.login);
        let acknowledged = client.publish_acknowledged(&self.pump.topic(), self.pump.seal(1.0));
        assert_eq!(acknowledged.code, ReasonCode::Success, "{beside}");
        let socket = open(self.gateway.public(), UPGRADE.as_bytes());
        assert!(head(&socket).starts_with("HTTP/1.1 101 "), "{beside}");
    }

    fn refused(&self) -> f64 {
        self.gateway.metrics().sum("sealgate_edge_refused_total")
    }
}

fn open(address: SocketAddr, begun: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(begun).unwrap();
    stream
}

/// The head of an answer.
fn head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The first bytes of a CONNACK with success.
fn is_welcomed(mut stream: &TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    answer[0] == 0x20 && answer[3] == 0
}

#[test]
fn whoever_begins_and_does_not_go_on_delays_nobody() {
    let world = World::new();
    let mut begun: Vec<(Kind, TcpStream)> = Vec::new();
    for kind in KINDS {
        begun.extend((0..COUNT).map(|_| (kind, world.begin(kind))));
        world.good_clients_come_in(&format!("{} that have begun, {kind:?} at last", begun.len()));
    }
    // All of them were there all the time: nobody was shown out to make room.
    assert_eq!(world.refused(), 0.0);
    for (kind, stream) in &mut begun {
        stream.set_nonblocking(true).unwrap();
        let waits = match kind {
            // The public listener has a deadline of its own, which no setting changes.
            Kind::HalfAnUpgrade => true,
            _ => stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        };
        assert!(waits, "{kind:?} was answered or closed");
    }
}

#[test]
fn whoever_goes_on_after_all_comes_in_whatever_the_order() {
    let world = World::new();
    let (first, second) = world.halves();
    let mut upgrades: Vec<TcpStream> = (0..COUNT / 5).map(|_| world.begin(Kind::HalfAnUpgrade)).collect();
    while !upgrades.is_empty() {
        let mut upgrade = upgrades.swap_remove(fastrand::usize(..upgrades.len()));
        upgrade.write_all(&UPGRADE.as_bytes()[UPGRADE.len() / 2..]).unwrap();
        assert!(head(&upgrade).starts_with("HTTP/1.1 101 "), "{} wait still", upgrades.len());
    }
    let mut halves: Vec<TcpStream> = (0..COUNT).map(|_| open(world.gateway.mqtt(), &first)).collect();
    while !halves.is_empty() {
        let mut half = halves.swap_remove(fastrand::usize(..halves.len()));
        half.write_all(&second).unwrap();
        assert!(is_welcomed(&half), "{} wait still", halves.len());
    }
}
