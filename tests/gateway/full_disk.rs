//! A disk that is full: nothing is acknowledged, the log says so, and when there is room again everything goes on by itself.
//!
//! What is full is a limit on the size of files, which each system has and nobody needs rights for. The gateway's log is a file as well, and
//! stays far below.

use std::time::Duration;

use sealgate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Device, Gateway, Postgres, eventually};

/// What no file may grow beyond: above what the log grows to.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// More of them than fit into a few files of that size.
const MESSAGES_MAX: u64 = 500;
/// A message that is tried so often in vain finds no room.
const TRIES: f64 = 5.0;

const QUICK: (&str, &str) = ("ingest.retry_delay_max", "100ms");

/// A device, and what it has got an answer to.
struct Sender {
    client: Client,
    pump: Device,
    answered: u64,
}

#[test]
fn no_message_is_acknowledged_while_the_disk_of_sqlite_is_full() {
    let mut gateway = Gateway::prepare(&[QUICK]);
    gateway.may_find_its_disk_full();
    let pump = gateway.add_device("pump");
    gateway.restart();
    let mut sender = Sender::of(&gateway, pump);
    gateway.limit_files(Some(FILE_BYTES_MAX));
    sender.fill(&gateway, "sealgate_ingest_commit_failures_total");
    assert!(gateway.log().contains("ERROR") && gateway.log().contains("The database does not commit"));
    gateway.limit_files(None);
    sender.hears_the_rest();
    assert_eq!(number(&gateway, "envelopes"), sender.answered);
    assert!(gateway.law_holds());
}

#[test]
fn no_message_is_acknowledged_while_the_disk_of_the_spool_is_full() {
    let server = Postgres::start(&[]);
    let settings = [QUICK, ("store.on_outage", "spool"), ("store.spool_after", "100ms"), ("log.level", "error")];
    let mut gateway = Gateway::prepare_on(server.schema(), &settings);
    gateway.may_find_its_disk_full();
    let pump = gateway.add_device("pump");
    gateway.restart();
    let mut sender = Sender::of(&gateway, pump);
    server.kill9();
    gateway.limit_files(Some(FILE_BYTES_MAX));
    sender.fill(&gateway, "sealgate_ingest_spool_failures_total");
    let log = gateway.log();
    assert!(log.contains("ERROR") && log.contains("the spool does not take any more"), "{log}");
    gateway.limit_files(None);
    sender.hears_the_rest();
    assert!(gateway.law_holds());
    gateway.kill9();
    server.start_again();
    gateway.restart();
    eventually("the spool is drained", || {
        assert!(gateway.law_holds());
        (gateway.metrics().value("sealgate_ingest_spool_messages", &[]) == 0.0).then_some(())
    });
    assert_eq!(number(&gateway, "envelopes"), sender.answered);
}

impl Sender {
    /// The gateway knows it from now on.
    fn of(gateway: &Gateway, pump: Device) -> Self {
        let client = Client::of_device(gateway, Version::V5, &pump);
        let mut sender = Sender { client, pump, answered: 0 };
        sender.send();
        sender.hear();
        sender
    }

    /// A message of some kilobytes.
    fn send(&mut self) {
        let mut draft = self.pump.draft(1.0);
        (draft.content_format, draft.payload) = (OCTET_STREAM, vec![7; 6000]);
        self.client.publish(&self.pump.topic(), QoS::AtLeastOnce, draft.seal());
    }

    fn hear(&mut self) {
        let Packet::PubAck(ack) = self.client.receive() else { panic!("a PUBACK") };
        assert_eq!(ack.code, ReasonCode::Success);
        self.answered += 1;
    }

    /// Sends until a message finds no room, however often it is tried, and one more. `counter` counts the tries.
    fn fill(&mut self, gateway: &Gateway, counter: &str) {
        while self.finds_room(gateway, counter) {
            assert!(self.answered < MESSAGES_MAX, "what is acknowledged is larger than the disk");
        }
        self.send();
        assert!(gateway.law_holds());
        self.client.send(&Packet::PingReq);
        assert_eq!(self.client.receive(), Packet::PingResp, "and no PUBACK before it");
    }

    fn finds_room(&mut self, gateway: &Gateway, counter: &str) -> bool {
        let before = gateway.metrics().sum(counter);
        self.send();
        eventually("it is answered, or tried again and again", || {
            let came = !self.client.hears_nothing_for(Duration::from_millis(5));
            self.answered += u64::from(came);
            (came || gateway.metrics().sum(counter) >= before + TRIES).then_some(came)
        })
    }

    /// What was held.
    fn hears_the_rest(&mut self) {
        self.hear();
        self.hear();
    }
}

const OCTET_STREAM: u16 = 42;

fn number(gateway: &Gateway, from: &str) -> u64 {
    gateway.sql(&format!("SELECT count(*) AS n FROM {from}"))[0]["n"].as_u64().unwrap()
}
