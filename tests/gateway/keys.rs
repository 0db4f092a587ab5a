//! Seal keys that rotate while devices send, master keys and where they come from, secrets that make way for others.

use std::sync::atomic::{AtomicBool, Ordering};

use sealgate::mqtt::{ReasonCode, Version};
use serde_json::{Value, json};

use crate::harness::http::get_as;
use crate::harness::{Client, Device, Gateway, Login, Scratch, eventually, post_form};

fn usage(gateway: &Gateway, version: u8) -> Value {
    let all = gateway.prints(&["keys", "usage", "--format", "json"]);
    let mut lines = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["version"] == json!(version)).unwrap_or_else(|| panic!("{all}"))
}

/// The device with its key of this version, which it fetches as a device does.
fn fetched(gateway: &Gateway, device: &Device, version: u8) -> Device {
    let token = gateway.token(&device.client_id, &device.client_secret);
    let answer = eventually("the gateway has the version", || {
        let answer = get_as(gateway.public(), &format!("/enrol/seal-key?version={version}"), &token);
        (answer.status == 200).then_some(answer)
    });
    assert!(answer.head.contains("no-store"), "{}", answer.head);
    let answer = answer.json();
    assert_eq!((&answer["device_id"], &answer["key_version"]), (&json!(device.id), &json!(version)));
    let key = hex::decode(answer["seal_key"].as_str().unwrap()).unwrap();
    device.with_key(version, key.try_into().unwrap())
}

fn publish(client: &mut Client, device: &Device) -> ReasonCode {
    client.publish_acknowledged(&device.topic(), device.seal(1.0)).code
}

#[test]
fn one_device_rotates_under_load_and_nothing_good_is_refused_nor_anything_old_accepted() {
    for mut gateway in [Gateway::prepare(&[]), Gateway::prepare_on_postgres(&[])] {
        gateway.restart();
        let (pump, van) = (gateway.add_device("pump"), gateway.add_device("van"));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Others send all the while, and none of it is refused.
            let others = scope.spawn(|| {
                let mut client = Client::of_device(&gateway, Version::V5, &van);
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(publish(&mut client, &van), ReasonCode::Success);
                    sent += 1;
                }
                sent
            });
            let mut client = Client::of_device(&gateway, Version::V5, &pump);
            assert_eq!(publish(&mut client, &pump), ReasonCode::Success);
            gateway.prints(&["device", "rotate", "pump"]);
            // Until it has the new key, the old one is good, and the rotation does not end by mistake.
            assert_eq!(publish(&mut client, &pump), ReasonCode::Success);
            let early = gateway.tries(&["device", "rotate", "pump", "--finish"]).unwrap_err();
            assert!(early.contains("has not used version 2"), "{early}");
            let renewed = fetched(&gateway, &pump, 2);
            assert_eq!(publish(&mut client, &renewed), ReasonCode::Success);
            assert_eq!(publish(&mut client, &pump), ReasonCode::Success, "both open");
            assert_eq!(usage(&gateway, 2)["fetched_by"], json!(1));
            assert_eq!(usage(&gateway, 2)["newest_used_by"], json!(1));
            gateway.prints(&["device", "rotate", "pump", "--finish"]);
            eventually("the old key opens no more", || {
                (publish(&mut client, &pump) == ReasonCode::NotAuthorized).then_some(())
            });
            assert_eq!(publish(&mut client, &renewed), ReasonCode::Success);
            is_over.store(true, Ordering::Relaxed);
            assert!(others.join().unwrap() > 0);
        });
        let rejected = |reason| {
            gateway.metrics().value("sealgate_ingest_rejected_total", &[("encoding", "frame"), ("reason", reason)])
        };
        assert!(rejected("unknown_key") >= 1.0 && rejected("bad_seal") == 0.0);
        assert!(gateway.metrics().value("sealgate_seal_opened_total", &[("key", "older")]) >= 1.0);
        assert_eq!(gateway.metrics().value("sealgate_seal_keys_fetched_total", &[]), 1.0);
        assert!(gateway.law_holds());
        // What the old key has sealed is provable still, and released where the operator names it.
        gateway.prints(&["verify"]);
        let released = gateway.prints(&["quarantine", "release", "--device", "pump", "--accept-key", "1"]);
        assert!(released.contains("stored"), "{released}");
        let fetches =
            gateway.prints(&["audit", "--action", "seal_key_fetched", "--subject", "pump", "--format", "json"]);
        assert_eq!(fetches.lines().count(), 1, "{fetches}");
    }
}

#[test]
fn a_version_is_retired_for_all_and_destroyed_when_it_is_meant() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(publish(&mut client, &pump), ReasonCode::Success);
    assert!(gateway.tries(&["keys", "retire", "1"]).unwrap_err().contains("newest"));
    gateway.prints(&["keys", "add"]);
    let van = gateway.add_device("van");
    assert_eq!(van.key_version, 2, "new devices get it");
    eventually("the gateway has it", || {
        (gateway.metrics().value("sealgate_seal_master_key_newest", &[]) == 2.0).then_some(())
    });
    let mut other = Client::of_device(&gateway, Version::V5, &van);
    assert_eq!(publish(&mut other, &van), ReasonCode::Success);
    let renewed = fetched(&gateway, &pump, 2);
    assert_eq!(publish(&mut client, &renewed), ReasonCode::Success);

    assert!(gateway.tries(&["keys", "destroy", "1", "--confirm", "1"]).unwrap_err().contains("still opens"));
    gateway.prints(&["keys", "retire", "1"]);
    eventually("it opens no more", || (publish(&mut client, &pump) == ReasonCode::NotAuthorized).then_some(()));
    gateway.prints(&["verify"]);
    let asked = gateway.tries(&["keys", "destroy", "1"]).unwrap_err();
    assert!(asked.contains("stored envelopes could be proved no more") && asked.contains("--confirm 1"), "{asked}");
    gateway.prints(&["keys", "destroy", "1", "--confirm", "1"]);
    let listed = gateway.prints(&["keys", "list", "--format", "json"]);
    assert!(listed.contains(r#""state":"destroyed""#) && listed.lines().count() == 2, "{listed}");
    let verified = gateway.prints(&["verify"]);
    assert!(verified.contains("envelopes are of a master key that was destroyed"), "{verified}");
    // The gateway goes on with what is left, also after a start: the database is the same one's.
    assert_eq!(publish(&mut client, &renewed), ReasonCode::Success);
    let mut gateway = gateway;
    gateway.kill9();
    gateway.restart();
    let mut client = Client::of_device(&gateway, Version::V5, &renewed);
    assert_eq!(publish(&mut client, &renewed), ReasonCode::Success);
    let told = gateway.tries(&["quarantine", "release", "--accept-key", "1"]).unwrap_err();
    assert!(told.contains("no master key of version 1"), "{told}");
}

#[test]
fn a_seal_key_is_handed_to_its_device_alone() {
    let gateway = Gateway::start();
    let (pump, console) = (gateway.add_device("pump"), gateway.add_service("console", &["sub:#"]));
    let (token, of_service) = (
        gateway.token(&pump.client_id, &pump.client_secret),
        gateway.token(&console.client_id, &console.client_secret),
    );
    let ask = |path: &str, token: &str| get_as(gateway.public(), path, token).status;
    assert_eq!(ask("/enrol/seal-key?version=1", &token), 200);
    assert_eq!(ask("/enrol/seal-key", &token), 200);
    for (path, token, status) in [
        ("/enrol/seal-key?version=2", token.as_str(), 404),
        ("/enrol/seal-key?version=0", &token, 404),
        ("/enrol/seal-key?version=256", &token, 400),
        ("/enrol/seal-key?version=x", &token, 400),
        ("/enrol/seal-key?version=1", &of_service, 403),
        ("/enrol/seal-key?version=1", "none", 401),
        ("/enrol/seal-key?version=1", "", 401),
    ] {
        assert_eq!(ask(path, token), status, "{path}");
    }
    gateway.prints(&["device", "disable", "pump"]);
    eventually("it is disabled", || (ask("/enrol/seal-key", &token) == 401).then_some(()));

    // Whatever else the operator has accepted: a key crosses no network in the clear.
    let exposed = Gateway::start_with(&[("public.listen", "0.0.0.0:0"), ("public.plaintext", "i-accept")]);
    let pump = exposed.add_device("pump");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], exposed.public().port()));
    let answer = post_form(
        address,
        "/oauth/token",
        &[("grant_type", "client_credentials"), ("client_id", &pump.client_id), ("client_secret", &pump.client_secret)],
    );
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(get_as(address, "/enrol/seal-key", &token).status, 403);
}

#[test]
fn a_gateway_that_lacks_a_version_refuses_nobody_for_it() {
    let [one, other] = Gateway::two_on_postgres(&[]);
    let pump = one.add_device("pump");
    one.prints(&["device", "rotate", "pump"]);
    let renewed = fetched(&one, &pump, 2);
    assert_eq!(publish(&mut Client::of_device(&one, Version::V5, &renewed), &renewed), ReasonCode::Success);
    one.prints(&["device", "rotate", "pump", "--finish"]);
    // The other gateway has not been given it: it holds what the device sends, and says so.
    let mut client = Client::of_device(&other, Version::V5, &renewed);
    let packet = client.publish(&renewed.topic(), sealgate::mqtt::QoS::AtLeastOnce, renewed.seal(2.0));
    eventually("it says what it lacks", || other.log().contains("no master key of version 2").then_some(()));
    assert!(packet.is_some() && client.hears_nothing_for(std::time::Duration::from_millis(300)));
    other.take_keys_of(&one);
    let sealgate::mqtt::Packet::PubAck(ack) = client.receive() else { panic!("an acknowledgement was due") };
    assert_eq!(ack.code, ReasonCode::Success);
}

#[test]
fn master_keys_come_from_a_file_a_variable_or_a_command() {
    let (line, scratch) = (format!("1 {}", "0f".repeat(32)), Scratch::new("keys"));
    let file = scratch.join("given.keys");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = file.to_str().unwrap();
    let command = format!("[\"cat\", \"{file}\"]");
    for settings in [
        [("seal.master_keys_file", file)],
        [("seal.master_keys_env", "THE_MASTER_KEYS")],
        [("seal.master_keys_command", &*command)],
    ] {
        let mut gateway = Gateway::prepare(&settings);
        gateway.set_variable("THE_MASTER_KEYS", &line);
        gateway.restart();
        let pump = gateway.add_device("pump");
        assert_eq!(publish(&mut Client::of_device(&gateway, Version::V5, &pump), &pump), ReasonCode::Success);
        assert!(!gateway.data_dir().join("master.keys").exists(), "{settings:?}");
        // What somebody else keeps is his to change.
        let told = gateway.prints(&["keys", "add"]);
        assert!(told.contains("Add this line there") && told.contains("\n2 "), "{told}");
        assert!(!gateway.log().contains(&"0f".repeat(32)));
    }
    // Refused, and never made anew: others may read it, it is empty, it is not there, two are named.
    let exposed = scratch.join("exposed.keys");
    std::fs::write(&exposed, format!("{line}\n")).unwrap();
    std::fs::set_permissions(&exposed, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for (arguments, told) in [
        (vec![format!("seal.master_keys_file={}", exposed.display())], "may be read"),
        (vec![format!("seal.master_keys_file={}", scratch.join("none").display())], "missing"),
        (vec!["seal.master_keys_command=[\"true\"]".to_owned()], "empty"),
        (vec!["seal.master_keys_env=NO_SUCH_VARIABLE".to_owned()], "not set"),
        (vec![format!("seal.master_keys_file={file}"), "seal.master_keys_env=A".to_owned()], "one place"),
    ] {
        let gateway = Gateway::prepare(&[]);
        let flags = arguments.iter().flat_map(|setting| ["--set", setting]);
        let all: Vec<&str> = flags.chain(["device", "add", "pump"]).collect();
        let said = gateway.tries(&all).unwrap_err();
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    assert!(!scratch.join("none").exists());
}

#[test]
fn a_secret_makes_way_while_both_are_good() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let fetch = |secret: &str| {
        let fields = [("grant_type", "client_credentials"), ("client_id", &*pump.client_id), ("client_secret", secret)];
        post_form(gateway.public(), "/oauth/token", &fields).status
    };
    let rotated = |overlap: &str| -> String {
        let printed = gateway.prints(&["device", "rotate-secret", "pump", "--overlap", overlap, "--format", "json"]);
        serde_json::from_str::<Value>(&printed).unwrap()["client_secret"].as_str().unwrap().to_owned()
    };
    let second = rotated("1h");
    assert_eq!((fetch(&pump.client_secret), fetch(&second)), (200, 200));
    gateway.prints(&["device", "rotate-secret", "pump", "--finish"]);
    assert_eq!((fetch(&pump.client_secret), fetch(&second)), (401, 200));
    let third = rotated("0s");
    assert_eq!((fetch(&second), fetch(&third)), (401, 200), "no overlap");
    let client = Login::of_device(
        &gateway,
        &Device::from_json(&json!({
            "device_id": "pump", "client_id": pump.client_id, "client_secret": third, "key_version": 1,
            "seal_key": hex::encode(pump.key),
        })),
    );
    Client::connect(&gateway, Version::V5, &client);
    assert!(gateway.tries(&["client", "rotate-secret", "nobody"]).unwrap_err().contains("no service nobody"));
}
