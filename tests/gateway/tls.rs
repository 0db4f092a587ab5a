//! MQTT over TLS, with clients that are not ours.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use sealgate::mqtt::Version;

use crate::harness::{Authority, Client, Device, Gateway, Scratch, eventually};

/// A gateway with a certificate for `localhost`.
struct World {
    gateway: Gateway,
    authority: Authority,
    scratch: Scratch,
}

impl World {
    fn new(settings: &[(&str, &str)]) -> Self {
        let (scratch, authority) = (Scratch::new("tls"), Authority::new());
        let certified = authority.certify("localhost", &scratch.join(""), "gateway");
        authority.write(&scratch.join("ca.pem"));
        let (certificate, key) = (certified.certificate.display().to_string(), certified.key.display().to_string());
        let tls = [
            ("edge.tls_listen", "127.0.0.1:0"),
            ("edge.tls_certificate", certificate.as_str()),
            ("edge.tls_key", key.as_str()),
            ("public.tls_listen", "127.0.0.1:0"),
            ("public.tls_certificate", certificate.as_str()),
            ("public.tls_key", key.as_str()),
        ];
        World { gateway: Gateway::start_with(&[&tls, settings].concat()), authority, scratch }
    }

    fn ca(&self) -> PathBuf {
        self.scratch.join("ca.pem")
    }

    /// `mosquitto_pub`, which returns when its message is acknowledged.
    fn publish(&self, device: &Device, arguments: &[&str]) -> Output {
        let frame = self.scratch.join("reading.frame");
        std::fs::write(&frame, device.seal(21.5)).unwrap();
        let token = self.gateway.token(&device.client_id, &device.client_secret);
        let port = self.gateway.mqtts().port().to_string();
        let mut command = Command::new("timeout");
        command.args(["20", "mosquitto_pub", "-h", "localhost", "-p", &port, "-q", "1", "-i", &device.id]);
        command.args(["-u", &device.id, "-P", &token, "-t", &device.topic(), "-f"]).arg(frame);
        command.arg("--cafile").arg(self.ca()).args(arguments).output().unwrap()
    }

    fn stored(&self) -> f64 {
        self.gateway.metrics().value("sealgate_ingest_stored_total", &[])
    }

    fn refused(&self, cause: &str) -> f64 {
        self.gateway.metrics().value("sealgate_edge_refused_total", &[("cause", cause)])
    }
}

fn assert_published(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn mosquitto_publishes_over_tls_1_2_and_1_3() {
    let world = World::new(&[]);
    let pump = world.gateway.add_device("pump");
    for tls in ["tlsv1.2", "tlsv1.3"] {
        for mqtt in ["mqttv311", "mqttv5"] {
            assert_published(&world.publish(&pump, &["--tls-version", tls, "-V", mqtt]));
        }
    }
    assert_eq!(world.stored(), 4.0);
    assert!(world.gateway.law_holds());
}

#[test]
fn tokens_are_fetched_over_tls_and_mqtt_goes_in_a_secure_websocket() {
    let world = World::new(&[]);
    let pump = world.gateway.add_device("pump");
    let port = world.gateway.https().port();
    let address = format!("https://localhost:{port}/oauth/token");
    let login = format!("{}:{}", pump.client_id, pump.client_secret);
    let ask = |authority: &PathBuf| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--fail",
            "--max-time",
            "20",
            "--user",
            &login,
            "--data",
            "grant_type=client_credentials",
        ]);
        curl.arg("--cacert").arg(authority).arg(&address).output().unwrap()
    };
    let answer = ask(&world.ca());
    assert!(answer.status.success(), "{answer:?}");
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let unknown = world.scratch.join("unknown.pem");
    Authority::new().write(&unknown);
    assert!(!ask(&unknown).status.success());

    let frame = world.scratch.join("reading.frame");
    std::fs::write(&frame, pump.seal(1.0)).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/websocket.py");
    let mut paho = Command::new("timeout");
    paho.args(["60", "/usr/bin/python3"]).arg(script).args(["5", &format!("localhost:{port}"), &pump.id, token]);
    let output = paho.arg(frame).env("CAFILE", world.ca()).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(world.stored(), 1.0);
}

#[test]
fn a_client_certificate_is_a_check_besides_the_token() {
    let (scratch, clients) = (Scratch::new("tls-clients"), Authority::new());
    clients.write(&scratch.join("clients.pem"));
    let own = clients.certify("pump", &scratch.join(""), "pump");
    let foreign = Authority::new().certify("pump", &scratch.join(""), "foreign");
    let world = World::new(&[("edge.tls_client_ca", &scratch.join("clients.pem").display().to_string())]);
    let pump = world.gateway.add_device("pump");
    let with = |certificate: PathBuf, key: PathBuf| {
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        world.publish(&pump, &["--cert", &certificate, "--key", &key])
    };
    assert_published(&with(own.certificate, own.key));
    assert!(!with(foreign.certificate, foreign.key).status.success());
    assert!(!world.publish(&pump, &[]).status.success());
    assert_eq!(world.stored(), 1.0);
    eventually("both are counted", || (world.refused("tls") == 2.0).then_some(()));
}

#[test]
fn a_certificate_that_is_renewed_is_used_and_no_connection_ends() {
    let world = World::new(&[]);
    let pump = world.gateway.add_device("pump");
    let mut open = Client::of_device(&world.gateway, Version::V5, &world.gateway.add_device("fan"));
    assert_published(&world.publish(&pump, &[]));
    let renewed = Authority::new();
    renewed.certify("localhost", &world.scratch.join(""), "gateway");
    renewed.write(&world.ca());
    eventually("the new certificate is in use", || world.publish(&pump, &[]).status.success().then_some(()));
    let reloaded = || world.gateway.metrics().value("sealgate_tls_reloads_total", &[("result", "loaded")]);
    eventually("each door has it", || (reloaded() == 2.0).then_some(()));
    open.send(&sealgate::mqtt::Packet::PingReq);
    assert_eq!(open.receive(), sealgate::mqtt::Packet::PingResp);
    world.authority.write(&world.ca());
    assert!(!world.publish(&pump, &[]).status.success(), "the old certificate is gone");
}

#[test]
fn who_does_not_shake_hands_delays_nobody_and_is_let_go() {
    let world = World::new(&[("edge.connect_timeout", "2s")]);
    let pump = world.gateway.add_device("pump");
    let mut silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(world.gateway.mqtts()).unwrap()).collect();
    assert_published(&world.publish(&pump, &[]));
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
    eventually("each is counted", || (world.refused("timeout") == 50.0).then_some(()));
}

#[test]
fn plain_mqtt_at_the_tls_door_is_no_handshake() {
    let world = World::new(&[]);
    let mut stream = TcpStream::connect(world.gateway.mqtts()).unwrap();
    stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_ne!(answer.first(), Some(&0x20), "no CONNACK in the clear");
    eventually("it is counted", || (world.refused("tls") == 1.0).then_some(()));
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_before_anything_starts() {
    let gateway = Gateway::prepare(&[
        ("edge.tls_listen", "127.0.0.1:0"),
        ("edge.tls_certificate", "/nowhere/chain.pem"),
        ("edge.tls_key", "/nowhere/key.pem"),
    ]);
    let output = gateway.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("[edge] tls_certificate") && said.contains("/nowhere/chain.pem: No such file"), "{said}");

    let half = Gateway::prepare(&[("edge.tls_listen", "127.0.0.1:0"), ("edge.tls_key", "/nowhere/key.pem")]);
    let output = half.run(&["check-config"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("edge.tls_certificate") && said.contains("tls_listen needs it"), "{said}");
}
