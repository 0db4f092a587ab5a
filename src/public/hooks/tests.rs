//! That no bytes panic a hook, and none are granted what a name does not have.

use proptest::prelude::*;

use super::*;
use crate::auth::Grant;

/// What whoever asks in the words of `body` gets, if he is the device `pump-7`.
fn answered(hook: Hook, body: &[u8]) -> Result<(Outcome, Answer), Malformed> {
    let asked = Asked::parse(hook, body)?;
    let grant = Arc::new(Grant::device("pump-7", 1_000_000).unwrap());
    let verdict = Verdict::of(&asked.question().wish, Ok(grant));
    Ok((verdict.outcome(), asked.answer(&verdict, 60, 0)))
}

#[test]
fn the_addresses_are_those_that_are_documented() {
    let words: Vec<&str> = Hook::ALL.iter().map(|hook| hook.as_str()).collect();
    let hooks = ["auth_on_register", "auth_on_subscribe", "auth_on_publish"];
    let vernemq = hooks.map(|hook| format!("vernemq/{hook}"));
    let twins = hooks.map(|hook| format!("vernemq/{hook}_m5"));
    let emqx = ["emqx/authn", "emqx/authz"].map(str::to_owned);
    assert_eq!(words, [&vernemq[..], &twins, &emqx].concat());
}

#[test]
fn two_headers_are_none() {
    let secret = "0123456789abcdef0123456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, secret).unwrap();
    let secrets = Secrets::load(&path).unwrap();
    let mut headers = HeaderMap::new();
    assert!(!admitted(&secrets, &headers));
    headers.insert(AUTHORIZATION, format!("Bearer {secret}").parse().unwrap());
    assert!(admitted(&secrets, &headers));
    headers.append(AUTHORIZATION, "Bearer x".parse().unwrap());
    assert!(!admitted(&secrets, &headers));
}

fn any_hook() -> impl Strategy<Value = Hook> {
    prop::sample::select(Hook::ALL)
}

/// JSON that has the members that hooks look for, with values that they may not expect.
fn nearly_a_body() -> impl Strategy<Value = String> {
    let names = ["username", "password", "client_id", "clientid", "topic", "topics", "action", "peer_addr", "peerhost"];
    let value = prop_oneof![
        "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::sample::select(vec![
            "null",
            "1",
            "-1",
            "256",
            "1e999",
            "{}",
            "[]",
            "true",
            "\"publish\"",
            "\"subscribe\"",
            "\"\\ud800\"",
            "[{\"topic\":\"#\",\"qos\":2}]",
            "[{\"topic\":\"\",\"qos\":3,\"rap\":null}]",
            "[[\"a\",1]]",
            "\"devices/pump-7/telemetry\"",
            "\"devices/+/telemetry\"",
            "[[[[",
            "}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..8).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(hook in any_hook(), body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = answered(hook, &body);
    }

    #[test]
    fn no_body_panics_and_each_answer_is_json(hook in any_hook(), body in nearly_a_body()) {
        if let Ok((outcome, answer)) = answered(hook, body.as_bytes()) {
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let granted = matches!(answer["result"].as_str(), Some("ok" | "allow"));
            prop_assert_eq!(granted, matches!(outcome, Outcome::Allowed | Outcome::Partly), "{} {}", body, answer);
        }
    }

    #[test]
    fn no_header_panics(header in prop::collection::vec(any::<u8>(), 0..64)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef").unwrap();
        prop_assert!(!Secrets::load(&path).unwrap().admit(&header));
    }
}
