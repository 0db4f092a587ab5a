//! All devices of a fleet, each a task of its own, and their common end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::credentials::Credentials;
use super::driver::{Driver, Phase, Shared};
use super::ledger::Ledger;
use super::settings::{BadSettings, Settings};
use super::summary::Summary;
use super::tally::Tally;
use super::unit::Unit;

/// A fleet under way. It runs on the tokio runtime that it was started on, and ends when it is dropped.
pub struct Fleet {
    devices: JoinSet<()>,
    phase: watch::Sender<Phase>,
    tally: Tally,
    ledger: Option<Ledger>,
    began: Instant,
    plan: Plan,
}

/// What was to be done.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) devices: u64,
    /// Of each device, if it is a number.
    pub(super) messages: Option<u64>,
}

/// Devices that fetch a token and connect at the same time.
const DIALS: usize = 64;

impl Fleet {
    /// Switches the devices on.
    pub fn start(
        settings: Settings,
        credentials: &[Credentials],
        ledger: Option<Ledger>,
    ) -> Result<Fleet, BadSettings> {
        let token_url = settings.check()?;
        let settings = Arc::new(settings);
        let (phase, watched) = watch::channel(Phase::Running);
        let tally = Tally::default();
        let shared = Shared {
            settings: settings.clone(),
            tally: tally.clone(),
            phase: watched,
            dials: Arc::new(Semaphore::new(DIALS)),
        };
        let began = now();
        let plan = Plan { devices: credentials.len() as u64, messages: settings.messages_max };
        let mut devices = JoinSet::new();
        for (place, credentials) in credentials.iter().enumerate() {
            let unit = Unit::new(settings.clone(), credentials, place, tally.clone(), ledger.clone());
            let driver = Driver::new(unit, shared.clone(), &token_url, credentials);
            devices.spawn(driver.run(began + turn(&settings, place)));
        }
        Ok(Fleet { devices, phase, tally, ledger, began, plan })
    }

    /// The counts, to be looked at while the fleet runs and after it.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Waits until each device has sent what it was to send. For ever, if they have no such number.
    pub async fn finished(&mut self) {
        while let Some(ended) = self.devices.join_next().await {
            if ended.is_err_and(|error| error.is_panic()) {
                self.tally.change(|counts| counts.surprise(|| "a device has panicked".to_owned()));
            }
        }
    }

    /// Measures no more, and waits until everything that was made is acknowledged, `patience` at most; then tells what became of
    /// it all.
    pub async fn finish(mut self, patience: Duration) -> Summary {
        self.phase.send_replace(Phase::Draining);
        if timeout(patience, self.finished()).await.is_err() {
            self.phase.send_replace(Phase::Ended);
            self.finished().await;
        }
        if let Some(Err(error)) = self.ledger.as_ref().map(Ledger::flush) {
            self.tally.change(|counts| counts.surprise(|| format!("the ledger cannot be written: {error}")));
        }
        Summary::new(self.tally.counts(), self.plan, now() - self.began)
    }
}

/// When a device is switched on: one after the other, and within an interval too, so that they do not all measure at once.
fn turn(settings: &Settings, place: usize) -> Duration {
    // Weyl's sequence: any number of devices is spread evenly.
    let spread = (place as f64 * 0.618_033_988_749_894_9).fract();
    let interval = if settings.rate > 1.0 { 1.0 / settings.rate } else { 1.0 };
    settings.ramp.mul_f64(spread) + Duration::from_secs_f64(interval * spread)
}

#[expect(clippy::disallowed_methods, reason = "a fleet is a driver")]
fn now() -> Instant {
    Instant::now()
}
