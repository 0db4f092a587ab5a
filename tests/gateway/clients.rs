//! Clients that people use, each with a token of its own: a device that publishes and is answered, and a listener that hears its
//! readings. (paho's are in `envelopes` and `websocket`, `mosquitto_pub` over TLS is in `tls`.)

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Authority, Device, Gateway, Login, PATIENCE, Scratch, eventually, rumqttc};

/// A gateway with a device and a listener.
struct World {
    gateway: Gateway,
    scratch: Scratch,
    device: Device,
    device_login: Login,
    listener_login: Login,
}

impl World {
    fn new() -> Self {
        Self::with(Scratch::new("clients"), &[])
    }

    fn with(scratch: Scratch, settings: &[(&str, &str)]) -> Self {
        let gateway = Gateway::start_with(settings);
        let device = gateway.add_device("pump");
        let listener = gateway.add_service("console", &["sub:readings/#"]);
        let device_login = Login::of_device(&gateway, &device);
        let listener_login = Login::of_service(&gateway, &listener);
        World { gateway, scratch, device, device_login, listener_login }
    }

    /// A frame in a file, for programs that read one.
    fn frame(&self, name: &str, frame: &[u8]) -> PathBuf {
        let path = self.scratch.join(name);
        std::fs::write(&path, frame).unwrap();
        path
    }

    fn stored(&self) -> f64 {
        self.gateway.metrics().value("sealgate_ingest_stored_total", &[])
    }
}

fn broken(device: &Device) -> Vec<u8> {
    let mut frame = device.seal(3.0);
    frame[30] ^= 1;
    frame
}

#[test]
fn mqtt_js_at_each_version_over_tcp_and_in_a_websocket() {
    let world = World::new();
    let (mqtt, public) = (world.gateway.mqtt(), world.gateway.public());
    let mut stored = 0.0;
    for url in [format!("mqtt://{mqtt}"), format!("ws://{public}/mqtt")] {
        for (version, lines) in [
            // 3.1.1 has one code of failure for a filter, and none for a message.
            ("3.1.1", "readings 1\ncommands 1\nanother's 128\ngood 0\nagain 0\nbroken 0\nheard readings/pump\n"),
            ("5", "readings 1\ncommands 1\nanother's 135\ngood 0\nagain 0\nbroken 153\nheard readings/pump\n"),
        ] {
            let (device, listener) = (&world.device_login, &world.listener_login);
            let good = world.frame("good.frame", &world.device.seal(1.0));
            let broken = world.frame("broken.frame", &broken(&world.device));
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mqttjs.js");
            let mut node = Command::new("timeout");
            // Debian's modules, whichever Node this is.
            node.env("NODE_PATH", "/usr/share/nodejs").args(["60", "node"]).arg(script);
            node.args([version, &url, &device.user_name, &device.token, &listener.user_name, &listener.token]);
            let output = node.args([good, broken]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said, lines, "{version} at {url}: {}", String::from_utf8_lossy(&output.stderr));
            stored += 1.0;
            assert_eq!(world.stored(), stored);
        }
    }
    assert!(world.gateway.law_holds());
}

/// `mosquitto_sub`, which ends after one message.
fn hear(world: &World, address: (&str, u16), version: &str, arguments: &[&str]) -> Child {
    let login = &world.listener_login;
    let port = address.1.to_string();
    let mut command = Command::new("timeout");
    command.args(["60", "mosquitto_sub", "-h", address.0, "-p", &port, "-V", version, "-i", &login.client_id]);
    command.args(["-u", &login.user_name, "-P", &login.token, "-t", "readings/#", "-q", "1", "-C", "1", "-F", "%t %p"]);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn say(world: &World, address: (&str, u16), version: &str, arguments: &[&str]) {
    let login = &world.device_login;
    let (port, frame) = (address.1.to_string(), world.frame("reading.frame", &world.device.seal(21.5)));
    let mut command = Command::new("timeout");
    command.args(["60", "mosquitto_pub", "-h", address.0, "-p", &port, "-V", version, "-i", &login.client_id]);
    command.args(["-u", &login.user_name, "-P", &login.token, "-t", &world.device.topic(), "-q", "1", "-f"]);
    let output = command.arg(frame).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn mosquitto_s_clients_at_each_version_over_tcp_and_tls() {
    let scratch = Scratch::new("clients");
    let authority = Authority::new();
    let certified = authority.certify("localhost", &scratch.join(""), "gateway");
    authority.write(&scratch.join("ca.pem"));
    let ca = scratch.join("ca.pem").display().to_string();
    let world = World::with(
        scratch,
        &[
            ("edge.tls_listen", "127.0.0.1:0"),
            ("edge.tls_certificate", &certified.certificate.display().to_string()),
            ("edge.tls_key", &certified.key.display().to_string()),
        ],
    );
    let plain = ("127.0.0.1", world.gateway.mqtt().port());
    let tls = ("localhost", world.gateway.mqtts().port());
    let subscriptions = || world.gateway.metrics().value("sealgate_broker_subscriptions", &[]);
    for (address, arguments) in [(plain, &[][..]), (tls, &["--cafile", &ca][..])] {
        for version in ["mqttv311", "mqttv5"] {
            eventually("nobody listens any more", || (subscriptions() == 0.0).then_some(()));
            let listener = hear(&world, address, version, arguments);
            eventually("it has subscribed", || (subscriptions() == 1.0).then_some(()));
            say(&world, address, version, arguments);
            let output = listener.wait_with_output().unwrap();
            let heard = String::from_utf8_lossy(&output.stdout);
            assert!(heard.starts_with("readings/pump [") && heard.contains("21.5"), "{version}: {heard}{output:?}");
        }
    }
    assert_eq!(world.stored(), 4.0);
}

/// Waits for an event that is looked for.
macro_rules! until {
    ($events:expr, $pattern:pat => $value:expr) => {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let $pattern = $events.poll().await.unwrap() {
                    break $value;
                }
            }
        })
        .await
        .expect("the event comes")
    };
}

#[tokio::test]
async fn rumqttc_s_event_loop_at_3_1_1() {
    use ::rumqttc::{Event, Packet, QoS, SubscribeReasonCode};

    let world = World::new();
    let (listener, mut heard) = rumqttc::at_3_1_1(&world.gateway, &world.listener_login, 10);
    listener.subscribe("readings/#", QoS::AtLeastOnce).await.unwrap();
    let codes = until!(heard, Event::Incoming(Packet::SubAck(ack)) => ack.return_codes);
    assert_eq!(codes, [SubscribeReasonCode::Success(QoS::AtLeastOnce)]);
    let (device, mut events) = rumqttc::at_3_1_1(&world.gateway, &world.device_login, 10);
    for frame in [world.device.seal(1.0), broken(&world.device)] {
        device.publish(world.device.topic(), QoS::AtLeastOnce, false, frame).await.unwrap();
        until!(events, Event::Incoming(Packet::PubAck(ack)) => ack);
    }
    let reading = until!(heard, Event::Incoming(Packet::Publish(publish)) => publish);
    assert_eq!(reading.topic, "readings/pump");
    assert_eq!(world.stored(), 1.0);
    assert!(world.gateway.law_holds());
}

#[tokio::test]
async fn rumqttc_s_event_loop_at_5() {
    use ::rumqttc::v5::Event;
    use ::rumqttc::v5::mqttbytes::QoS;
    use ::rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};

    let world = World::new();
    let (listener, mut heard) = rumqttc::at_5(&world.gateway, &world.listener_login, 10);
    listener.subscribe("readings/#", QoS::AtLeastOnce).await.unwrap();
    let codes = until!(heard, Event::Incoming(Packet::SubAck(ack)) => ack.return_codes);
    assert_eq!(codes, [SubscribeReasonCode::Success(QoS::AtLeastOnce)]);
    let (device, mut events) = rumqttc::at_5(&world.gateway, &world.device_login, 10);
    let expected = [PubAckReason::Success, PubAckReason::PayloadFormatInvalid];
    for (frame, reason) in [world.device.seal(1.0), broken(&world.device)].into_iter().zip(expected) {
        device.publish(world.device.topic(), QoS::AtLeastOnce, false, frame).await.unwrap();
        let answer = until!(events, Event::Incoming(Packet::PubAck(ack)) => ack);
        assert_eq!(answer.reason, reason);
    }
    let reading = until!(heard, Event::Incoming(Packet::Publish(publish)) => publish);
    assert_eq!(&reading.topic[..], b"readings/pump");
    assert_eq!(world.stored(), 1.0);
    assert!(world.gateway.law_holds());
}
