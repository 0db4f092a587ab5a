//! How a worker comes in at a broker, and what it says when it does not. The broker is a gateway here, which asks for tokens.

use std::path::Path;
use std::process::Command;

use crate::harness::{Authority, Broker, Gateway, Scratch, eventually};

/// A gateway that others log in to, and a worker that is to, with TLS on all ways.
fn house(scratch: &Scratch, token_lifetime: &str) -> (Gateway, Gateway) {
    let authority = Authority::new();
    let certified = authority.certify("localhost", &scratch.join(""), "server");
    authority.write(&scratch.join("ca.pem"));
    let mut broker = Gateway::prepare(&[("edge.tls_listen", "127.0.0.1:0"), ("public.tls_listen", "127.0.0.1:0")]);
    for area in ["edge", "public"] {
        broker.set(&format!("{area}.tls_certificate"), &certified.certificate.display().to_string());
        broker.set(&format!("{area}.tls_key"), &certified.key.display().to_string());
    }
    broker.set("auth.token_lifetime", token_lifetime);
    broker.restart();
    let service = broker.add_service("ingest", &["sub:devices/+/telemetry/#", "pub:elsewhere"]);
    std::fs::write(scratch.join("secret"), format!("{}\n", service.client_secret)).unwrap();
    let mut worker = Gateway::prepare(&[
        ("ingest.source", "mqtt"),
        ("source.shared", "false"),
        ("source.username", "ingest"),
        ("source.token_client_id", &service.client_id),
        ("source.reconnect_delay_max", "250ms"),
    ]);
    worker.set("source.url", &format!("mqtts://localhost:{}", broker.mqtts().port()));
    worker.set("source.token_url", &format!("https://localhost:{}/oauth/token", broker.https().port()));
    worker.set("source.token_client_secret_file", path(&scratch.join("secret")));
    worker.set("source.tls_ca", path(&scratch.join("ca.pem")));
    (broker, worker.into_worker())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn attempts(worker: &Gateway, result: &str) -> f64 {
    worker.metrics().value("sealgate_source_attempts_total", &[("result", result)])
}

#[test]
fn a_worker_logs_in_over_tls_with_a_token_and_renews_it_before_it_ends() {
    for version in ["5", "3.1.1"] {
        let scratch = Scratch::new("login");
        let (broker, mut worker) = house(&scratch, "4s");
        worker.set("source.version", version);
        worker.restart();
        let ended = |cause| worker.metrics().value("sealgate_source_ended_total", &[("cause", cause)]);
        eventually("the token was renewed three times", || (ended("renewed") >= 3.0).then_some(()));
        assert_eq!(
            [ended("broker"), ended("network"), attempts(&worker, "refused")],
            [0.0; 3],
            "{version}: {}",
            worker.log()
        );
        // The worker and its publisher, and nobody else.
        assert!(broker.metrics().value("sealgate_auth_logins_total", &[("result", "accepted")]) >= 4.0);
        assert!(worker.terminate().success());
    }
}

#[test]
fn what_is_wrong_is_said_and_tried_again_until_it_is_right() {
    let scratch = Scratch::new("login");
    let (broker, mut worker) = house(&scratch, "1h");
    let secret = std::fs::read_to_string(scratch.join("secret")).unwrap();
    std::fs::write(scratch.join("secret"), "another\n").unwrap();
    worker.restart();
    eventually("there is no token", || (attempts(&worker, "no_login") >= 1.0).then_some(()));
    assert!(worker.log().contains("invalid_client"), "{}", worker.log());
    assert!(!worker.log().contains("another"), "no secret stands in the log: {}", worker.log());
    let ready = crate::harness::get(worker.admin(), "/ready");
    assert!(ready.status == 503 && ready.body.contains("source"), "{ready:?}");
    std::fs::write(scratch.join("secret"), secret).unwrap();
    eventually("it comes in", || (attempts(&worker, "subscribed") >= 1.0).then_some(()));
    eventually("it is ready", || (crate::harness::get(worker.admin(), "/ready").status == 200).then_some(()));
    drop(broker);
    eventually("it is not ready", || (crate::harness::get(worker.admin(), "/ready").status == 503).then_some(()));
}

#[test]
fn a_subscription_that_is_not_granted_is_said() {
    let scratch = Scratch::new("login");
    let (broker, mut worker) = house(&scratch, "1h");
    let service = broker.add_service("other", &["sub:readings/#"]);
    std::fs::write(scratch.join("secret"), &service.client_secret).unwrap();
    worker.set("source.username", "other");
    worker.set("source.token_client_id", &service.client_id);
    worker.restart();
    eventually("it is refused", || (attempts(&worker, "not_subscribed") >= 1.0).then_some(()));
    assert!(worker.log().contains("0x87"), "{}", worker.log());
}

#[test]
fn an_authority_that_is_not_believed_ends_no_process() {
    let scratch = Scratch::new("login");
    let (_broker, mut worker) = house(&scratch, "1h");
    Authority::new().write(&scratch.join("ca.pem"));
    worker.restart();
    eventually("there is no token", || (attempts(&worker, "no_login") >= 1.0).then_some(()));
    assert!(worker.log().contains("UnknownIssuer"), "{}", worker.log());
}

/// NATS grants `$share/…` and takes it for a name like any other: nothing would ever come, and nobody would know.
#[test]
fn a_broker_that_does_not_share_is_found_out() {
    let broker = Broker::start("nats");
    let mut worker = Gateway::prepare(&[("ingest.source", "mqtt"), ("source.version", "3.1.1")]).into_worker();
    worker.set("source.url", &broker.url());
    worker.restart();
    eventually("it says so", || worker.log().contains("source.shared = false").then_some(()));
    let mosquitto = Broker::start("mosquitto");
    let mut worker = Gateway::prepare(&[("ingest.source", "mqtt")]).into_worker();
    worker.set("source.url", &mosquitto.url());
    worker.restart();
    eventually("its message has come", || worker.log().contains("shares messages out").then_some(()));
}

#[test]
fn a_worker_without_a_broker_is_told_what_to_set() {
    let gateway = Gateway::prepare(&[]);
    let output = gateway.run(&["ingest"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("ingest.source = \"mqtt\""), "{told}");
    let output =
        Gateway::prepare(&[("ingest.source", "mqtt"), ("source.username", "a"), ("source.password_file", "/nowhere")])
            .run(&["ingest"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("password_file") && told.contains("/nowhere"), "{told}");
}

/// Whoever may publish there must not be able to fill a worker's window with what it never acknowledges.
#[test]
fn what_others_publish_to_the_probes_topic_holds_up_nothing() {
    let broker = Broker::start("mosquitto");
    let mut worker = Gateway::prepare(&[("ingest.source", "mqtt"), ("source.receive_maximum", "10")]).into_worker();
    worker.set("source.url", &broker.url());
    worker.set("source.client_id", "probed");
    worker.restart();
    eventually("it is subscribed", || (attempts(&worker, "subscribed") >= 1.0).then_some(()));
    let publish = |topic: &str, count: usize| {
        let port = broker.address().port().to_string();
        let sent = (0..count).all(|_| {
            let arguments = ["-p", &port, "-q", "1", "-t", topic, "-m", "x"];
            Command::new("mosquitto_pub").args(arguments).status().unwrap().success()
        });
        assert!(sent);
    };
    publish("sealgate/probe/probed-1", 30);
    publish("devices/pump/telemetry", 30);
    eventually("what is telemetry comes in", || {
        (worker.metrics().sum("sealgate_ingest_received_total") == 30.0).then_some(())
    });
    eventually("it is refused", || (worker.metrics().sum("sealgate_ingest_rejected_total") == 30.0).then_some(()));
}

#[test]
fn a_worker_ends_at_once_while_its_broker_is_away() {
    let mut worker = Gateway::prepare(&[("ingest.source", "mqtt"), ("shutdown.timeout", "60s")]).into_worker();
    // Nobody listens on the port of discard, and the kernel says so.
    worker.set("source.url", "mqtt://127.0.0.1:9");
    worker.restart();
    eventually("it has tried", || (attempts(&worker, "failed") >= 1.0).then_some(()));
    assert!(worker.terminate().success());
    assert!(worker.log().contains("Everything in flight is acknowledged"), "{}", worker.log());
    assert!(!worker.log().contains("took too long"), "{}", worker.log());
}
