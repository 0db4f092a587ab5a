//! The gateway is killed under load, again and again, and everything that was acknowledged is there, once.

use std::io::Write as _;
use std::time::Duration;

use fastrand::Rng;
use firmware_sim::host::{Encodings, Expected, Fault, FaultRates, Ledger, MqttVersions, Settings};

use crate::harness::{Deadline, Gateway, Rows, RunningFleet, Scratch, eventually};

/// Kills that count, in one run. `SEALGATE_KILLS` asks for another number.
const KILLS: usize = 50;
/// The same over PostgreSQL, where each start takes longer.
const KILLS_ON_POSTGRES: usize = 20;
/// Rounds that may be in vain for each that counts: those that were killed before anything had begun.
const ROUNDS_FOR_A_KILL_MAX: usize = 20;
/// A kill falls at a random moment of so long after the load began.
const MOMENT_MAX: Duration = Duration::from_secs(2);
/// What must be on the way, and acknowledged since the last kill, for one to count.
const IN_FLIGHT_MIN: u64 = 100;
const ACKNOWLEDGED_MIN: u64 = 1_000;

#[test]
fn kill_9_again_and_again_loses_nothing_that_was_acknowledged() {
    kill_9_again_and_again(Gateway::prepare(&[]), KILLS);
}

#[test]
fn kill_9_again_and_again_over_postgres_loses_nothing_that_was_acknowledged() {
    kill_9_again_and_again(Gateway::prepare_on_postgres(&[]), KILLS_ON_POSTGRES);
}

fn kill_9_again_and_again(mut gateway: Gateway, kills: usize) {
    let kills = std::env::var("SEALGATE_KILLS").map_or(kills, |kills| kills.parse().unwrap());
    gateway.keep_its_doors();
    gateway.restart();
    let (credentials, keys) = gateway.add_fleet(16);
    let scratch = Scratch::new("kill");
    let ledger_path = scratch.join("ledger.jsonl");
    let ledger = Ledger::create(&ledger_path).unwrap();
    let settings = Settings {
        mqtt: MqttVersions::Mixed,
        encoding: Encodings::Frame,
        // More than any window lets through: what limits is the gateway.
        rate: 5_000.0,
        // Something to be refused, and nothing that comes twice.
        faults: FaultRates::default()
            .with(Fault::BitFlip, 0.01)
            .with(Fault::ForgedPayload, 0.01)
            .with(Fault::WrongKey, 0.01),
        ..Settings::default()
    };
    let fleet = RunningFleet::start(&gateway, settings, &credentials, Some(ledger));
    let tally = fleet.tally();
    let seed = std::env::var("SEALGATE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut rounds = Rounds { rng: Rng::with_seed(seed), acknowledged_before: 0, last_counted: false, between: 0 };
    let mut counted = 0;
    for _ in 0..kills * ROUNDS_FOR_A_KILL_MAX {
        counted += usize::from(rounds.kill(&mut gateway, &fleet));
        gateway.restart();
        if counted == kills {
            break;
        }
    }
    assert_eq!(counted, kills, "too many rounds were killed before there was a load; seed {seed}");

    let summary = fleet.finish();
    assert!(summary.is_clean(), "{summary}");
    rounds.note_duplicates(&gateway);
    eventually("nothing is in flight", || {
        (gateway.metrics().value("sealgate_ingest_in_flight", &[]) == 0.0).then_some(())
    });
    assert!(gateway.law_holds());

    let rows = Rows::verified(&gateway, &keys);
    let acknowledged = rows.assert_hold(&ledger_path);
    // All that was made is acknowledged by now, so that there is nothing else to be stored.
    let good = tally.counts().of(Expected::Stored).settled;
    assert_eq!((rows.len() as u64, acknowledged as u64), (good, good));
    assert!(summary.acknowledged > good, "something was refused, too");
    // Past the capture: whoever runs this wants to know.
    let _ = writeln!(
        std::io::stderr(),
        "{counted} kills, {acknowledged} messages acknowledged and stored, {} sent again; {} kills fell between commit and \
         acknowledgement; seed {seed}",
        summary.sent_again,
        rounds.between
    );
    assert!(rounds.between > 0, "no kill fell between commit and acknowledgement");
}

struct Rounds {
    rng: Rng,
    acknowledged_before: u64,
    /// Whether the last kill is one of those that count.
    last_counted: bool,
    /// Kills that count and fell between a commit and its acknowledgement.
    between: usize,
}

impl Rounds {
    /// Kills at a random moment, and says whether it counts.
    fn kill(&mut self, gateway: &mut Gateway, fleet: &RunningFleet) -> bool {
        let tally = fleet.tally();
        eventually("the load has begun", || (tally.acknowledged().0 > self.acknowledged_before).then_some(()));
        let moment = Deadline::after(MOMENT_MAX.mul_f64(self.rng.f64()));
        // The law is looked at meanwhile, and what the last kill left behind: the load goes on alone.
        while !moment.left().is_zero() {
            assert!(gateway.law_holds());
            std::thread::sleep(moment.left().min(Duration::from_millis(50)));
        }
        let (acknowledged, in_flight) = tally.acknowledged();
        let counts = in_flight >= IN_FLIGHT_MIN && acknowledged - self.acknowledged_before >= ACKNOWLEDGED_MIN;
        self.note_duplicates(gateway);
        self.last_counted = counts;
        gateway.kill9();
        eventually("the fleet has noticed", || (tally.counts().connected == 0).then_some(()));
        self.acknowledged_before = tally.acknowledged().0;
        counts
    }

    /// Nothing is played back here, and a device reads what has come before it notices that a connection is broken. So an envelope
    /// that is a duplicate was stored by a gateway that did not come to acknowledge it: by the last one, if that lived long enough to
    /// acknowledge what an earlier one had left.
    fn note_duplicates(&mut self, gateway: &Gateway) {
        let duplicates = gateway.metrics().sum("sealgate_ingest_duplicate_total");
        self.between += usize::from(self.last_counted && duplicates > 0.0);
    }
}
