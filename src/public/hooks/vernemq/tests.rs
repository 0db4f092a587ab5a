//! VerneMQ's documented examples, as they stand in `plugindevelopment/webhookplugins.md` of its documentation
//! (vmq-docs, a2d9a7c of 2025-11-19), and the texts that `vmq_webhooks_plugin.erl` (2.2.0) makes of atoms.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::auth::scope::Scope;
use crate::auth::{Grant, LoginRefused};

const REGISTER: &str = r#"{
    "peer_addr": "127.0.0.1",
    "peer_port": 8888,
    "username": "username",
    "password": "password",
    "mountpoint": "",
    "client_id": "clientid",
    "clean_session": false
}"#;

const REGISTER_M5: &str = r#"{
    "peer_addr": "127.0.0.1",
    "peer_port": 8888,
    "mountpoint": "",
    "client_id": "client-id",
    "username": "username",
    "password": "password",
    "clean_start": true,
    "properties": {}
}"#;

const SUBSCRIBE: &str = r#"{
    "client_id": "clientid",
    "mountpoint": "",
    "username": "username",
    "topics":
        [{"topic": "a/b",
          "qos": 1},
         {"topic": "c/d",
          "qos": 2}]
}"#;

const SUBSCRIBE_M5: &str = r#"{
    "username": "username",
    "mountpoint": "",
    "client_id": "client-id",
    "topics": [
      {
        "topic": "test/topic",
        "qos": 1
      }
    ],
    "properties": {}
  }"#;

const PUBLISH: &str = r#"{
    "username": "username",
    "client_id": "clientid",
    "mountpoint": "",
    "qos": 1,
    "topic": "a/b",
    "payload": "hello",
    "retain": false
}"#;

const PUBLISH_M5: &str = r#"{
    "username": "username",
    "mountpoint": "",
    "client_id": "client-id",
    "qos": 1,
    "topic": "some/topic",
    "payload": "message payload",
    "retain": false,
    "properties": {
    }
}"#;

fn asked(kind: Kind, version: Version, body: &str) -> Asked<'_> {
    Asked::parse(kind, version, body.as_bytes()).unwrap()
}

fn service(scopes: &[&str]) -> Result<Arc<Grant>, LoginRefused> {
    let scopes = scopes.iter().map(|text| Scope::parse(text).unwrap()).collect();
    Ok(Arc::new(Grant::service("username", scopes, 1_000_000)))
}

/// The body of the answer, and for how long it may be remembered.
fn answered(asked: &Asked<'_>, found: Result<Arc<Grant>, LoginRefused>) -> (Value, u64) {
    let verdict = Verdict::of(&asked.question().wish, found);
    let answer = asked.answer(&verdict, 60, 400_000);
    (serde_json::from_slice(&answer.body).unwrap(), answer.max_age_secs)
}

fn not_allowed() -> (Value, u64) {
    (json!({"result": {"error": "not_allowed"}}), 0)
}

#[test]
fn the_documented_registers_are_logins() {
    for (version, body, client_id) in [(Version::V3, REGISTER, "clientid"), (Version::V5, REGISTER_M5, "client-id")] {
        let asked = asked(Kind::Register, version, body);
        let wish = Wish::LogIn { token: Token("password"), from: Some([127, 0, 0, 1].into()) };
        assert_eq!(asked.question(), Question { user_name: "username", client_id, wish });
        let lifetime = json!({"result": "ok", "modifiers": {"max_connection_lifetime": 600}});
        assert_eq!(answered(&asked, service(&[])), (lifetime, 0));
        assert_eq!(answered(&asked, Err(LoginRefused::Expired)), not_allowed());
        let unavailable = json!({"result": {"error": "unavailable"}});
        assert_eq!(answered(&asked, Err(LoginRefused::StoreUnavailable)), (unavailable, 0));
    }
}

/// A client without a user name and password, or with a peer that has no address.
#[test]
fn what_a_client_does_not_bring_is_null() {
    let body = r#"{"peer_addr":"undefined","peer_port":"undefined","mountpoint":"","client_id":"a","username":null,
        "password":null,"clean_session":true}"#;
    let asked = asked(Kind::Register, Version::V3, body);
    let wish = Wish::LogIn { token: Token(""), from: None };
    assert_eq!(asked.question(), Question { user_name: "", client_id: "a", wish });
}

#[test]
fn a_connection_that_has_no_time_left_gets_a_second_and_never_all_time() {
    let asked = asked(Kind::Register, Version::V3, REGISTER);
    for (expires_at_ms, secs) in [(400_000, 1), (0, 1), (401_999, 1), (402_000, 2), (i64::MIN, 1)] {
        let answer = asked.answer(&Verdict::LoggedIn { expires_at_ms }, 60, 400_000);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["modifiers"]["max_connection_lifetime"], secs, "{expires_at_ms}");
    }
}

#[test]
fn the_documented_subscription_is_granted_as_it_is() {
    let asked = asked(Kind::Subscribe, Version::V3, SUBSCRIBE);
    let wish = Wish::Subscribe(vec!["a/b", "c/d"]);
    assert_eq!(asked.question(), Question { user_name: "username", client_id: "clientid", wish });
    assert_eq!(answered(&asked, service(&["sub:#"])), (json!({"result": "ok"}), 0));
}

/// "you can also pass a `qos` with value `128`"
#[test]
fn what_is_not_granted_of_a_subscription_has_qos_128() {
    let asked = asked(Kind::Subscribe, Version::V3, SUBSCRIBE);
    let some = json!({"result": "ok", "topics": [{"topic": "a/b", "qos": 128}, {"topic": "c/d", "qos": 2}]});
    assert_eq!(answered(&asked, service(&["sub:c/#"])), (some, 0));
    assert_eq!(answered(&asked, service(&["pub:#"])), not_allowed());
    assert_eq!(answered(&asked, Err(LoginRefused::Disabled)), not_allowed());
}

/// Not "the `qos` value of 135 (Not authorized)" of the documentation: see `wish`.
#[test]
fn of_a_subscription_of_mqtt_5_all_is_granted_or_nothing() {
    let one = asked(Kind::Subscribe, Version::V5, SUBSCRIBE_M5);
    let wish = Wish::SubscribeToAll(vec!["test/topic"]);
    assert_eq!(one.question(), Question { user_name: "username", client_id: "client-id", wish });
    assert_eq!(answered(&one, service(&["sub:test/topic"])), (json!({"result": "ok"}), 0));
    assert_eq!(answered(&one, service(&["sub:other"])), not_allowed());
    // As `encode_payload` writes options.
    let body = r#"{"username":"username","mountpoint":"","client_id":"a","topics":[
        {"topic":"a","qos":1,"no_local":true,"rap":true,"retain_handling":"dont_send"},
        {"topic":"b","qos":2,"no_local":false,"rap":false,"retain_handling":"send_retain"}],
        "properties":{"p_subscription_id":[3],"p_user_property":[{"key":"a","val":"b"}]}}"#;
    let options = asked(Kind::Subscribe, Version::V5, body);
    assert_eq!(answered(&options, service(&["sub:a", "sub:b"])), (json!({"result": "ok"}), 0));
    assert_eq!(answered(&options, service(&["sub:a"])), not_allowed());
}

#[test]
fn only_a_permission_to_publish_may_be_remembered() {
    for (version, body, topic, client_id) in
        [(Version::V3, PUBLISH, "a/b", "clientid"), (Version::V5, PUBLISH_M5, "some/topic", "client-id")]
    {
        let asked = asked(Kind::Publish, version, body);
        let wish = Wish::Publish(topic);
        assert_eq!(asked.question(), Question { user_name: "username", client_id, wish });
        assert_eq!(answered(&asked, service(&["pub:a/#", "pub:some/#"])), (json!({"result": "ok"}), 60));
        assert_eq!(answered(&asked, service(&["sub:#"])), not_allowed());
        assert_eq!(answered(&asked, Err(LoginRefused::UnknownPrincipal)), not_allowed());
    }
}

/// In base64, which is the default, left out (`no_payload`), or raw, which need not be text.
#[test]
fn a_payload_is_passed_over() {
    for payload in [r#""payload":"aGVsbG8=","#, "", r#""payload":"\u0000\ud800","#, "\"payload\":\"\u{fffd}\","] {
        let body =
            format!(r#"{{"username":"u","client_id":"c",{payload}"mountpoint":"","qos":1,"topic":"a","retain":true}}"#);
        assert_eq!(asked(Kind::Publish, Version::V3, &body).question().wish, Wish::Publish("a"), "{payload}");
    }
    let raw = b"{\"username\":\"u\",\"client_id\":\"c\",\"topic\":\"a\",\"payload\":\"\xff\xfe\"}";
    let asked = Asked::parse(Kind::Publish, Version::V3, raw).unwrap();
    assert_eq!(asked.question().wish, Wish::Publish("a"));
}

#[test]
fn what_is_not_as_documented_is_malformed() {
    for (kind, body) in [
        (Kind::Register, ""),
        (Kind::Register, "null"),
        (Kind::Register, "{}"),
        (Kind::Register, r#"["username","password","clientid","127.0.0.1"]"#),
        (Kind::Register, r#"{"username":"u","password":"p"}"#),
        (Kind::Register, r#"{"username":7,"password":"p","client_id":"c"}"#),
        (Kind::Register, r#"{"username":"u","password":"p","client_id":"c","client_id":"d"}"#),
        (Kind::Register, r#"{"username":"u","password":"p","client_id":"c"} x"#),
        (Kind::Register, r#"{"username":"u","password":"p","client_id":"\ud800"}"#),
        (Kind::Subscribe, r#"{"username":"u","client_id":"c"}"#),
        (Kind::Subscribe, r#"{"username":"u","client_id":"c","topics":"a"}"#),
        (Kind::Subscribe, r#"{"username":"u","client_id":"c","topics":[{"topic":"a","qos":"1"}]}"#),
        (Kind::Subscribe, r#"{"username":"u","client_id":"c","topics":[{"topic":"a"}]}"#),
        (Kind::Publish, r#"{"username":"u","client_id":"c"}"#),
        (Kind::Publish, r#"{"username":"u","client_id":"c","topic":null}"#),
    ] {
        for version in [Version::V3, Version::V5] {
            assert!(Asked::parse(kind, version, body.as_bytes()).is_err(), "{body}");
        }
    }
}

#[test]
fn a_token_is_not_copied_unless_it_is_escaped() {
    let Asked::Register(Register { password: Some(password), .. }) = asked(Kind::Register, Version::V3, REGISTER)
    else {
        panic!("it is a register with a password");
    };
    assert!(REGISTER.as_bytes().as_ptr_range().contains(&password.as_str().as_ptr()));
}
