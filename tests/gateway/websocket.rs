//! MQTT in a WebSocket on the public listener: with a client that is not ours, and with one that is rude.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Device, Gateway, Scratch, eventually};

/// Publishes with paho, and gives its lines.
fn publish(gateway: &Gateway, device: &Device, version: &str, frames: &[Vec<u8>]) -> String {
    let scratch = Scratch::new("websocket");
    let paths: Vec<_> = (0..frames.len()).map(|nth| scratch.join(&format!("{nth}.frame"))).collect();
    paths.iter().zip(frames).for_each(|(path, frame)| std::fs::write(path, frame).unwrap());
    let token = gateway.token(&device.client_id, &device.client_secret);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/websocket.py");
    let mut command = Command::new("timeout");
    command.args(["60", "/usr/bin/python3"]).arg(script).args([
        version,
        &gateway.public().to_string(),
        &device.id,
        &token,
    ]);
    let output = command.args(&paths).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A WebSocket whose upgrade was answered so.
pub(crate) fn upgrade(gateway: &Gateway, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(gateway.public()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

pub(crate) const MQTT: &str = "sec-websocket-protocol: mqtt\r\n";

/// A frame of a client (RFC 6455 section 5.2), masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn paho_publishes_in_a_websocket_at_each_version() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    for (version, lines) in [("3.1.1", "acknowledged\nacknowledged\n"), ("5", "0\n0\n")] {
        assert_eq!(publish(&gateway, &pump, version, &[pump.seal(1.0), pump.seal(2.0)]), lines);
    }
    let mut broken = pump.seal(3.0);
    broken[30] ^= 1;
    assert_eq!(publish(&gateway, &pump, "5", &[broken]), "153\n");
    assert_eq!(gateway.metrics().value("sealgate_ingest_stored_total", &[]), 4.0);
    assert!(gateway.law_holds());
}

#[test]
fn the_subprotocol_is_mqtt() {
    let gateway = Gateway::start();
    let (_stream, head) = upgrade(&gateway, MQTT);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("sec-websocket-protocol: mqtt"), "{head}");
    for other in ["", "sec-websocket-protocol: chat\r\n"] {
        let (_stream, head) = upgrade(&gateway, other);
        assert!(head.starts_with("HTTP/1.1 400 "), "[MQTT-6.0.0-3] {head}");
    }
}

#[test]
fn text_is_no_mqtt_and_a_flood_of_frames_is_bounded() {
    let gateway = Gateway::start_with(&[("edge.connect_timeout", "5s")]);
    let (mut text, _) = upgrade(&gateway, MQTT);
    text.write_all(&frame(1, b"hello")).unwrap();
    assert!(!rest(text).contains(&0x20), "[MQTT-6.0.0-1]");

    let (mut large, _) = upgrade(&gateway, MQTT);
    // A binary frame that says that it has 2^40 bytes.
    large.write_all(&[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    rest(large);

    let (mut pieces, _) = upgrade(&gateway, MQTT);
    // CONNECT without a token, a byte a frame, with pings between [MQTT-6.0.0-2].
    for byte in b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a" {
        pieces.write_all(&[frame(2, &[*byte]), frame(9, b"")].concat()).unwrap();
    }
    let answer = rest(pieces);
    assert!(
        answer.windows(6).any(|window| window == b"\x82\x04\x20\x02\x00\x05"),
        "CONNACK, not authorised: {answer:?}"
    );
    eventually("all are gone", || (gateway.metrics().value("sealgate_edge_connections", &[]) == 0.0).then_some(()));
}

#[test]
fn websockets_count_against_the_common_bound() {
    let gateway = Gateway::start_with(&[("edge.connections_max", "2")]);
    let held = [upgrade(&gateway, MQTT), upgrade(&gateway, MQTT)];
    assert!(held.iter().all(|(_, head)| head.starts_with("HTTP/1.1 101 ")));
    let (_stream, head) = upgrade(&gateway, MQTT);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    drop(held);
    eventually("a place is free", || upgrade(&gateway, MQTT).1.starts_with("HTTP/1.1 101 ").then_some(()));
}
