//! `store.on_outage = "spool"`: while PostgreSQL is away messages are acknowledged from this gateway's disk, and all of them are in the database
//! in the end, once.

use std::sync::Arc;

use sealgate::mqtt::{Ack, Packet, QoS, ReasonCode, Version};

use super::postgres::rounds;
use crate::harness::{Client, Cutter, Device, Gateway, Load, Login, Postgres, Rows, Scrape, Service, eventually, psql};

const SPOOL: [(&str, &str); 3] =
    [("ingest.retry_delay_max", "100ms"), ("store.on_outage", "spool"), ("store.spool_after", "1s")];

/// A gateway with a way to its database that can be parted, and devices that it has met.
///
/// They are added before it starts: a change of the registry makes it forget whom it has met, and in an outage it could not ask.
struct World {
    /// The database without the way there.
    database: String,
    cutter: Cutter,
    gateway: Gateway,
    pump: Device,
    client: Client,
    other: Device,
    other_client: Client,
    console: Service,
}

impl World {
    fn new(settings: &[(&str, &str)]) -> Self {
        let database = Postgres::shared().schema();
        let (cutter, url) = Cutter::before(&database);
        let mut gateway = Gateway::prepare_on(url, &[&SPOOL, settings].concat());
        let [pump, other] = ["pump", "other"].map(|id| gateway.add_device(id));
        let console = gateway.add_service("console", &["sub:readings/#"]);
        gateway.restart();
        let [client, other_client] = [&pump, &other].map(|device| {
            let mut client = Client::of_device(&gateway, Version::V5, device);
            client.publish_acknowledged(&device.topic(), device.seal(0.0));
            client
        });
        drained(&gateway);
        World { database, cutter, gateway, pump, client, other, other_client, console }
    }

    fn publish_of_other(&mut self) -> Ack {
        self.other_client.publish_acknowledged(&self.other.topic(), self.other.seal(1.0))
    }

    fn publish(&mut self, message: Vec<u8>) -> Ack {
        self.client.publish_acknowledged(&self.pump.topic(), message)
    }

    fn send(&mut self, message: Vec<u8>) {
        self.client.publish(&self.pump.topic(), QoS::AtLeastOnce, message);
    }

    fn answer(&mut self) -> Ack {
        let Packet::PubAck(ack) = self.client.receive() else { panic!("a PUBACK") };
        ack
    }

    fn spool_good(&mut self) {
        let message = self.pump.seal(1.0);
        let ack = self.publish(message);
        assert_eq!((ack.code, ack.reason_string.as_deref()), (ReasonCode::Success, Some("spooled")));
    }

    /// Messages in quarantine, whoever is parted.
    fn quarantined(&self) -> String {
        psql(&self.database, "SELECT count(*) FROM quarantine")
    }

    fn damaged(&self) -> Vec<u8> {
        let mut damaged = self.pump.seal(1.0);
        damaged[30] ^= 1;
        damaged
    }
}

fn number(gateway: &Gateway, from: &str) -> u64 {
    gateway.sql(&format!("SELECT count(*) AS n FROM {from}"))[0]["n"].as_u64().unwrap()
}

fn counted(gateway: &Gateway, name: &str) -> u64 {
    gateway.metrics().sum(&format!("sealgate_ingest_{name}")) as u64
}

/// Looks at the law meanwhile.
fn drained(gateway: &Gateway) -> Scrape {
    eventually("the spool is drained", || {
        let scrape = gateway.metrics();
        assert_eq!(scrape.law_difference(), 0.0, "{scrape:?}");
        let left = scrape.sum("sealgate_ingest_spool_messages") + scrape.sum("sealgate_ingest_in_flight");
        (left == 0.0).then_some(scrape)
    })
}

#[test]
fn a_gateway_that_is_killed_in_an_outage_loses_nothing_that_it_acknowledged() {
    let server = Postgres::start(&[]);
    let mut gateway = Gateway::prepare_on(server.schema(), &SPOOL);
    let devices: Vec<_> = (0..8).map(|number| Arc::new(gateway.add_device(&format!("pump-{number}")))).collect();
    gateway.restart();
    let load = Load::start(&gateway, &devices, 16);
    let more = |gateway: &Gateway, messages: usize| {
        let before = load.acknowledged();
        eventually("the load goes on", || {
            assert!(gateway.law_holds());
            (load.acknowledged() >= before + messages).then_some(())
        });
    };
    for _ in 0..rounds(2) {
        more(&gateway, 300);
        server.kill9();
        eventually("the spool is used", || (counted(&gateway, "spool_messages") > 0).then_some(()));
        more(&gateway, 1_000);
        server.start_again();
        eventually("the outage is over", || {
            assert!(gateway.law_holds());
            (counted(&gateway, "spooling") == 0 && counted(&gateway, "spool_messages") == 0).then_some(())
        });
    }
    server.kill9();
    more(&gateway, 1_000);
    gateway.kill9();
    let reports = load.reports();
    server.start_again();
    gateway.restart();
    let end = drained(&gateway);
    let end = |name: &str| end.sum(&format!("sealgate_ingest_{name}"));
    assert!(end("recovered_total") >= 1_000.0 - 8.0 * 16.0);
    assert_eq!(end("recovered_total"), end("stored_total") + end("duplicate_total"));

    let keys = devices.iter().map(|device| (device.id.clone(), device.key)).collect();
    let rows = Rows::verified(&gateway, &keys);
    let (mut acknowledged, mut unanswered) = (0, 0);
    for (device, report) in devices.iter().zip(&reports) {
        for counter in &report.acknowledged {
            assert!(rows.has(&device.id, *counter as u64), "{} {counter} is acknowledged and not stored", device.id);
        }
        acknowledged += report.acknowledged.len();
        unanswered += report.unanswered.len();
    }
    assert!((acknowledged..=acknowledged + unanswered).contains(&rows.len()));
    assert_eq!(number(&gateway, "quarantine"), 0);
}

#[test]
fn an_answer_from_the_spool_says_so_and_the_rest_follows_when_the_database_is_back() {
    let mut world = World::new(&[]);
    let login = Login::of_service(&world.gateway, &world.console);
    let mut console = Client::connect(&world.gateway, Version::V5, &login);
    console.subscribe("readings/#", QoS::AtMostOnce);
    world.cutter.part();
    let same = world.pump.seal(2.0);
    assert_eq!(world.publish(same.clone()).reason_string.as_deref(), Some("spooled"));
    assert_eq!(world.publish(same).reason_string.as_deref(), Some("spooled"));
    let refused = world.damaged();
    assert_eq!(world.publish(refused).reason_string.as_deref(), Some("corrupt"));
    let scrape = world.gateway.metrics();
    let held = |name: &str| scrape.sum(&format!("sealgate_ingest_{name}"));
    assert_eq!((held("spool_messages"), held("in_flight"), held("spooling")), (3.0, 3.0, 1.0));
    assert!(held("spool_bytes") > 300.0 && held("spool_bytes_max") == f64::from(1 << 30));
    assert_eq!((scrape.law_difference(), held("rejected_total")), (0.0, 0.0));
    console.send(&Packet::PingReq);
    assert_eq!(console.receive(), Packet::PingResp, "no reading is published before it is stored");
    world.cutter.join_again();
    let Packet::Publish(reading) = console.receive() else { panic!("the reading") };
    assert_eq!(reading.topic.as_ref().map(|topic| topic.as_str()), Some("readings/pump"));
    drained(&world.gateway);
    let counts = ["stored_total", "duplicate_total", "rejected_total"];
    assert_eq!(counts.map(|name| counted(&world.gateway, name)), [3, 1, 1]);
    assert!(counted(&world.gateway, "spooled_total") >= 3);
    assert_eq!((number(&world.gateway, "envelopes"), number(&world.gateway, "quarantine")), (3, 1));
    eventually("messages are committed again", || {
        let message = world.pump.seal(3.0);
        world.publish(message).reason_string.is_none().then_some(())
    });
    let log = world.gateway.log();
    for said in ["on this gateway's disk", "The database is away.", "The database is back."] {
        assert!(log.contains(said), "{said}: {log}");
    }
}

#[test]
fn at_its_bound_the_spool_takes_nothing_and_messages_are_held() {
    let mut world = World::new(&[("store.spool_bytes_max", "65536")]);
    world.cutter.part();
    let (mut sent, mut answered) = (2, 2);
    let is_full = |gateway: &Gateway| counted(gateway, "spool_failures_total") > 0;
    while !is_full(&world.gateway) {
        let message = world.pump.seal(1.0);
        world.send(message);
        sent += 1;
        eventually("it is answered or held", || {
            let came = !world.client.hears_nothing_for(std::time::Duration::from_millis(20));
            answered += u64::from(came);
            (came || is_full(&world.gateway)).then_some(())
        });
    }
    eventually("it is tried again", || (counted(&world.gateway, "spool_failures_total") >= 3).then_some(()));
    assert_eq!(answered, sent - 1);
    assert!(counted(&world.gateway, "spool_bytes") <= 65536);
    world.client.send(&Packet::PingReq);
    assert_eq!(world.client.receive(), Packet::PingResp);
    assert_eq!(world.gateway.log().matches("the spool does not take any more").count(), 1, "said once");
    assert!(world.gateway.law_holds());
    world.cutter.join_again();
    assert_eq!(world.answer().code, ReasonCode::Success);
    drained(&world.gateway);
    assert_eq!(number(&world.gateway, "envelopes"), sent);
}

#[test]
fn what_the_drain_finds_replayed_is_in_quarantine_and_raises_an_alarm() {
    let mut world = World::new(&[]);
    world.cutter.part();
    let good = world.pump.draft(1.0);
    let mut clone = good.clone();
    clone.payload.push(b' ');
    for draft in [good, clone] {
        assert_eq!(world.publish(draft.seal()).reason_string.as_deref(), Some("spooled"));
    }
    world.cutter.join_again();
    let end = drained(&world.gateway);
    let labels = [("reason", "replayed"), ("encoding", "frame")];
    assert_eq!(end.value("sealgate_ingest_rejected_total", &labels), 1.0);
    assert_eq!(end.value("sealgate_ingest_spool_undone_total", &[("reason", "replayed")]), 1.0);
    assert_eq!(number(&world.gateway, "quarantine WHERE reason = 'replayed'"), 1);
    let log = world.gateway.log();
    assert!(log.contains("ERROR") && log.contains("acknowledged from the spool is refused"), "{log}");
}

#[test]
fn what_only_the_database_can_judge_is_held_and_holds_nobody_else() {
    let mut world = World::new(&[]);
    world.cutter.part();
    let mut unknown = world.pump.draft(1.0);
    unknown.key_version = 9;
    world.send(unknown.seal());
    let ack = world.publish_of_other();
    assert_eq!(ack.reason_string.as_deref(), Some("spooled"));
    // In the order of the connection this one waits for the answer to the other.
    let message = world.pump.seal(2.0);
    world.send(message);
    eventually("both are spooled", || (counted(&world.gateway, "spool_messages") == 2).then_some(()));
    world.client.send(&Packet::PingReq);
    assert_eq!(world.client.receive(), Packet::PingResp, "no PUBACK before it");
    world.cutter.join_again();
    assert_eq!(world.answer().reason_string.as_deref(), Some("unknown_key"));
    assert_eq!(world.answer().code, ReasonCode::Success);
    drained(&world.gateway);
    assert_eq!((number(&world.gateway, "envelopes"), number(&world.gateway, "quarantine")), (4, 1));
}

#[test]
fn a_batch_whose_commit_was_not_answered_is_held_and_never_spooled() {
    let mut world = World::new(&[]);
    world.cutter.part_at_an_answer_to_commit();
    // Twice in quarantine, if it were given again.
    let damaged = world.damaged();
    world.send(damaged);
    eventually("its answer is lost", || world.cutter.is_parted().then_some(()));
    assert_eq!(world.quarantined(), "1", "it is committed");
    let ack = world.publish_of_other();
    assert_eq!((ack.code, counted(&world.gateway, "spool_messages")), (ReasonCode::Success, 1));
    world.client.send(&Packet::PingReq);
    assert_eq!(world.client.receive(), Packet::PingResp, "no PUBACK before it");
    world.cutter.join_again();
    assert_eq!(world.answer().reason_string.as_deref(), Some("corrupt"));
    drained(&world.gateway);
    assert_eq!((number(&world.gateway, "envelopes"), number(&world.gateway, "quarantine")), (3, 1));
}

#[test]
fn a_gateway_that_is_killed_between_drain_and_removal_drains_nothing_twice() {
    let mut world = World::new(&[]);
    world.cutter.part();
    let damaged = world.damaged();
    assert_eq!(world.publish(damaged).reason_string.as_deref(), Some("corrupt"));
    world.spool_good();
    world.cutter.part_at_an_answer_to_commit();
    world.cutter.join_again();
    eventually("it is drained, and the gateway is not told", || {
        if !world.cutter.is_parted() {
            return None;
        }
        if world.quarantined() == "0" {
            // Before it drains it may have found out that the database is back.
            world.cutter.part_at_an_answer_to_commit();
            world.cutter.join_again();
            return None;
        }
        Some(())
    });
    world.gateway.kill9();
    world.cutter.join_again();
    world.gateway.restart();
    let end = drained(&world.gateway);
    assert_eq!(end.sum("sealgate_ingest_duplicate_total"), 0.0);
    assert_eq!((number(&world.gateway, "envelopes"), number(&world.gateway, "quarantine")), (3, 1));
}

#[test]
fn a_database_that_stands_still_is_away() {
    let server = Postgres::start(&[]);
    let mut gateway = Gateway::prepare_on(server.schema(), &SPOOL);
    let pump = gateway.add_device("pump");
    gateway.restart();
    let mut client = Client::of_device(&gateway, Version::V5, &pump);
    client.publish_acknowledged(&pump.topic(), pump.seal(0.0));
    server.freeze();
    // The first one waits for its COMMIT, which nothing is known of; what comes later does not wait.
    client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(1.0));
    eventually("the outage is noticed", || (counted(&gateway, "spooling") == 1).then_some(()));
    client.publish(&pump.topic(), QoS::AtLeastOnce, pump.seal(2.0));
    eventually("it is spooled", || (counted(&gateway, "spool_messages") == 1).then_some(()));
    server.thaw();
    for _ in 0..2 {
        let Packet::PubAck(ack) = client.receive() else { panic!("a PUBACK") };
        assert_eq!(ack.code, ReasonCode::Success);
    }
    drained(&gateway);
    assert_eq!(number(&gateway, "envelopes"), 3);
}

#[test]
fn a_spool_that_is_left_over_is_drained_into_its_own_database_and_no_other() {
    let mut world = World::new(&[]);
    world.cutter.part();
    world.spool_good();
    world.gateway.kill9();
    world.cutter.join_again();
    world.gateway.set("store.on_outage", "hold");
    for url in [Postgres::shared().schema(), String::new()] {
        world.gateway.set("database.url", &url);
        let output = world.gateway.run(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("holds 1 messages that were acknowledged"), "{said}");
    }
    let url = world.gateway.url().to_owned();
    world.gateway.set("database.url", &url);
    world.gateway.restart();
    let end = drained(&world.gateway);
    assert_eq!(end.value("sealgate_ingest_recovered_total", &[]), 1.0);
    assert_eq!(number(&world.gateway, "envelopes"), 3);
}

#[test]
fn a_second_gateway_on_one_spool_does_not_start() {
    let world = World::new(&[]);
    let output = world.gateway.run(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("spool.db"), "{said}");
}

#[test]
fn without_postgres_a_spool_is_a_mistake() {
    let gateway = Gateway::prepare(&[("store.on_outage", "spool"), ("store.spool_after", "0s")]);
    let output = gateway.run(&["check-config"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for mistake in ["store.on_outage: \"spool\" is for PostgreSQL", "store.spool_after: "] {
        assert!(said.contains(mistake), "{said}");
    }
    assert_eq!(output.status.code(), Some(2));
}
