//! What is older than the retention is dropped, and what was dropped cannot come in again; on either database.

use sealgate::mqtt::{ReasonCode, Version};

use crate::harness::{Client, Gateway, eventually};

const THREE_DAYS_MS: u32 = 3 * 24 * 60 * 60 * 1000;

/// As if everything that is stored had come three days ago.
fn age(gateway: &Gateway) {
    let (earlier, now) = match gateway.is_on_postgres() {
        true => ("- interval '3 days'".to_owned(), "now()"),
        false => (format!("- {THREE_DAYS_MS}"), "9223372036854775807"),
    };
    gateway
        .change_by_hand(&format!("UPDATE envelope SET received_at = received_at {earlier} WHERE received_at < {now}"));
    gateway.change_by_hand(&format!("UPDATE reading SET time = time {earlier} WHERE time < {now}"));
}

fn number(gateway: &Gateway, table: &str) -> u64 {
    gateway.sql(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_u64().unwrap()
}

fn over_both(test: impl Fn(Gateway)) {
    let settings = [("database.retention", "2days")];
    test(Gateway::prepare(&settings));
    test(Gateway::prepare_on_postgres(&settings));
}

#[test]
fn what_is_older_than_the_retention_is_dropped_and_does_not_come_again() {
    over_both(|mut gateway| {
        gateway.restart();
        let pump = gateway.add_device("pump");
        let sent: Vec<Vec<u8>> = (0..20).map(|_| pump.seal(1.0)).collect();
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        for frame in &sent {
            assert_eq!(client.publish_acknowledged(&pump.topic(), frame.clone()).code, ReasonCode::Success);
        }
        gateway.terminate();
        age(&gateway);

        gateway.restart();
        eventually("what is too old is dropped", || {
            let scrape = gateway.metrics();
            let dropped = |what: &str| scrape.value(&format!("sealgate_store_dropped_{what}_total"), &[]);
            (dropped("envelopes") == 20.0 && dropped("readings") >= 20.0).then_some(())
        });
        assert_eq!(["envelopes", "readings", "seen"].map(|table| number(&gateway, table)), [0, 0, 0]);
        let mut client = Client::of_device(&gateway, Version::V5, &pump);
        let answer = client.publish_acknowledged(&pump.topic(), sent[19].clone());
        assert_eq!(answer.code, ReasonCode::ImplementationSpecificError);
        assert_eq!(answer.reason_string.as_deref(), Some("replayed"));
        let (name, detail) = &answer.user_properties[0];
        assert_eq!((&**name, &**detail), ("detail", "its counter is not above those that retention has dropped"));
        assert_eq!(client.publish_acknowledged(&pump.topic(), pump.seal(1.0)).code, ReasonCode::Success);
        assert_eq!(["envelopes", "quarantine"].map(|table| number(&gateway, table)), [1, 1]);
        assert!(gateway.law_holds());
    });
}
