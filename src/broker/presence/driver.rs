//! The driver of presence: reads the clocks, tells what has changed, and saves it when the database lets it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Presence;
use super::machine::Machine;
use super::status::Status;
use crate::broker::Hub;
use crate::store::{Burial, PresenceRow, Store, StoreError};

/// Devices that are handled under the lock at a time.
const TOLD_AT_A_TIME: usize = 256;
/// Rows of a transaction: it holds the database's writer no longer than one of ingest's.
const ROWS_MAX: usize = 4096;
/// Rows that are read at a time.
const PAGE_ROWS: u32 = 4096;
/// Between two transactions. A fleet that comes all at once is saved in a few of them, and ingest's commits have the writer for
/// themselves meanwhile.
const SAVE_PAUSE: Duration = Duration::from_millis(250);
/// How often other gateways on the database are asked.
const MEET_INTERVAL: Duration = Duration::from_secs(2);
/// A database that was away was away for others too: they have this long to give a sign before they are taken for dead.
const BURIAL_AFTER: Duration = Duration::from_secs(15);
/// The longest pause after one that failed.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Tells and saves until `stop`, and then saves what is left.
pub async fn keep_presence(presence: Presence, hub: Hub, store: Store, stop: CancellationToken) {
    tokio::join!(stop.run_until_cancelled(tell(&presence, &hub)), save(&presence, &store, &stop));
}

/// Reads what was saved, and keeps it in the hub.
pub(super) async fn load(mut machine: Machine, store: &Store, hub: &Hub) -> Result<Machine, StoreError> {
    let (now, now_ms) = clocks();
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.presence(after.as_deref(), PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(machine) };
        after = Some(last.device_id.clone());
        for row in page {
            match Status::of_row(&row) {
                Some(status) => {
                    retain(hub, &row.device_id, &status);
                    machine.load(row.device_id, status, row.is_elsewhere, now, now_ms);
                }
                None => warn!(?row, "A row of presence cannot be read; the device is unknown until it connects."),
            }
        }
    }
}

async fn tell(presence: &Presence, hub: &Hub) {
    loop {
        presence.handle_timeout(clocks().0, TOLD_AT_A_TIME);
        let (untold, timeout) = {
            let mut machine = presence.machine();
            let untold = std::iter::from_fn(|| machine.poll_untold()).take(TOLD_AT_A_TIME).collect::<Vec<_>>();
            (untold, machine.poll_timeout())
        };
        for (device_id, status) in &untold {
            retain(hub, device_id, status);
        }
        if !untold.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = presence.0.to_tell.notified() => {}
            () = grace_over(timeout) => {}
        }
    }
}

async fn grace_over(timeout: Option<Instant>) {
    match timeout {
        Some(timeout) => sleep_until(timeout.into()).await,
        None => std::future::pending().await,
    }
}

fn retain(hub: &Hub, device_id: &str, status: &Status) {
    match status.message(device_id) {
        Ok(message) => hub.retain(&Arc::new(message)),
        Err(error) => warn!(device_id, %error, "A device's status cannot be told: its id makes no topic."),
    }
}

async fn save(presence: &Presence, store: &Store, stop: &CancellationToken) {
    let mut pause = SAVE_PAUSE;
    let mut others = Others::default();
    while stop.run_until_cancelled(something_to_do(presence, store)).await.is_some() {
        while presence.machine().has_unsaved() {
            pause = match save_some(presence, store).await {
                Ok(()) => {
                    if pause > SAVE_PAUSE {
                        info!("Presence is saved again.");
                    }
                    SAVE_PAUSE
                }
                Err(failure) => {
                    error!(%failure, "Presence cannot be saved now; it is told all the same.");
                    (pause * 2).min(RETRY_PAUSE_MAX)
                }
            };
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
        if store.is_shared() {
            others.meet(presence, store).await;
        }
    }
    while presence.machine().has_unsaved() {
        if let Err(failure) = save_some(presence, store).await {
            return error!(%failure, "The last changes of presence are not saved; the next start finds out who is there.");
        }
    }
}

/// A change, or, on a database that others use too, their turn.
async fn something_to_do(presence: &Presence, store: &Store) {
    match store.is_shared() {
        true => drop(tokio::time::timeout(MEET_INTERVAL, presence.0.to_save.notified()).await),
        false => presence.0.to_save.notified().await,
    }
}

/// What is known of the other gateways on the database.
#[derive(Default)]
struct Others {
    /// When they were asked last, by the database's clock; 0: never.
    asked_at_ms: i64,
    /// Since when each question was answered.
    answered_since: Option<Instant>,
}

impl Others {
    /// After what is to be saved was saved, so that what is read is no older than that.
    async fn meet(&mut self, presence: &Presence, store: &Store) {
        let (now, now_ms) = clocks();
        let since = *self.answered_since.get_or_insert(now);
        let burial = if now - since >= BURIAL_AFTER { Burial::Allowed } else { Burial::TooEarly };
        match store.meet(self.asked_at_ms, burial).await {
            Ok(met) => {
                self.asked_at_ms = met.asked_at_ms;
                presence.handle_met(met, now, now_ms);
            }
            Err(error) => {
                self.answered_since = None;
                warn!(%error, "What other gateways know of devices cannot be read now.");
            }
        }
    }
}

/// Saves what is to be saved, up to the bound, in one transaction. What it cannot save stays to be saved.
async fn save_some(presence: &Presence, store: &Store) -> Result<(), StoreError> {
    let unsaved: Vec<(Arc<str>, Status)> = {
        let mut machine = presence.machine();
        std::iter::from_fn(|| machine.poll_unsaved()).take(ROWS_MAX).collect()
    };
    let rows: Vec<PresenceRow> = unsaved.into_iter().map(|(device_id, status)| status.row(device_id)).collect();
    store.save_presence(&rows).await.inspect_err(|_| {
        let mut machine = presence.machine();
        rows.iter().for_each(|row| machine.handle_not_saved(&row.device_id));
    })
}

#[expect(clippy::disallowed_methods, reason = "a driver")]
pub(super) fn clocks() -> (Instant, i64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
