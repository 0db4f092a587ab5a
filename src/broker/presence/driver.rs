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
use crate::store::{PresenceRow, Store, StoreError};

/// Devices that are handled under the lock at a time.
const TOLD_AT_A_TIME: usize = 256;
/// Rows of a transaction: it holds the database's writer no longer than one of ingest's.
const ROWS_MAX: usize = 4096;
/// Rows that are read at a time.
const PAGE_ROWS: u32 = 4096;
/// Between two transactions. A fleet that comes all at once is saved in a few of them, and ingest's commits have the writer for
/// themselves meanwhile.
const SAVE_PAUSE: Duration = Duration::from_millis(250);
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
                    machine.load(row.device_id, status, now, now_ms);
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
    while stop.run_until_cancelled(presence.0.to_save.notified()).await.is_some() {
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
    }
    while presence.machine().has_unsaved() {
        if let Err(failure) = save_some(presence, store).await {
            return error!(%failure, "The last changes of presence are not saved; the next start finds out who is there.");
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
