//! The writer: commits whatever came while its last commit ran, and settles the receipts.
//!
//! There is no timer. With one message waiting it commits one; under load the batch grows by itself to what a commit takes,
//! up to a bound in rows and bytes. A failure that may pass is tried again for ever: the messages are held, their connections
//! wait, and nothing is acknowledged meanwhile. Only the end of the gateway gives them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::pipeline::{Job, Pending};
use super::{Cause, Config, Ingest, Ledger, Metrics, Settled};
use crate::metrics::Registry;
use crate::seal::Guard;
use crate::store::{Entry, Kept, Outcome, Reading, Store};

/// Batches of verified readings that may wait for whoever publishes them; what is beyond is counted and not published,
/// because the database is the truth.
const VERIFIED_BATCHES_MAX: usize = 64;
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);

/// One verified message, after its commit.
pub struct Verified {
    /// Who sealed it.
    pub device_id: Arc<str>,
    /// What it says.
    pub readings: Vec<Reading>,
}

/// The one task that writes.
pub struct Writer {
    store: Store,
    ledger: Ledger,
    metrics: Metrics,
    queue: mpsc::UnboundedReceiver<Job>,
    verified: mpsc::Sender<Vec<Verified>>,
    listened_to: Arc<AtomicBool>,
    batch_rows_max: usize,
    batch_bytes_max: usize,
    retry_delay_max: Duration,
    /// What did not fit into the last batch any more.
    carried: Option<Job>,
    entries: Vec<Entry>,
    pending: Vec<Pending>,
}

impl Writer {
    /// The pipeline's two ends, and the stream of what was verified. While `listened_to` is false that stream stays empty.
    pub fn open(
        config: &Config,
        guard: Arc<Guard>,
        store: Store,
        registry: &Registry,
        listened_to: Arc<AtomicBool>,
    ) -> (Ingest, Writer, mpsc::Receiver<Vec<Verified>>) {
        let ledger = Ledger::default();
        registry.keep(ledger.clone());
        let metrics = Metrics::new(registry);
        let (ingest, queue) = Ingest::new(config, guard, ledger.clone());
        let (verified, published) = mpsc::channel(VERIFIED_BATCHES_MAX);
        let writer = Writer {
            store,
            ledger,
            metrics,
            queue,
            verified,
            listened_to,
            batch_rows_max: config.batch_rows_max,
            batch_bytes_max: config.batch_bytes_max,
            retry_delay_max: config.retry_delay_max,
            carried: None,
            entries: Vec::new(),
            pending: Vec::new(),
        };
        (ingest, writer, published)
    }

    /// Writes until every [`Ingest`] is gone and the queue is empty, or until `give_up`.
    pub async fn run(mut self, give_up: CancellationToken) {
        loop {
            let first = tokio::select! {
                // First, so that what waits is given up with the rest and not committed one batch more.
                biased;
                () = give_up.cancelled() => return self.give_up(),
                first = self.next() => first,
            };
            let Some(first) = first else { return };
            self.gather(first);
            let Some(outcomes) = self.commit(&give_up).await else { return self.give_up() };
            self.settle(outcomes);
            // The connections that this woke send their answers first: what comes back for them makes the next batch larger.
            tokio::task::yield_now().await;
        }
    }

    /// The next message; none: nothing will come any more. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Job> {
        match self.carried.take() {
            Some(job) => Some(job),
            None => self.queue.recv().await,
        }
    }

    /// Takes what is waiting behind `first`, up to the bounds.
    fn gather(&mut self, first: Job) {
        let mut bytes = self.take(first);
        while self.entries.len() < self.batch_rows_max {
            let Ok(job) = self.queue.try_recv() else { break };
            if bytes + entry_bytes(&job.entry) > self.batch_bytes_max {
                self.carried = Some(job);
                break;
            }
            bytes += self.take(job);
        }
    }

    fn take(&mut self, job: Job) -> usize {
        let bytes = entry_bytes(&job.entry);
        self.entries.push(job.entry);
        self.pending.push(job.pending);
        bytes
    }

    /// Commits the batch, again and again while the failure may pass; none: told to give up.
    async fn commit(&mut self, give_up: &CancellationToken) -> Option<Vec<Outcome>> {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let began = now();
            let failure = match self.store.commit(&self.entries).await {
                Ok(outcomes) => {
                    #[expect(clippy::disallowed_methods, reason = "the writer is a driver")]
                    self.metrics.committed(self.entries.len(), began.elapsed());
                    if delay > RETRY_DELAY_MIN {
                        info!("The database commits again.");
                    }
                    return Some(outcomes);
                }
                Err(failure) => failure,
            };
            self.metrics.commit_failed();
            error!(%failure, messages = self.entries.len(), "The database does not commit; the messages are held.");
            tokio::select! {
                () = give_up.cancelled() => return None,
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(self.retry_delay_max),
            }
        }
    }

    fn settle(&mut self, outcomes: Vec<Outcome>) {
        self.publish(&outcomes);
        let now = now();
        let metrics = &self.metrics;
        metrics.acknowledged(self.pending.iter().map(|pending| now.saturating_duration_since(pending.received_at)));
        let settled = self.pending.drain(..).zip(outcomes).map(|(mut pending, outcome)| {
            metrics.kept(kept(&outcome));
            let settled = pending.settled(outcome);
            (pending.receipt, settled)
        });
        let settled: Vec<(super::Receipt, Settled)> = settled.collect();
        self.ledger.settle_all(settled);
        self.entries.clear();
    }

    /// Hands the readings of what is stored now to whoever publishes them.
    fn publish(&mut self, outcomes: &[Outcome]) {
        if !self.listened_to.load(Ordering::Relaxed) {
            return;
        }
        let stored = self.entries.iter_mut().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Stored));
        let verified: Vec<Verified> = stored.filter_map(|(entry, _)| verified(entry)).collect();
        let count = verified.len();
        if count > 0 && self.verified.try_send(verified).is_err() {
            self.metrics.unpublished(count);
        }
    }

    fn give_up(mut self) {
        let held = self.pending.drain(..).map(|pending| pending.receipt);
        let carried = self.carried.take().map(|job| job.pending.receipt);
        self.queue.close();
        let queued = std::iter::from_fn(|| self.queue.try_recv().ok()).map(|job| job.pending.receipt);
        let count = held.chain(carried).chain(queued).map(|receipt| receipt.give_up(Cause::Shutdown)).count();
        if count > 0 {
            error!(
                messages = count,
                "The gateway ends before the database has come back; these were not acknowledged."
            );
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Accepted(accepted) => accepted.bytes.len(),
        Entry::Refused(refused) => refused.bytes.len(),
    }
}

fn verified(entry: &mut Entry) -> Option<Verified> {
    let Entry::Accepted(accepted) = entry else { return None };
    let readings = std::mem::take(&mut accepted.readings);
    (!readings.is_empty()).then(|| Verified { device_id: accepted.device_id.clone(), readings })
}

fn kept(outcome: &Outcome) -> Option<Kept> {
    match outcome {
        Outcome::Replayed(kept) | Outcome::Refused(kept) | Outcome::BadPayload(kept) => Some(*kept),
        Outcome::Stored | Outcome::Duplicate => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "the writer is a driver")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
