//! Tokens of other issuers: whom they let in, how their keys are kept, and what is no access token of theirs.

mod real;

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};
use serde_json::{Value, json};

use crate::harness::issuer::Issuer;
use crate::harness::{Client, Gateway, Login, eventually, get};

fn gateway(issuer: &Issuer, more: &str) -> Gateway {
    Gateway::start_with(&[("auth.issuer", &issuer.setting(more))])
}

fn add(gateway: &Gateway, id: &str, issuer: &str) -> Value {
    serde_json::from_str(&gateway.prints(&["device", "add", id, "--issuer", issuer, "--format", "json"])).unwrap()
}

fn login(name: &str, token: String) -> Login {
    Login { client_id: name.to_owned(), user_name: name.to_owned(), token }
}

/// What CONNACK says.
fn answer(gateway: &Gateway, name: &str, token: String) -> ReasonCode {
    let mut client = Client::open(gateway, Version::V5);
    client.log_in(login(name, token).connect(Version::V5)).code
}

fn keys_are_there(gateway: &Gateway) {
    eventually("its keys are there", || (get(gateway.admin(), "/ready").status == 200).then_some(()));
}

#[test]
fn a_device_comes_in_with_a_token_of_the_issuer_that_it_was_added_for() {
    let (issuer, other) = (Issuer::start(), Issuer::start());
    let both = format!("[{{ issuer = \"{}\" }}, {{ issuer = \"{}\" }}]", issuer.url(), other.url());
    let gateway = Gateway::start_with(&[("auth.issuer", &both)]);
    keys_are_there(&gateway);
    let added = add(&gateway, "pump", &issuer.url());
    assert!(added.get("client_secret").is_none() && added["seal_key"].is_string(), "{added}");
    let ours = gateway.add_device("ours");
    let token = issuer.token("pump", "device");
    let mut client = Client::connect(&gateway, Version::V5, &login("pump", token.clone()));
    // It is a device as any other.
    assert_eq!(client.subscribe("devices/pump/receipts", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    assert_eq!(client.subscribe("devices/ours/receipts", QoS::AtLeastOnce), ReasonCode::NotAuthorized);

    for (name, token) in [
        // A device is one issuer's: nobody else lets it in.
        ("pump", other.token("pump", "device")),
        ("ours", issuer.token("ours", "device")),
        ("pump", issuer.token("van", "device")),
        ("van", token.clone()),
    ] {
        assert_eq!(answer(&gateway, name, token), ReasonCode::NotAuthorized, "{name}");
    }
    let of = |claim: &str, value: Value| {
        let mut claims = issuer.claims("pump", "device");
        claims[claim] = value;
        claims
    };
    for (kind, claims) in [
        ("at+jwt", of("aud", json!("another"))),
        ("at+jwt", of("iss", json!("https://unknown.example"))),
        ("at+jwt", of("iss", json!(other.url()))),
        ("at+jwt", of("exp", json!(1_700_000_000))),
        ("at+jwt", of("nbf", json!(32_503_680_000_u64))),
        ("JWT", of("typ", json!("ID"))),
        ("JWT", of("typ", json!("Bearer"))),
    ] {
        let refused = answer(&gateway, "pump", issuer.sign(kind, &claims));
        assert_eq!(refused, ReasonCode::NotAuthorized, "{kind} {claims}");
    }
    let mut broken = token;
    broken.replace_range(broken.len() - 3.., "AAA");
    assert_eq!(answer(&gateway, "pump", broken), ReasonCode::NotAuthorized);
    Client::of_device(&gateway, Version::V5, &ours);

    // Taken back like any other.
    gateway.prints(&["device", "disable", "pump"]);
    client.until_closed();
    assert_eq!(answer(&gateway, "pump", issuer.token("pump", "device")), ReasonCode::NotAuthorized);
}

#[test]
fn who_was_not_added_is_refused_and_the_log_says_how_to_add_it() {
    let issuer = Issuer::start();
    let gateway = gateway(&issuer, "");
    keys_are_there(&gateway);
    assert_eq!(answer(&gateway, "pump", issuer.token("pump", "device")), ReasonCode::NotAuthorized);
    assert_eq!(answer(&gateway, "console", issuer.token("console", "sub:readings/#")), ReasonCode::NotAuthorized);
    let log = gateway.log();
    for command in ["device add pump --issuer", "client add console --issuer"] {
        assert!(log.contains(&format!("sealgate {command} {}", issuer.url())), "{command}: {log}");
    }
    assert_eq!(gateway.metrics().value("sealgate_auth_logins_total", &[("result", "not_registered")]), 2.0);
    // People choose their names at many an issuer; who pastes a line of the log runs nothing of theirs.
    for (name, scope) in
        [("x`reboot`", "device"), ("x;reboot", "sub:a"), ("$(reboot)", "sub:a"), ("x\nadd reboot", "device")]
    {
        assert_eq!(answer(&gateway, name, issuer.token(name, scope)), ReasonCode::NotAuthorized, "{name:?}");
    }
    let proposed = gateway.log().lines().filter(|line| line.contains("To let it in")).count();
    assert_eq!(proposed, 2);
}

#[test]
fn a_device_may_be_added_at_its_first_login() {
    let issuer = Issuer::start();
    let gateway = gateway(&issuer, "register = \"on_login\", groups_claim = \"groups\", group = \"pumps\"");
    keys_are_there(&gateway);
    let mut claims = issuer.claims("pump", "device");
    claims["groups"] = json!(["vans", "others"]);
    let token = issuer.sign("at+jwt", &claims);
    Client::connect(&gateway, Version::V5, &login("pump", token.clone()));
    Client::connect(&gateway, Version::V5, &login("pump", token));
    let listed: Value = serde_json::from_str(gateway.prints(&["device", "list", "--format", "json"]).trim()).unwrap();
    assert_eq!((&listed["device_id"], &listed["group"]), (&json!("pump"), &json!("vans")));
    let entered = gateway.prints(&["audit", "--action", "device_added", "--format", "json"]);
    let entered: Value = serde_json::from_str(entered.trim()).unwrap();
    assert_eq!((&entered["subject"], &entered["who"]), (&json!("pump"), &json!(issuer.url())));
    Client::connect(&gateway, Version::V5, &login("fan", issuer.token("fan", "device")));
    let listed = gateway.prints(&["device", "list", "--format", "json"]);
    let fan: Value = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|device: &Value| device["device_id"] == "fan")
        .unwrap();
    assert_eq!(fan["group"], "pumps", "its token names none");
    // What no device can be called is not added.
    for name in ["a b", "a+b", "#", "a/b", "$x", "*", "x'; DROP TABLE devices; --", "(.*)", "ä", ""] {
        let refused = answer(&gateway, name, issuer.token(name, "device"));
        assert!(
            matches!(refused, ReasonCode::NotAuthorized | ReasonCode::ClientIdentifierNotValid),
            "{name:?}: {refused:?}"
        );
    }
    // A service never adds itself.
    assert_eq!(answer(&gateway, "console", issuer.token("console", "sub:readings/#")), ReasonCode::NotAuthorized);
    assert_eq!(gateway.prints(&["device", "list", "--format", "json"]).lines().count(), 2);
}

#[test]
fn a_service_has_what_both_its_token_and_the_registry_grant() {
    let issuer = Issuer::start();
    let gateway = gateway(&issuer, "");
    keys_are_there(&gateway);
    gateway.prints(&[
        "client",
        "add",
        "console",
        "--issuer",
        &issuer.url(),
        "--scope",
        "sub:readings/#",
        "--scope",
        "pub:alarms",
    ]);
    let token = issuer.token("console", "openid sub:readings/+ sub:secrets/#");
    let mut client = Client::connect(&gateway, Version::V5, &login("console", token));
    for (filter, code) in [
        ("readings/+", ReasonCode::GrantedQoS1),
        ("readings/#", ReasonCode::NotAuthorized),
        ("secrets/a", ReasonCode::NotAuthorized),
    ] {
        assert_eq!(client.subscribe(filter, QoS::AtLeastOnce), code, "{filter}");
    }
}

#[test]
fn a_rotated_key_is_found_by_one_look_and_a_storm_of_unknown_ones_makes_no_more() {
    let issuer = Issuer::start();
    let gateway = gateway(&issuer, "refresh = \"60s\"");
    keys_are_there(&gateway);
    for number in 0..20 {
        add(&gateway, &format!("pump-{number}"), &issuer.url());
    }
    // Longer than two looks are apart, which nothing outside can see.
    std::thread::sleep(std::time::Duration::from_secs(5));
    issuer.rotate();
    let before = issuer.fetches();
    std::thread::scope(|scope| {
        for number in 0..20 {
            let (gateway, issuer) = (&gateway, &issuer);
            scope.spawn(move || {
                let name = format!("pump-{number}");
                let token = issuer.token(&name, "device");
                assert_eq!(answer(gateway, &name, token), ReasonCode::Success, "{name}");
            });
        }
    });
    assert_eq!(issuer.fetches(), before + 1, "one for all of them");
    // As many as are answered at once.
    for number in 0..16 {
        let name = format!("pump-{}", number % 4);
        let token = issuer.sign_as("at+jwt", 100 + number, &issuer.claims(&name, "device"));
        assert_eq!(answer(&gateway, &name, token), ReasonCode::NotAuthorized);
    }
    assert!(issuer.fetches() <= before + 2, "{} fetches", issuer.fetches() - before);
}

#[test]
fn a_key_that_its_issuer_has_withdrawn_is_believed_no_more_not_even_of_tokens_that_were_seen() {
    let issuer = Issuer::start();
    let gateway = gateway(&issuer, "refresh = \"1s\"");
    keys_are_there(&gateway);
    add(&gateway, "pump", &issuer.url());
    let token = issuer.token("pump", "device");
    assert_eq!(answer(&gateway, "pump", token.clone()), ReasonCode::Success);
    assert_eq!(answer(&gateway, "pump", token.clone()), ReasonCode::Success);
    let hits = gateway.metrics().value("sealgate_auth_cache_hits_total", &[]);
    assert_eq!(hits, 1.0, "it is remembered");
    issuer.rotate();
    eventually("the old key is gone", || {
        (answer(&gateway, "pump", issuer.token("pump", "device")) == ReasonCode::Success).then_some(())
    });
    assert_eq!(answer(&gateway, "pump", token), ReasonCode::NotAuthorized);
}

#[test]
fn while_the_issuer_is_away_its_keys_are_believed_and_the_gateway_starts_without_them() {
    let issuer = Issuer::start();
    let mut gateway = Gateway::prepare(&[("auth.issuer", &issuer.setting("refresh = \"1s\""))]);
    gateway.restart();
    keys_are_there(&gateway);
    add(&gateway, "pump", &issuer.url());
    let up = |gateway: &Gateway| gateway.metrics().value("sealgate_auth_issuer_up", &[("issuer", &issuer.url())]);
    assert_eq!(up(&gateway), 1.0);
    issuer.is_silent(true);
    eventually("it is noticed", || (up(&gateway) == 0.0).then_some(()));
    assert_eq!(answer(&gateway, "pump", issuer.token("pump", "device")), ReasonCode::Success);
    assert_eq!(get(gateway.admin(), "/ready").status, 200);

    gateway.kill9();
    gateway.restart();
    let ready = get(gateway.admin(), "/ready");
    assert!(ready.status == 503 && ready.body.contains("issuer"), "{ready:?}");
    // Nobody knows yet whether the token is good: come again later.
    assert_eq!(answer(&gateway, "pump", issuer.token("pump", "device")), ReasonCode::ServerUnavailable);
    let ours = gateway.add_device("ours");
    Client::of_device(&gateway, Version::V5, &ours);
    issuer.is_silent(false);
    keys_are_there(&gateway);
    assert_eq!(answer(&gateway, "pump", issuer.token("pump", "device")), ReasonCode::Success);
}

#[test]
fn a_token_that_is_no_jwt_is_asked_about_and_the_answer_is_remembered() {
    let (issuer, scratch) = (Issuer::start(), crate::harness::Scratch::new("introspection"));
    let secret = scratch.join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let gateway = gateway(
        &issuer,
        &format!(
            "introspection_url = \"{}/introspect\", introspection_client_id = \"gate\", introspection_client_secret_file = \"{}\"",
            issuer.url(),
            secret.display(),
        ),
    );
    keys_are_there(&gateway);
    add(&gateway, "pump", &issuer.url());
    let mut means = issuer.claims("pump", "device");
    means["active"] = json!(true);
    issuer.means("good", means.clone());
    means["aud"] = json!("another");
    issuer.means("foreign", means);
    for _ in 0..5 {
        assert_eq!(answer(&gateway, "pump", "good".to_owned()), ReasonCode::Success);
    }
    assert_eq!(issuer.introspections(), 1, "the answer is remembered");
    for token in ["foreign", "unknown"] {
        assert_eq!(answer(&gateway, "pump", token.to_owned()), ReasonCode::NotAuthorized, "{token}");
    }
    issuer.is_silent(true);
    // MQTT 5 section 3.2.2.2: come again later.
    assert_eq!(answer(&gateway, "pump", "another".to_owned()), ReasonCode::ServerUnavailable);
    assert!(!gateway.log().contains("s3cret"));
}

#[test]
fn an_opaque_token_that_its_issuer_takes_back_ends_its_connections_and_no_others() {
    let (issuer, scratch) = (Issuer::start(), crate::harness::Scratch::new("taken-back"));
    let secret = scratch.join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let gateway = gateway(
        &issuer,
        &format!(
            "introspection_url = \"{}/introspect\", introspection_client_id = \"gate\", \
             introspection_client_secret_file = \"{}\", introspection_cache = \"1s\"",
            issuer.url(),
            secret.display(),
        ),
    );
    keys_are_there(&gateway);
    let is_there = |client: &mut Client| {
        client.send(&Packet::PingReq);
        assert!(matches!(client.receive(), Packet::PingResp));
    };
    let mut clients = ["pump", "fan"].map(|name| {
        add(&gateway, name, &issuer.url());
        let mut means = issuer.claims(name, "device");
        // Not every issuer gives its tokens ids.
        means.as_object_mut().unwrap().remove("jti");
        means["active"] = json!(true);
        issuer.means(&format!("of{name}"), means);
        Client::connect(&gateway, Version::V5, &login(name, format!("of{name}")))
    });
    let asked = issuer.introspections();
    eventually("it is asked again about each, twice", || (issuer.introspections() >= asked + 4).then_some(()));
    clients.iter_mut().for_each(is_there);

    // Who does not answer takes nothing back.
    issuer.is_silent(true);
    eventually("it is noticed", || gateway.log().contains("does not say what a token is worth").then_some(()));
    clients.iter_mut().for_each(is_there);
    issuer.is_silent(false);

    issuer.means("ofpump", json!({"active": false}));
    let [mut pump, mut fan] = clients;
    let last = pump.until_closed();
    let told =
        matches!(last.last(), Some(Packet::Disconnect(disconnect)) if disconnect.code == ReasonCode::NotAuthorized);
    assert!(told, "{last:?}");
    is_there(&mut fan);
    assert_eq!(answer(&gateway, "pump", "ofpump".to_owned()), ReasonCode::NotAuthorized);
}

#[test]
fn an_issuer_that_does_not_answer_holds_up_no_token_of_another_and_is_not_taken_for_a_no() {
    let (issuer, scratch) = (Issuer::start(), crate::harness::Scratch::new("two-introspections"));
    let secret = scratch.join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    // It accepts connections, as far as anybody can see, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let table = |url: &str| {
        format!(
            "{{ issuer = \"{url}\", jwks_url = \"{}/jwks\", introspection_url = \"{url}/introspect\", \
             introspection_client_id = \"gate\", introspection_client_secret_file = \"{}\" }}",
            issuer.url(),
            secret.display(),
        )
    };
    let both = format!("[{}, {}]", table(&silent_url), table(&issuer.url()));
    let gateway = Gateway::start_with(&[("auth.issuer", &both)]);
    keys_are_there(&gateway);
    add(&gateway, "pump", &issuer.url());
    let mut means = issuer.claims("pump", "device");
    means["active"] = json!(true);
    issuer.means("good", means.clone());
    assert_eq!(answer(&gateway, "pump", "good".to_owned()), ReasonCode::Success);
    // The one that does not answer may know it, so it is not said to be bad: come again later.
    assert_eq!(answer(&gateway, "pump", "unknown".to_owned()), ReasonCode::ServerUnavailable);
    assert_eq!(gateway.metrics().value("sealgate_auth_logins_total", &[("result", "issuer_unavailable")]), 1.0);
    // RFC 7662 section 2.1: a refresh token is one that its issuer calls active.
    means["token_use"] = json!("refresh_token");
    issuer.means("refresh", means);
    assert_eq!(answer(&gateway, "pump", "refresh".to_owned()), ReasonCode::NotAuthorized);
}

#[test]
fn a_setting_that_cannot_be_right_is_told_with_its_issuer() {
    let gateway = Gateway::prepare(&[]);
    for (setting, told) in [
        ("[{ issuer = \"http://login.example\" }]", "no TLS"),
        ("[{ issuer = \"https://a.example\" }, { issuer = \"https://a.example\" }]", "two issuers"),
        ("[{ issuer = \"https://a.example\", refresh = \"1h\" }]", "refresh"),
        ("[{ issuer = \"https://a.example\", colour = 1 }]", "colour"),
        ("\"https://a.example\"", "auth.identifier"),
    ] {
        let output = gateway.run(&["--set", &format!("auth.issuer={setting}"), "check-config"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.code() == Some(2) && said.contains("auth.issuer") && said.contains(told),
            "{setting}: {said}"
        );
    }
}
