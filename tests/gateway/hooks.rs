//! What another broker is answered at the hooks of a real gateway: by its secret, its clients' tokens, and what the
//! registry says now.

mod asked;

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Deadline, Gateway, Scratch, eventually};
use asked::{Asked, SECRET, WRONG, basic, bearer, post, request, vernemq_publish, vernemq_register, vernemq_subscribe};

const HOOKS: [&str; 8] = [
    "vernemq/auth_on_register",
    "vernemq/auth_on_subscribe",
    "vernemq/auth_on_publish",
    "vernemq/auth_on_register_m5",
    "vernemq/auth_on_subscribe_m5",
    "vernemq/auth_on_publish_m5",
    "emqx/authn",
    "emqx/authz",
];

#[test]
fn without_a_secret_in_the_settings_there_are_no_hooks() {
    let gateway = Gateway::start();
    for hook in HOOKS {
        assert_eq!(post(gateway.public(), hook, &[bearer(SECRET)], "{}").status, 404, "{hook}");
    }
}

#[test]
fn who_does_not_show_the_secret_is_refused_before_his_body_is_looked_at() {
    let asked = Asked::start();
    for hook in HOOKS {
        for headers in [
            vec![],
            vec![bearer(WRONG)],
            vec![basic(WRONG)],
            vec![bearer("")],
            vec![format!("authorization: {SECRET}")],
            vec![bearer(SECRET), bearer(SECRET)],
        ] {
            // The body never comes, and nobody waits for it.
            let answer = request(asked.gateway.public(), "POST", hook, &headers, 1000, "");
            assert_eq!((answer.status, answer.header("cache-control")), (401, Some("no-store")), "{hook} {headers:?}");
            assert!(answer.header("www-authenticate").is_some());
        }
        for header in [bearer(SECRET), basic(SECRET)] {
            let answer = post(asked.gateway.public(), hook, &[header], "{}");
            assert_eq!(answer.status, if hook.starts_with("emqx") { 200 } else { 400 }, "{hook}");
        }
        assert_eq!((asked.count(hook, "wrong_secret"), asked.count(hook, "malformed")), (6.0, 2.0), "{hook}");
        assert_eq!(request(asked.gateway.public(), "GET", hook, &[bearer(SECRET)], 0, "").status, 405, "{hook}");
    }
    assert!(!asked.gateway.log().contains(SECRET) && !asked.gateway.log().contains(WRONG), "{}", asked.gateway.log());
}

#[test]
fn a_secret_that_is_none_ends_the_start_and_names_its_setting() {
    let scratch = Scratch::new("hooks");
    let path = scratch.join("hooks.secret");
    let file = path.display().to_string();
    for content in [None, Some(""), Some("short\n"), Some("a secret with blanks, long enough though\n")] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let gateway = Gateway::prepare(&[("hooks.secret_file", &file)]);
        let output = gateway.run(&["serve"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("hooks.secret_file"), "{content:?}: {told}");
        assert!(content.is_none_or(|content| content.is_empty() || !told.contains(content.trim())), "{told}");
    }
}

#[test]
fn a_device_comes_in_with_its_token_as_itself_alone() {
    let asked = Asked::start();
    let (pump, fan) = (asked.gateway.add_device("pump-7"), asked.gateway.add_device("fan"));
    let token = asked.token_of_device(&pump);
    assert!(asked.lets_in("pump-7", &token, "pump-7"));
    // The broker would give another one's session to whoever has his client id.
    for client_id in ["", "fan", "pump-7@1", "pump-70", "anything"] {
        assert!(!asked.lets_in("pump-7", &token, client_id), "{client_id}");
    }
    assert!(!asked.lets_in("fan", &token, "fan") && !asked.lets_in("", &token, "pump-7"));
    assert!(!asked.lets_in("pump-7", &asked.token_of_device(&fan), "pump-7"));
    for token in ["", "token", &pump.client_secret] {
        assert!(!asked.lets_in("pump-7", token, "pump-7"));
    }
    assert_eq!(asked.count("vernemq/auth_on_register", "allowed"), 1.0);
    assert_eq!(asked.count("vernemq/auth_on_register", "denied"), 11.0);
    let logins = asked.gateway.metrics().value("sealgate_auth_logins_total", &[("result", "accepted")]);
    assert_eq!(logins, 3.0, "one for each hook of a login");
}

#[test]
fn the_broker_is_told_when_to_end_the_connection() {
    let asked = Asked::start_with(&[("auth.token_lifetime", "100s")]);
    let token = asked.token_of_device(&asked.gateway.add_device("pump"));
    let answer = asked.ask("vernemq/auth_on_register", &vernemq_register("pump", &token, "pump"));
    let lifetime = answer.json["modifiers"]["max_connection_lifetime"].as_u64().unwrap();
    assert!((60..=100).contains(&lifetime), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = json!({"username": "pump", "password": token, "clientid": "pump"});
    let answer = asked.ask("emqx/authn", &body);
    #[expect(clippy::disallowed_methods, reason = "the token was issued by the wall clock")]
    let now_secs = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let expire_at = answer.json["expire_at"].as_u64().unwrap();
    assert!((now_secs..=now_secs + 100).contains(&expire_at), "{answer:?}");
    assert_eq!((&answer.json["is_superuser"], answer.header("cache-control")), (&json!(false), Some("no-store")));
}

#[test]
fn a_token_that_has_expired_lets_nobody_in() {
    let asked = Asked::start_with(&[("auth.token_lifetime", "1s")]);
    let device = asked.gateway.add_device("pump");
    let token = asked.token_of_device(&device);
    eventually("the token has expired", || (!asked.lets_in_at_all("pump", &token)).then_some(()));
    assert!(!asked.lets_in("pump", &token, "pump"));
    let refused = asked.gateway.metrics().value("sealgate_auth_logins_total", &[("result", "expired")]);
    assert!(refused >= 3.0);
}

#[test]
fn a_device_has_its_own_topics_and_no_others() {
    let asked = Asked::start();
    asked.gateway.add_device("pump");
    asked.gateway.add_device("fan");
    for topic in ["devices/pump/telemetry", "devices/pump/telemetry/fast", "devices/pump/answers"] {
        assert!(asked.lets_publish("pump", "pump", topic), "{topic}");
        assert!(!asked.lets_publish("fan", "fan", topic), "{topic}");
    }
    for topic in ["devices/pump/status", "devices/pump/commands/x", "devices/pump/receipts", "readings/pump", "x", ""] {
        assert!(!asked.lets_publish("pump", "pump", topic), "{topic}");
    }
    for filter in ["devices/pump/commands/#", "devices/pump/receipts"] {
        assert!(asked.lets_subscribe("pump", "pump", filter), "{filter}");
        assert!(!asked.lets_subscribe("fan", "fan", filter), "{filter}");
    }
    for filter in ["#", "devices/+/commands/#", "devices/pump/#", "readings/#", "$SYS/#", ""] {
        assert!(!asked.lets_subscribe("pump", "pump", filter), "{filter}");
    }
    // Whose names they are is looked at there too.
    for (user_name, client_id) in [("pump", "fan"), ("pump", ""), ("pump", "pump@1"), ("", ""), ("nobody", "nobody")] {
        assert!(!asked.lets_publish(user_name, client_id, "devices/pump/telemetry"), "{user_name} {client_id}");
    }
}

#[test]
fn what_may_be_published_may_be_remembered_and_nothing_else() {
    let cases = [("30s", Some("max-age=30")), ("0s", Some("no-store"))];
    for (age, remembered) in cases {
        let asked = Asked::start_with(&[("hooks.cache_max_age", age)]);
        asked.gateway.add_device("pump");
        for twin in ["", "_m5"] {
            let publish =
                |topic| asked.ask(&format!("vernemq/auth_on_publish{twin}"), &vernemq_publish("pump", "pump", topic));
            assert_eq!(publish("devices/pump/telemetry").header("cache-control"), remembered);
            assert_eq!(publish("devices/fan/telemetry").header("cache-control"), Some("no-store"));
            let body = vernemq_subscribe("pump", "pump", &["devices/pump/receipts"]);
            let answer = asked.ask(&format!("vernemq/auth_on_subscribe{twin}"), &body);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

#[test]
fn of_several_filters_those_that_are_not_granted_are_refused() {
    let asked = Asked::start();
    asked.gateway.add_device("pump");
    let body = vernemq_subscribe("pump", "pump", &["devices/pump/receipts", "#"]);
    let answer = asked.ask("vernemq/auth_on_subscribe", &body);
    let topics = json!([{"topic": "devices/pump/receipts", "qos": 1}, {"topic": "#", "qos": 128}]);
    assert_eq!(answer.json, json!({"result": "ok", "topics": topics}));
    // At 5.0 none of them is granted: before 2.2.0 VerneMQ subscribes to what it is told to refuse.
    let nothing = json!({"result": {"error": "not_allowed"}});
    assert_eq!(asked.ask("vernemq/auth_on_subscribe_m5", &body).json, nothing);
    let body = vernemq_subscribe("pump", "pump", &["#", "a"]);
    assert_eq!(asked.ask("vernemq/auth_on_subscribe", &body).json, nothing);
    let body = vernemq_subscribe("pump", "pump", &["devices/pump/receipts", "devices/pump/commands/#"]);
    for hook in ["vernemq/auth_on_subscribe", "vernemq/auth_on_subscribe_m5"] {
        assert_eq!(asked.ask(hook, &body).json, json!({"result": "ok"}), "{hook}");
    }
    assert_eq!(asked.count("vernemq/auth_on_subscribe", "partly"), 1.0);
}

#[test]
fn a_disabled_device_is_out_within_a_second_and_back_when_it_is_enabled() {
    let asked = Asked::start();
    let token = asked.token_of_device(&asked.gateway.add_device("pump"));
    let is_in = || asked.lets_in_at_all("pump", &token);
    let publishes = || asked.emqx_lets("pump", "pump", "publish", "devices/pump/telemetry");
    assert!(is_in() && publishes() && asked.lets_publish("pump", "pump", "devices/pump/telemetry"));
    for (verb, expected) in [("disable", false), ("enable", true)] {
        assert!(asked.gateway.run(&["device", verb, "pump"]).status.success());
        let deadline = Deadline::after(Duration::from_secs(1));
        while is_in() != expected || publishes() != expected {
            assert!(!deadline.left().is_zero(), "it is not known of {verb} within a second");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(asked.lets_publish("pump", "pump", "devices/pump/telemetry"), expected);
    }
}

#[test]
fn a_service_has_its_scopes_and_client_ids_that_begin_with_its_name() {
    let asked = Asked::start();
    let console = asked.gateway.add_service("console", &["sub:readings/+", "pub:commands/#", "pub:devices/#"]);
    asked.gateway.add_device("pump");
    let token = asked.token_of_service(&console);
    for client_id in ["console", "console@1", "console@pump"] {
        assert!(asked.lets_in("console", &token, client_id), "{client_id}");
        assert!(asked.lets_publish("console", client_id, "commands/pump/stop"));
        assert!(
            !asked.lets_publish("console", client_id, "devices/pump/telemetry"),
            "no scope grants what is a device's"
        );
        assert!(asked.lets_subscribe("console", client_id, "readings/+"));
        assert!(asked.lets_subscribe("console", client_id, "$share/g/readings/pump"));
        assert!(!asked.lets_subscribe("console", client_id, "readings/#"));
    }
    for client_id in ["", "pump", "console-1", "pump@console"] {
        assert!(!asked.lets_in("console", &token, client_id), "{client_id}");
        assert!(!asked.lets_publish("console", client_id, "commands/pump/stop"), "{client_id}");
    }
    assert!(asked.gateway.run(&["client", "disable", "console"]).status.success());
    eventually("the service is out", || (!asked.lets_in_at_all("console", &token)).then_some(()));
    assert!(!asked.lets_publish("console", "console@1", "commands/pump/stop"));
}

#[test]
fn of_a_device_and_a_service_of_one_name_the_bare_client_id_is_the_devices() {
    let asked = Asked::start();
    let (device, service) = (asked.gateway.add_device("pump"), asked.gateway.add_service("pump", &["pub:alarms/#"]));
    let (devices, services) = (asked.token_of_device(&device), asked.token_of_service(&service));
    assert!(asked.lets_in("pump", &devices, "pump") && !asked.lets_in("pump", &devices, "pump@1"));
    assert!(!asked.lets_in("pump", &services, "pump") && asked.lets_in("pump", &services, "pump@1"));
    assert!(asked.lets_publish("pump", "pump", "devices/pump/telemetry"));
    assert!(!asked.lets_publish("pump", "pump", "alarms/a"));
    assert!(asked.lets_publish("pump", "pump@1", "alarms/a"));
    assert!(!asked.lets_publish("pump", "pump@1", "devices/pump/telemetry"));
}

#[test]
fn what_is_not_as_documented_is_told_so_and_grants_nothing() {
    let asked = Asked::start();
    let long = format!("{{\"username\":\"{}\"}}", "x".repeat(16 * 1024));
    for hook in HOOKS {
        for (body, status) in [("", 400), ("{", 400), ("[]", 400), ("{\"username\":1}", 400), (long.as_str(), 413)] {
            let answer = post(asked.gateway.public(), hook, &[bearer(SECRET)], body);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            // EMQX would take 400 for "ask the next one".
            let deny = (answer.status, &answer.json["result"]) == (200, &json!("deny"));
            assert!(if hook.starts_with("emqx") { deny } else { answer.status == status }, "{hook} {body}: {answer:?}");
        }
        assert_eq!(asked.count(hook, "malformed"), 5.0, "{hook}");
    }
}

#[test]
fn failures_at_a_broker_count_at_our_own_doors_and_are_answered_at_once() {
    let asked =
        Asked::start_with(&[("auth.failed_login_pause_max", "60s"), ("auth.failed_logins_free_per_device", "2")]);
    asked.gateway.add_device("pump");
    let patience = Deadline::after(Duration::from_secs(30));
    for _ in 0..12 {
        assert!(!asked.lets_in_at_all("pump", "wrong"));
    }
    assert!(!patience.left().is_zero(), "twelve failures that waited would have taken minutes");
    let metrics = asked.gateway.metrics();
    assert_eq!(metrics.value("sealgate_auth_logins_total", &[("result", "malformed")]), 12.0);
    assert_eq!(metrics.sum("sealgate_auth_paused_total"), 0.0);
}
