//! A disk that is full: nothing is acknowledged, the log says so, and when there is room again everything goes on by itself.
//!
//! Whoever runs the tests and may mount gets a real full disk, a small file system in memory for the data directory. Without that right
//! what is full is a limit on the size of files, which needs none; the gateway's log is a file as well, and stays far below.

use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Command;
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
    let disk = Disk::of(&mut gateway);
    let pump = gateway.add_device("pump");
    gateway.restart();
    let mut sender = Sender::of(&gateway, pump);
    disk.fill(&gateway);
    sender.fill(&gateway, "sealgate_ingest_commit_failures_total");
    assert!(gateway.log().contains("ERROR") && gateway.log().contains("The database does not commit"));
    disk.give_room(&gateway);
    sender.hears_the_rest();
    assert_eq!(number(&gateway, "envelopes"), sender.answered);
    assert!(gateway.law_holds());
}

#[test]
fn no_message_is_acknowledged_while_the_disk_of_the_spool_is_full() {
    let server = Postgres::start(&[]);
    let settings = [QUICK, ("store.on_outage", "spool"), ("store.spool_after", "100ms"), ("log.level", "error")];
    let mut gateway = Gateway::prepare_on(server.schema(), &settings);
    let disk = Disk::of(&mut gateway);
    let pump = gateway.add_device("pump");
    gateway.restart();
    let mut sender = Sender::of(&gateway, pump);
    server.kill9();
    disk.fill(&gateway);
    sender.fill(&gateway, "sealgate_ingest_spool_failures_total");
    let log = gateway.log();
    assert!(log.contains("ERROR") && log.contains("the spool does not take any more"), "{log}");
    disk.give_room(&gateway);
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

/// Where the data are, and how it gets full.
enum Disk {
    /// A file system of its own.
    Mounted(PathBuf),
    Limit,
}

impl Disk {
    /// For a gateway that has not been started.
    fn of(gateway: &mut Gateway) -> Self {
        let data = gateway.data_dir();
        let made = DirBuilder::new().mode(0o700).create(&data);
        assert!(made.is_ok() || data.is_dir(), "{made:?}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs"]).arg(&data);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Disk::Mounted(data);
        }
        let _ = writeln!(std::io::stderr(), "no right to mount: a limit on the size of files stands for a full disk");
        gateway.may_find_its_disk_full();
        Disk::Limit
    }

    fn fill(&self, gateway: &Gateway) {
        let Disk::Mounted(data) = self else { return gateway.limit_files(Some(FILE_BYTES_MAX)) };
        let mut filler = fs::File::create(data.join("filler")).unwrap();
        let page = [0; 4096];
        while filler.write_all(&page).is_ok() {}
    }

    fn give_room(&self, gateway: &Gateway) {
        let Disk::Mounted(data) = self else { return gateway.limit_files(None) };
        fs::remove_file(data.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Disk::Mounted(data) = self {
            // Also while its files are open.
            let _ = Command::new("umount").arg("--lazy").arg(data).status();
        }
    }
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
