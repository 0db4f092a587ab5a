//! A fleet comes into the registry and goes: by a file, one by one, and never by half.

use sealgate::mqtt::{ReasonCode, Version};
use serde_json::{Value, json};

use crate::harness::{Client, Device, Gateway, Scratch, eventually};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_fleet_is_imported_and_its_credentials_are_good() {
    for mut gateway in [Gateway::prepare(&[]), Gateway::prepare_on_postgres(&[])] {
        gateway.restart();
        let scratch = Scratch::new("import");
        let (file, credentials) = (scratch.join("fleet.csv"), scratch.join("fleet.jsonl"));
        let lines: String = (0..5_000).map(|number| format!("van-{number:04},vans\n")).collect();
        std::fs::write(&file, format!("device_id,group\n{lines}")).unwrap();
        let (file, credentials) = (file.to_str().unwrap(), credentials.to_str().unwrap());
        gateway.prints(&["device", "import", file, "--credentials", credentials]);
        let made = json_lines(&std::fs::read_to_string(credentials).unwrap());
        assert_eq!(made.len(), 5_000);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(credentials).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let device = Device::from_json(&made[4_321]);
        let mut client = Client::of_device(&gateway, Version::V5, &device);
        assert_eq!(client.publish_acknowledged(&device.topic(), device.seal(1.0)).code, ReasonCode::Success);
        let listed = gateway.prints(&["device", "list", "--group", "vans", "--prefix", "van-43", "--format", "json"]);
        assert_eq!(json_lines(&listed).len(), 100);
        assert_eq!(gateway.prints(&["device", "list", "--limit", "7", "--format", "json"]).lines().count(), 7);
        // What was exported is imported elsewhere.
        let exported = gateway.prints(&["device", "export"]);
        assert_eq!(exported.lines().count(), 5_001);
        assert_eq!(gateway.prints(&["device", "export", "--format", "jsonl", "--state", "disabled"]), "");
        let (other, copy) = (Gateway::start(), scratch.join("copy.csv"));
        std::fs::write(&copy, exported).unwrap();
        let again = scratch.join("again.jsonl");
        other.prints(&["device", "import", copy.to_str().unwrap(), "--credentials", again.to_str().unwrap()]);
        assert_eq!(other.prints(&["device", "list", "--group", "vans", "--format", "json"]).lines().count(), 5_000);
        let entered =
            gateway.prints(&["audit", "--action", "device_added", "--subject", "van-0007", "--format", "json"]);
        assert!(json_lines(&entered)[0]["who"].as_str().unwrap().starts_with("os:"), "{entered}");
    }
}

#[test]
fn a_file_with_one_bad_line_adds_nothing_and_names_it() {
    let (gateway, scratch) = (Gateway::start(), Scratch::new("import"));
    gateway.add_device("taken");
    let (file, credentials) = (scratch.join("fleet.csv"), scratch.join("fleet.jsonl"));
    let import = |text: &str| {
        std::fs::write(&file, text).unwrap();
        gateway.tries(&["device", "import", file.to_str().unwrap(), "--credentials", credentials.to_str().unwrap()])
    };
    for (text, told) in [
        ("device_id\nfine\na b\n", "line 3"),
        ("device_id\nfine\ntaken\n", "line 3: there is a device taken already"),
        ("device_id\nfine\nfine\n", "line 3: fine is on line 2 too"),
        ("device\nfine\n", "no column"),
    ] {
        let error = import(text).unwrap_err();
        assert!(error.contains(told) && !credentials.exists(), "{text:?}: {error}");
    }
    assert_eq!(gateway.prints(&["device", "list", "--format", "json"]).lines().count(), 1);
    // A file that is there is not written over.
    std::fs::write(&credentials, "mine").unwrap();
    assert!(import("device_id\nfine\n").unwrap_err().contains("exists"));
    assert_eq!(std::fs::read_to_string(&credentials).unwrap(), "mine");
    std::fs::remove_file(&credentials).unwrap();
    // Credentials that exist elsewhere.
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("a-secret-that-is-known"));
    import(&format!("device_id,client_id,client_secret_sha256\npump,the-pump,{hash}\n")).unwrap();
    let made = &json_lines(&std::fs::read_to_string(&credentials).unwrap())[0];
    assert!(made.get("client_secret").is_none(), "{made}");
    gateway.token("the-pump", "a-secret-that-is-known");
}

#[test]
fn a_device_that_is_removed_is_gone_and_what_it_sent_is_not() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
    let shown: Value = eventually("it is seen", || {
        let shown: Value =
            serde_json::from_str(&gateway.prints(&["device", "show", "pump", "--format", "json"])).unwrap();
        (shown["presence"]["state"] == json!("online")).then_some(shown)
    });
    assert_eq!((&shown["newest_key_version_used"], &shown["state"]), (&json!(1), &json!("enabled")));
    assert!(gateway.prints(&["device", "show", "pump"]).contains("online since"));
    let unsure = gateway.tries(&["device", "remove", "pump"]).unwrap_err();
    assert!(unsure.contains("--yes"), "{unsure}");
    assert!(gateway.tries(&["device", "remove", "pump", "nobody", "--yes"]).is_err());
    gateway.prints(&["device", "remove", "pump", "--yes"]);
    client.until_closed();
    assert!(gateway.tries(&["device", "show", "pump"]).unwrap_err().contains("no device pump"));
    assert!(gateway.prints(&["export", "readings", "--device", "pump"]).contains("temperature"));
    gateway.add_service("console", &["sub:#"]);
    gateway.prints(&["client", "remove", "console"]);
    assert!(gateway.tries(&["client", "remove", "console"]).is_err());
}
