//! A fleet with faults that publishes to another broker, two workers that take in what comes there, of which one is killed, and the
//! broker, which is restarted.
//!
//! Half of the devices keep a message until its receipt has come: of theirs each is a row, once, whatever was lost on the way. The
//! other half believes the broker's acknowledgement: of theirs as much is stored as the broker's own promise says.

use std::time::Duration;

use firmware_sim::host::{Credentials, Fault, FaultRates, KeepUntil, Ledger, MqttVersions, PubAck, Settings, Summary};

use crate::harness::{Broker, Deadline, Gateway, PATIENCE, Rows, RunningFleet, Scratch, eventually};

const DEVICES: usize = 8;
const MESSAGES: u64 = 150;
/// A device that is told nothing sends again after this.
pub(super) const RECEIPT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a broker says of itself.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// As `tests/broker` has it.
    pub(super) name: &'static str,
    /// Which MQTT the workers speak, as a setting.
    pub(super) workers: &'static str,
    /// Which the devices.
    pub(super) devices: MqttVersions,
    /// Whether it shares messages out.
    pub(super) is_sharing: bool,
    /// Whether devices' ids may have a dot.
    pub(super) takes_dots: bool,
    /// Whether what it has acknowledged survives its polite end.
    pub(super) survives: bool,
}

/// The house: who issues tokens and knows the devices, and the workers.
struct House {
    issuer: Gateway,
    workers: [Gateway; 2],
}

impl House {
    fn new(broker: &Broker, kind: Kind) -> House {
        let mut issuer = Gateway::prepare_on_postgres(&[]);
        issuer.restart();
        let workers = [1, 2].map(|number| worker(&issuer, broker, kind, number));
        House { issuer, workers }
    }

    /// One figure of both workers, and of those that ran before a restart not.
    fn sum(&self, name: &str) -> f64 {
        self.workers.iter().map(|worker| worker.metrics().sum(name)).sum()
    }
}

fn worker(issuer: &Gateway, broker: &Broker, kind: Kind, number: usize) -> Gateway {
    let mut worker = Gateway::prepare_on(issuer.url().to_owned(), &[("ingest.source", "mqtt")]).into_worker();
    worker.take_keys_of(issuer);
    worker.set("source.url", &broker.url());
    worker.set("source.version", kind.workers);
    worker.set("source.reconnect_delay_max", "1s");
    if !kind.is_sharing {
        worker.set("source.shared", "false");
        worker.set("source.part", &format!("{number}/2"));
    }
    if let Some(ca) = &broker.ca {
        worker.set("source.tls_ca", ca.to_str().unwrap());
    }
    if let Some(account) = &broker.account {
        let file = worker.data_dir().join("password");
        std::fs::write(&file, &account.password).unwrap();
        worker.set("source.username", &account.user);
        worker.set("source.password_file", file.to_str().unwrap());
    }
    worker.restart();
    worker
}

/// What is true of any broker.
pub(super) fn run(kind: Kind) {
    let mut broker = Broker::start(kind.name);
    let mut house = House::new(&broker, kind);
    eventually("both workers are subscribed", || (house.sum("sealgate_source_subscribed") == 2.0).then_some(()));
    let scratch = Scratch::new("source");
    let (careful, trusting, keys) = enrol(&house.issuer, kind);
    let settings = |keep_until| Settings {
        account: broker.account.clone(),
        mqtt: kind.devices,
        rate: 40.0,
        messages_max: Some(MESSAGES),
        keep_until,
        puback: PubAck::Received,
        receipt_timeout: RECEIPT_TIMEOUT,
        faults: faults(keep_until),
        ..Settings::default()
    };
    let start = |credentials: &[Credentials], keep_until, ledger: &str| {
        let ledger = Ledger::create(&scratch.join(ledger)).unwrap();
        RunningFleet::start_by_way_of(broker.address(), &house.issuer, settings(keep_until), credentials, Some(ledger))
    };
    let fleets = [start(&careful, KeepUntil::Receipt, "careful"), start(&trusting, KeepUntil::Ack, "trusting")];
    // Those who believe the broker go on, whoever is killed.
    let sent = |part: u64| {
        let all = MESSAGES * trusting.len() as u64;
        eventually("a part of the messages is sent", || {
            (fleets[1].tally().counts().settled() >= all * part / 4).then_some(())
        });
    };
    sent(1);
    house.workers[0].kill9();
    sent(2);
    house.workers[0].restart();
    sent(3);
    broker.stop();
    broker.start_again();
    let summaries: Vec<Summary> = fleets.into_iter().map(RunningFleet::sent).collect();
    for summary in &summaries {
        assert_eq!((summary.left_over, summary.surprises), (0, 0), "{summary:?}");
    }
    assert!(summaries[0].receipts.refused.len() >= 4, "the fleet had faults: {summaries:?}");
    // What the broker still has for the workers comes in.
    let deadline = Deadline::after(PATIENCE);
    let rows = loop {
        let rows = Rows::verified(&house.issuer, &keys);
        let missing = rows.missing(&scratch.join("trusting"));
        if missing == 0 || !kind.survives {
            break rows;
        }
        assert!(!deadline.left().is_zero(), "{missing} messages that the broker had acknowledged are nowhere");
    };
    rows.assert_hold(&scratch.join("careful"));
    for worker in &mut house.workers {
        eventually("nothing is in flight", || (worker.metrics().sum("sealgate_ingest_in_flight") == 0.0).then_some(()));
        assert!(worker.law_holds());
        assert!(worker.terminate().success());
    }
}

/// Half of the devices, the other half, and all their keys. Their ids are such as the broker can carry.
fn enrol(
    issuer: &Gateway,
    kind: Kind,
) -> (Vec<Credentials>, Vec<Credentials>, std::collections::HashMap<String, [u8; 32]>) {
    let dot = if kind.takes_dots { "." } else { "_" };
    let ids: Vec<String> = (1..=DEVICES).map(|number| format!("pump{dot}north-{number}")).collect();
    let (mut careful, keys) = issuer.add_fleet_named(&ids);
    let trusting = careful.split_off(DEVICES / 2);
    (careful, trusting, keys)
}

/// Not those that the broker would have to refuse. Who believes the broker does not know which message is stored first, and so which of two
/// with one counter is good.
fn faults(keep_until: KeepUntil) -> FaultRates {
    let without = [Fault::BadToken, Fault::WrongTopic];
    let rates = without.into_iter().fold(FaultRates::all(0.02), |rates, fault| rates.with(fault, 0.0));
    if keep_until == KeepUntil::Ack { rates.with(Fault::ReusedCounter, 0.0) } else { rates }
}
