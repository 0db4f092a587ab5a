//! What an operator sees at `/metrics`: everything from the start, and the law of the counts at every moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sealgate::mqtt::{Packet, QoS, Version};
use sealgate_envelope::Reason;

use crate::harness::{Client, Device, Gateway, Scrape, eventually, get};

const ENCODINGS: [&str; 4] = ["frame", "cose", "jws", "unknown"];

#[test]
fn every_closed_label_value_is_there_with_0_at_the_start() {
    let gateway = Gateway::start();
    let scrape = gateway.metrics();
    for reason in Reason::ALL {
        for encoding in ENCODINGS {
            let labels = [("reason", reason.as_str()), ("encoding", encoding)];
            assert_eq!(scrape.value("sealgate_ingest_rejected_total", &labels), 0.0);
        }
    }
    for (name, label, values) in [
        ("sealgate_ingest_duplicate_total", "origin", ["retry", "replay"]),
        ("sealgate_ingest_dropped_total", "cause", ["lost", "shutdown"]),
        ("sealgate_ingest_quarantined_total", "kept", ["yes", "over_bound"]),
    ] {
        for value in values {
            assert_eq!(scrape.value(name, &[(label, value)]), 0.0);
        }
    }
    for name in ["sealgate_ingest_received_total", "sealgate_ingest_stored_total", "sealgate_ingest_in_flight"] {
        assert_eq!(scrape.value(name, &[]), 0.0);
    }
}

#[test]
fn nothing_has_been_counted_before_the_first_client() {
    let gateway = Gateway::start();
    let counted: Vec<(String, f64)> = gateway
        .metrics()
        .counters()
        .filter(|(_, value)| *value != 0.0)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(counted, []);
}

#[test]
fn the_exposition_says_its_format_and_what_runs() {
    let gateway = Gateway::start();
    let answer = get(gateway.admin(), "/metrics");
    assert!(answer.head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert!(answer.body.contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{}", answer.body);
    assert_eq!(Scrape::parse(&answer.body).sum("sealgate_build_info"), 1.0);
}

#[test]
fn the_admin_door_has_no_other_pages() {
    let gateway = Gateway::start();
    assert_eq!(get(gateway.admin(), "/live").status, 200);
    for path in ["/", "/metrics/", "/oauth/token", "/oauth/jwks"] {
        assert_eq!(get(gateway.admin(), path).status, 404, "{path}");
    }
}

#[test]
fn the_law_of_the_counts_holds_at_every_scrape_under_load() {
    let gateway = Gateway::start();
    let devices: Vec<Device> = (0..4).map(|number| gateway.add_device(&format!("load-{number}"))).collect();
    let working = AtomicBool::new(true);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut scrapes = 0;
            while working.load(Ordering::Relaxed) {
                let scrape = gateway.metrics();
                assert_eq!(scrape.law_difference(), 0.0, "{scrape:?}");
                scrapes += 1;
            }
            scrapes
        });
        let workers: Vec<_> = devices.iter().map(|device| scope.spawn(|| work(&gateway, device))).collect();
        let worked: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        working.store(false, Ordering::Relaxed);
        worked.into_iter().for_each(|worked| worked.unwrap());
        assert!(scraper.join().unwrap() > 1);
    });

    let end = eventually("nothing is in flight", || {
        Some(gateway.metrics()).filter(|scrape| scrape.value("sealgate_ingest_in_flight", &[]) == 0.0)
    });
    let sent = (devices.len() * ROUNDS) as f64;
    assert_eq!(end.value("sealgate_ingest_stored_total", &[]), sent);
    assert_eq!(end.sum("sealgate_ingest_duplicate_total"), sent);
    let corrupt = [("reason", "corrupt"), ("encoding", "frame")];
    assert_eq!(end.value("sealgate_ingest_rejected_total", &corrupt), sent);
    // What was sent without waiting for the answer came in or did not, with its connection.
    assert!(end.value("sealgate_ingest_received_total", &[]) >= 3.0 * sent);
}

const ROUNDS: usize = 200;

/// Each round a good message, the same again, and a damaged one, eight rounds at a time; at the end some whose answers nobody
/// waits for.
fn work(gateway: &Gateway, device: &Device) {
    let mut client = Client::of_device(gateway, Version::V5, device);
    let topic = device.topic();
    for _ in 0..ROUNDS / 8 {
        for round in 0..8 {
            let good = device.seal(f64::from(round));
            let mut damaged = device.seal(f64::from(round));
            *damaged.last_mut().unwrap() ^= 1;
            for message in [good.clone(), good, damaged] {
                client.publish(&topic, QoS::AtLeastOnce, message);
            }
        }
        for _ in 0..8 * 3 {
            assert!(matches!(client.receive(), Packet::PubAck(_)));
        }
    }
    for _ in 0..8 {
        client.publish(&topic, QoS::AtLeastOnce, b"no envelope".as_slice());
    }
}

#[test]
fn a_database_that_is_larger_than_it_should_get_raises_an_alarm() {
    for mut gateway in [Gateway::prepare(&[]), Gateway::prepare_on_postgres(&[])] {
        gateway.set("database.max_bytes", "1000");
        gateway.restart();
        eventually("its size is known", || {
            (gateway.metrics().value("sealgate_store_bytes", &[]) > 1000.0).then_some(())
        });
        assert_eq!(gateway.metrics().value("sealgate_store_bytes_max", &[]), 1000.0);
        assert!(gateway.log().contains("larger than database.max_bytes"), "{}", gateway.log());
    }
}
