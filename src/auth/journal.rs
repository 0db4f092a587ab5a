//! The way of logins and tokens into the audit log: in groups, beside the logins, so that none waits for the database.
//!
//! What waits has a bound; beyond it entries are counted as lost and left out. A flood of failures is not written line by line: beyond a
//! rate they are counted too, so that nobody fills the database by failing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::limit::{Pace, Rate};
use crate::metrics::{CountBy, label};
use crate::store::{Event, Store};

/// Entries that may wait: a fleet of ten thousand that comes back at once.
const WAITING_MAX: usize = 16_384;
/// Entries of one transaction.
const GROUP_MAX: usize = 1_000;
/// How long an entry waits for others.
const GATHER: Duration = Duration::from_millis(250);
/// How long the database is left alone when it does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Failures a second that are entered.
const FAILURES_PER_SECOND: u64 = 100;

/// Takes entries.
pub(crate) struct Journal {
    entries: mpsc::Sender<Event>,
    failures: Mutex<Option<Pace>>,
    left_out: CountBy<LeftOut>,
}

/// Why an entry is not in the audit log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeftOut {
    /// More waited than may, since the database did not answer.
    Full,
    /// It was a failure among very many.
    Flood,
}

label! { LeftOut as "cause": Full = "full", Flood = "flood" }

/// Writes them.
pub struct JournalWriter {
    entries: mpsc::Receiver<Event>,
    store: Store,
}

impl Journal {
    pub(crate) fn new(store: Store, left_out: CountBy<LeftOut>) -> (Journal, JournalWriter) {
        let (sender, entries) = mpsc::channel(WAITING_MAX);
        (Journal { entries: sender, failures: Mutex::default(), left_out }, JournalWriter { entries, store })
    }

    /// Enters what went well.
    pub(crate) fn enter(&self, event: Event) {
        if self.entries.try_send(event).is_err() {
            self.left_out.inc(LeftOut::Full);
        }
    }

    /// Enters a failure, unless there are very many.
    pub(crate) fn enter_failure(&self, event: Event, now: Instant) {
        let mut pace = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = pace.get_or_insert_with(|| Pace::new(now)).try_take(Rate::per_second(FAILURES_PER_SECOND), now);
        drop(pace);
        if taken { self.enter(event) } else { self.left_out.inc(LeftOut::Flood) }
    }
}

impl JournalWriter {
    /// Writes until `stop`, and then what is there.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut group = Vec::new();
        loop {
            let more = tokio::select! {
                count = self.entries.recv_many(&mut group, GROUP_MAX) => count > 0,
                () = stop.cancelled() => false,
            };
            if !more {
                break;
            }
            // Others come soon; the end does not wait for them.
            let _ = stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
            while group.len() < GROUP_MAX
                && let Ok(event) = self.entries.try_recv()
            {
                group.push(event);
            }
            while let Err(error) = self.store.note(&group).await {
                tracing::warn!(%error, "Logins cannot be entered into the audit log; it is tried again.");
                if stop.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                    break;
                }
            }
            group.clear();
        }
        self.entries.close();
        while let Ok(event) = self.entries.try_recv() {
            group.push(event);
        }
        for group in group.chunks(GROUP_MAX) {
            if let Err(error) = self.store.note(group).await {
                tracing::error!(%error, entries = group.len(), "Logins are missing in the audit log.");
            }
        }
    }
}
