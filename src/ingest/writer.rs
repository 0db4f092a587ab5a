//! The writer: commits whatever came while its last commit ran, and settles the receipts.
//!
//! With one message waiting and no commit under way it commits one; under load the batch grows by itself to what a commit takes, up to a
//! bound in rows and bytes. Where the store takes several batches at a time, as many hands take from one queue in turn; one that would
//! begin beside others waits a little for company (`queue`). Messages of one device may be committed in another order than they came in,
//! which no promise speaks of; each is answered in its turn (`broker`). A failure that may pass is tried again for ever: the messages are
//! held, their connections wait, and nothing is acknowledged meanwhile. Only the end of the gateway gives them up. Where there is a spool,
//! messages wait there and not here (`spooling`), and are committed from there (`drain`).

mod drain;
mod outage;
mod queue;
mod spooling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use drain::Drain;
use outage::Outage;
use queue::{Batch, Company, Queue};

use super::notes::{Note, Notes};
use super::pipeline::Pending;
use super::turns::Turns;
use super::{Cause, Config, Ingest, Ledger, Metrics, Notary, Receipt, Settled};
use crate::metrics::Registry;
use crate::ready::{Part, Ready};
use crate::seal::Guard;
use crate::store::{Accepted, CommitError, Doubt, Entry, Kept, Outcome, Reading, Spool, Store};

/// Batches of verified readings that may wait for whoever publishes them; what is beyond is counted and not published,
/// because the database is the truth.
const VERIFIED_BATCHES_MAX: usize = 64;
/// While one commit takes longer than this the gateway is not ready.
const COMMIT_SLOW: Duration = Duration::from_secs(5);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);

/// One verified message, after its commit.
pub struct Verified {
    /// Who sealed it.
    pub device_id: Arc<str>,
    /// What it says.
    pub readings: Vec<Reading>,
}

/// What somebody outside may get of what the writer has settled; what nobody may get is not made.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Verified readings.
    pub readings: Arc<AtomicBool>,
    /// What became of messages.
    pub receipts: Arc<AtomicBool>,
}

impl Wanted {
    /// All of it as long as we run, or nothing.
    pub fn always(is_wanted: bool) -> Self {
        let wanted = || Arc::new(AtomicBool::new(is_wanted));
        Wanted { readings: wanted(), receipts: wanted() }
    }
}

/// Where it is got.
pub struct Outlets {
    /// The readings of what was stored, batch by batch.
    pub verified: mpsc::Receiver<Vec<Verified>>,
    /// What devices are told about their messages.
    pub notary: Notary,
}

/// All hands that write.
pub struct Writer {
    hand: Hand,
    queue: Arc<Mutex<Queue>>,
    drain: Option<Drain>,
}

/// Writes one batch after the other.
#[derive(Clone)]
struct Hand {
    ready: Ready,
    store: Store,
    ledger: Ledger,
    metrics: Metrics,
    verified: mpsc::Sender<Vec<Verified>>,
    wanted: Wanted,
    notes: Notes,
    company: Arc<Company>,
    retry_delay_max: Duration,
    /// Where messages may be spooled.
    outage: Option<Arc<Outage>>,
}

impl Writer {
    /// The pipeline's two ends, and where what is `wanted` comes out.
    pub fn open(
        config: &Config,
        guard: Arc<Guard>,
        store: Store,
        spool: Option<Spool>,
        registry: &Registry,
        ready: &Ready,
        wanted: Wanted,
    ) -> (Ingest, Writer, Outlets) {
        let ledger = Ledger::default();
        registry.keep(ledger.clone());
        let metrics = Metrics::new(registry);
        let (notes, notary) = Notes::open(wanted.receipts.clone(), guard.clone(), metrics.clone());
        let (ingest, jobs) = Ingest::new(config, guard, ledger.clone(), notes.clone());
        let (verified, published) = mpsc::channel(VERIFIED_BATCHES_MAX);
        let Config { batch_rows_max, batch_bytes_max, retry_delay_max, .. } = *config;
        let company = Arc::<Company>::default();
        let queue = Queue::new(Turns::new(jobs), batch_rows_max, batch_bytes_max, company.clone());
        let outage = Outage::over(spool, registry);
        let ready = ready.clone();
        ready.set(Part::Writer, true);
        let hand =
            Hand { ready, store, ledger, metrics, verified, wanted, notes, company, retry_delay_max, outage: None };
        let drain = outage.clone().map(|outage| Drain::new(hand.clone(), outage, config));
        let hand = Hand { outage: outage.filter(|outage| outage.takes_more()), ..hand };
        let outlets = Outlets { verified: published, notary };
        (ingest, Writer { hand, queue: Arc::new(Mutex::new(queue)), drain }, outlets)
    }

    /// All words that a message has in the spool: for encodings, reasons and origins.
    pub fn words() -> Vec<&'static str> {
        drain::words()
    }

    /// Writes until every [`Ingest`] is gone and the queue is empty, or until `give_up`.
    pub async fn run(self, give_up: CancellationToken) {
        let (drain_ends, outage) = (CancellationToken::new(), self.hand.outage.clone());
        let draining = self.drain.map(|drain| tokio::spawn(drain.run(drain_ends.clone(), give_up.clone())));
        let mut hands = JoinSet::new();
        for _ in 0..self.hand.store.writers() {
            hands.spawn(self.hand.clone().run(self.queue.clone(), give_up.clone()));
        }
        // One that has panicked takes the others along: what it held is lost with its receipts, and the gateway ends.
        while let Some(ended) = hands.join_next().await {
            if ended.is_err() {
                error!("A hand of the writer has ended by itself.");
                give_up.cancel();
            }
        }
        // The hands may have left something that waits for the database, and the drain is what finds it back.
        if let Some(outage) = outage {
            give_up.run_until_cancelled(outage.nothing_is_left()).await;
        }
        drain_ends.cancel();
        if let Some(draining) = draining
            && draining.await.is_err()
        {
            error!("The drain of the spool has ended by itself.");
        }
        if give_up.is_cancelled() {
            given_up(self.queue.lock().await.close());
        }
    }
}

impl Hand {
    async fn run(self, queue: Arc<Mutex<Queue>>, give_up: CancellationToken) {
        loop {
            let next = async { queue.lock().await.next().await };
            let batch = tokio::select! {
                // First, so that what waits is given up with the rest and not committed one batch more.
                biased;
                () = give_up.cancelled() => return,
                batch = next => batch,
            };
            let Some(batch) = batch else { return };
            match &self.outage {
                None => self.hold(batch, None, &give_up).await,
                Some(outage) => self.commit_or_spool(batch, outage, &give_up).await,
            }
            // The connections that this woke send their answers first: what comes back for them makes the next batch larger.
            tokio::task::yield_now().await;
        }
    }

    /// Commits the batch, again and again while the failure may pass.
    async fn hold(&self, batch: Batch, mut doubt: Option<Doubt>, give_up: &CancellationToken) {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            tokio::select! {
                () = give_up.cancelled() => return given_up(batch.pending.into_iter()),
                () = self.until_back() => {}
            }
            if let Some(outcomes) = self.attempt(&batch, &mut doubt).await {
                if delay > RETRY_DELAY_MIN {
                    info!("The database commits again.");
                }
                return self.settle(batch, outcomes);
            }
            tokio::select! {
                () = give_up.cancelled() => return given_up(batch.pending.into_iter()),
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(self.retry_delay_max),
            }
        }
    }

    /// Tries once; none: it failed, and may succeed later.
    async fn attempt(&self, batch: &Batch, doubt: &mut Option<Doubt>) -> Option<Vec<Outcome>> {
        let entries = &batch.entries;
        let (began, _committing) = (now(), self.company.begin());
        let mut commit = std::pin::pin!(self.try_commit(doubt, self.store.commit(entries)));
        let committed = match tokio::time::timeout(COMMIT_SLOW, &mut commit).await {
            Ok(committed) => committed,
            Err(_) => {
                self.ready.set(Part::Writer, false);
                commit.await
            }
        };
        match committed {
            Ok(outcomes) => {
                #[expect(clippy::disallowed_methods, reason = "the writer is a driver")]
                let took = began.elapsed();
                self.metrics.committed(entries.len(), took);
                self.company.committed(batch, took);
                self.ready.set(Part::Writer, true);
                Some(outcomes)
            }
            Err(failure) => {
                self.metrics.commit_failed();
                self.ready.set(Part::Writer, false);
                error!(%failure, messages = entries.len(), "The database does not commit; the messages are held.");
                None
            }
        }
    }

    /// While there is a doubt nothing is given again: its quarantined part would be there twice. `commit` begins when it is clear that
    /// nothing of it is stored.
    async fn try_commit(
        &self,
        doubt: &mut Option<Doubt>,
        commit: impl Future<Output = Result<Vec<Outcome>, CommitError>>,
    ) -> Result<Vec<Outcome>, CommitError> {
        if let Some(open) = doubt {
            let resolved = self.store.resolve(open).await?;
            *doubt = None;
            if let Some(outcomes) = resolved {
                return Ok(outcomes);
            }
        }
        let tried = commit.await;
        if let Err(CommitError::Unknown(open)) = &tried {
            *doubt = Some(open.clone());
        }
        tried
    }

    fn settle(&self, batch: Batch, outcomes: Vec<Outcome>) {
        let Batch { entries, pending, .. } = batch;
        self.publish(entries, &outcomes);
        let now = now();
        let metrics = &self.metrics;
        metrics.acknowledged(pending.iter().map(|pending| now.saturating_duration_since(pending.received_at)));
        let mut notes: Vec<Note> = Vec::new();
        let settled = pending.into_iter().zip(outcomes).map(|(mut pending, outcome)| {
            metrics.kept(kept(&outcome));
            let settled = pending.settled(outcome);
            notes.extend(pending.note(&settled));
            (pending.receipt, settled)
        });
        let settled: Vec<(Receipt, Settled)> = settled.collect();
        self.ledger.settle_all(settled);
        self.notes.leave(notes);
    }

    /// Hands the readings of what is stored now to whoever publishes them.
    fn publish(&self, entries: Vec<Entry>, outcomes: &[Outcome]) {
        if !self.wanted.readings.load(Ordering::Relaxed) {
            return;
        }
        let stored = entries.into_iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Stored));
        let verified: Vec<Verified> = stored.filter_map(|(entry, _)| verified(entry)).collect();
        let count = verified.len();
        if count > 0 && self.verified.try_send(verified).is_err() {
            self.metrics.unpublished(count);
        }
    }
}

/// These are neither stored nor acknowledged, and their senders are told that the connection ends.
fn given_up(pending: impl Iterator<Item = Pending>) {
    let count = pending.map(|pending| pending.receipt.give_up(Cause::Shutdown)).count();
    if count > 0 {
        error!(messages = count, "The gateway ends before the database has come back; these were not acknowledged.");
    }
}

fn verified(entry: Entry) -> Option<Verified> {
    let Entry::Accepted(Accepted { device_id, readings, .. }) = entry else { return None };
    (!readings.is_empty()).then_some(Verified { device_id, readings })
}

fn kept(outcome: &Outcome) -> Option<Kept> {
    match outcome {
        Outcome::Replayed(kept) | Outcome::Forgotten(kept) | Outcome::Refused(kept) | Outcome::BadPayload(kept) => {
            Some(*kept)
        }
        Outcome::Stored | Outcome::Duplicate => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "the writer is a driver")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
