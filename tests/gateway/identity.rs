//! The issuer as its commands and its addresses show it: keys that rotate, tokens that are taken back, clients that sign for themselves, and
//! what the audit log has of all that.

use sealgate::mqtt::{Packet, ReasonCode, Version};
use serde_json::{Value, json};

use crate::harness::{Client, Device, Gateway, Login, Scratch, eventually, http};

fn lines(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    gateway.prints(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks an endpoint of the issuer as a client.
fn ask(gateway: &Gateway, path: &str, device: &Device, token: &str) -> http::Answer {
    let fields = [("client_id", &*device.client_id), ("client_secret", &*device.client_secret), ("token", token)];
    http::post_form(gateway.public(), path, &fields)
}

fn ended_with(client: &mut Client) -> Option<ReasonCode> {
    client.until_closed().iter().find_map(|packet| match packet {
        Packet::Disconnect(disconnect) => Some(disconnect.code),
        _ => None,
    })
}

/// A client of `login`, with a session that is to be kept.
fn there(gateway: &Gateway, login: &Login) -> Client {
    let mut connect = login.connect(Version::V5);
    (connect.clean_start, connect.session_expiry_secs) = (false, 600);
    let mut client = Client::open(gateway, Version::V5);
    assert_eq!(client.log_in(connect).code, ReasonCode::Success);
    client
}

// RFC 7009: and CVE-2020-26892, where a credential that was taken back was good as long as its connection.
#[test]
fn a_token_that_is_revoked_ends_its_connection_and_its_session() {
    let gateway = Gateway::start();
    let (pump, van) = (gateway.add_device("pump"), gateway.add_device("van"));
    let login = Login::of_device(&gateway, &pump);
    let (mut client, mut stays) = (there(&gateway, &login), Client::of_device(&gateway, Version::V5, &van));
    assert_eq!(ask(&gateway, "/oauth/introspect", &pump, &login.token).json()["active"], json!(true));
    assert_eq!(ask(&gateway, "/oauth/revoke", &van, &login.token).status, 400, "it is not van's");
    assert_eq!(ask(&gateway, "/oauth/revoke", &pump, &login.token).status, 200);
    assert_eq!(ended_with(&mut client), Some(ReasonCode::NotAuthorized));
    assert_eq!(ask(&gateway, "/oauth/introspect", &pump, &login.token).json(), json!({"active": false}));
    let mut again = Client::open(&gateway, Version::V5);
    assert_eq!(again.log_in(login.connect(Version::V5)).code, ReasonCode::NotAuthorized);
    eventually("its session is gone", || {
        (gateway.metrics().value("sealgate_broker_sessions", &[]) == 1.0).then_some(())
    });
    assert_eq!(stays.publish_acknowledged(&van.topic(), van.seal(1.0)).code, ReasonCode::Success);
    // With another token the same device comes in, as a stranger.
    let mut back = Client::of_device(&gateway, Version::V5, &pump);
    assert_eq!(back.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
}

#[test]
fn each_gateway_on_the_database_knows_what_was_revoked_at_another() {
    let [one, other] = Gateway::two_on_postgres(&[]);
    let pump = one.add_device("pump");
    let login = Login::of_device(&one, &pump);
    let mut client = there(&other, &login);
    assert_eq!(ask(&one, "/oauth/revoke", &pump, &login.token).status, 200);
    assert_eq!(ended_with(&mut client), Some(ReasonCode::NotAuthorized));
    // An operator who has found a token does it by the command.
    let login = Login::of_device(&other, &pump);
    let mut client = there(&other, &login);
    one.prints(&["issuer", "revoke", &login.token]);
    assert_eq!(ended_with(&mut client), Some(ReasonCode::NotAuthorized));
    assert!(!one.run(&["issuer", "revoke", "no.such.token"]).status.success());
}

#[test]
fn the_next_key_is_shown_before_it_signs_at_each_gateway() {
    let [one, other] = Gateway::two_on_postgres(&[]);
    let pump = one.add_device("pump");
    let mut client = Client::of_device(&other, Version::V5, &pump);
    let shown = |gateway: &Gateway| {
        let keys = http::get(gateway.public(), "/oauth/jwks").json()["keys"].clone();
        keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = shown(&one);
    one.prints(&["issuer", "rotate"]);
    for gateway in [&one, &other] {
        eventually("it is shown", || (shown(gateway).len() == 2).then_some(()));
    }
    let states = |gateway: &Gateway| {
        let keys = lines(gateway, &["issuer", "keys", "--format", "json"]);
        keys.iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&other), ["signing", "announced"]);
    assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);

    // Somebody may have the key: what it has signed is worth nothing at any gateway.
    one.prints(&["issuer", "rotate", "--now"]);
    assert_eq!(ended_with(&mut client), Some(ReasonCode::NotAuthorized));
    for gateway in [&one, &other] {
        eventually("the old one is gone", || (shown(gateway).len() == 1 && shown(gateway) != first).then_some(()));
    }
    assert_eq!(states(&one), ["ended", "ended", "signing"]);
    for gateway in [&one, &other] {
        Client::of_device(gateway, Version::V5, &pump);
    }
}

#[test]
fn a_device_that_signs_for_itself_needs_no_secret() {
    let (gateway, scratch) = (Gateway::start(), Scratch::new("public-key"));
    let (private, public) = (scratch.join("pump.key"), scratch.join("pump.pem"));
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (private, public) = (private.to_str().unwrap(), public.to_str().unwrap());
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", private]);
    openssl(&["pkey", "-in", private, "-pubout", "-out", public]);
    let added = &lines(&gateway, &["device", "add", "pump", "--public-key", public, "--format", "json"])[0];
    assert!(added.get("client_secret").is_none(), "{added}");
    // A private key is no public one, and is not kept.
    let refused = gateway.run(&["device", "add", "van", "--public-key", private]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("private key"), "{refused:?}");

    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let client_id = added["client_id"].as_str().unwrap();
    #[expect(clippy::disallowed_methods, reason = "an assertion bears the time")]
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": "http://127.0.0.1:8080/oauth/token", "exp": now + 60, "jti": "1",
    });
    let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(&claims));
    let (message, signature) = (scratch.join("message"), scratch.join("signature"));
    std::fs::write(&message, &signed).unwrap();
    let (message, signature) = (message.to_str().unwrap(), signature.to_str().unwrap());
    openssl(&["pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", message, "-out", signature]);
    let assertion = format!("{signed}.{}", base64url(&std::fs::read(signature).unwrap()));
    let fetch = || {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &*assertion),
        ];
        http::post_form(gateway.public(), "/oauth/token", &fields)
    };
    let token = fetch().json()["access_token"].as_str().unwrap().to_owned();
    let login = Login { client_id: "pump".to_owned(), user_name: "pump".to_owned(), token };
    Client::connect(&gateway, Version::V5, &login);
    assert_eq!(fetch().status, 401, "an assertion is good once");
}

#[test]
fn the_audit_log_says_who_did_what() {
    let gateway = Gateway::start();
    let pump = gateway.add_device("pump");
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    let stranger = Login { token: "none".to_owned(), ..Login::of_device(&gateway, &pump) };
    Client::open(&gateway, Version::V5).log_in(stranger.connect(Version::V5));
    gateway.prints(&["device", "disable", "pump"]);
    client.until_closed();
    let of = |action: &str| {
        let all = lines(&gateway, &["audit", "--subject", "pump", "--action", action, "--format", "json"]);
        all.first().cloned()
    };
    let told = ["device_added", "token_issued", "login", "login_refused", "device_disabled"]
        .map(|action| eventually("it is entered", || of(action)));
    let who = |place: usize| told[place]["who"].as_str().unwrap();
    assert!(who(0).starts_with("os:") && who(4).starts_with("os:"), "{told:?}");
    assert_eq!((who(1), who(2)), (&*pump.client_id, "pump"));
    assert_eq!(
        told.each_ref().map(|entry| entry["from"].as_str().unwrap()),
        ["command line", "127.0.0.1", "127.0.0.1", "127.0.0.1", "command line",]
    );
    assert_eq!(told[3]["detail"], "malformed");
    let table = gateway.prints(&["audit", "--since", "1h"]);
    assert!(table.lines().count() > 5 && !table.contains(&pump.client_secret), "{table}");
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
