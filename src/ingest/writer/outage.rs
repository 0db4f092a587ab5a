//! Whether the database is away, and the spool that stands in for it then.
//!
//! A hand that cannot commit says so, and all hands spool from then on; the drain is the one that goes on asking, and says when the database
//! is back. What can be neither spooled nor committed is left to tasks of their own, so that no hand waits with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::Batch;
use crate::ingest::metrics::{SpoolMetrics, Undone};
use crate::metrics::Registry;
use crate::store::{Entry, Mark, Spool, SpoolError, Spooled, Waiting};

/// An outage, or none; with the spool.
pub(super) struct Outage {
    spool: Spool,
    away: watch::Sender<bool>,
    /// Rung when there is something to drain, or to find out.
    work: Notify,
    /// Whether the spool has refused something, and has said so.
    refuses: AtomicBool,
    left: TaskTracker,
    metrics: SpoolMetrics,
}

impl Outage {
    /// Over a spool, if there is one; its series are there in any case.
    pub(super) fn over(spool: Option<Spool>, registry: &Registry) -> Option<Arc<Self>> {
        let metrics = SpoolMetrics::new(registry);
        let spool = spool?;
        if spool.takes_more() {
            info!(
                "While the database is away, an acknowledgement means: verified, and on this gateway's disk (store.on_outage = \"spool\")."
            );
        }
        metrics.holds(spool.usage(), spool.bytes_max());
        Some(Arc::new(Outage {
            spool,
            away: watch::Sender::new(false),
            work: Notify::new(),
            refuses: AtomicBool::new(false),
            left: TaskTracker::new(),
            metrics,
        }))
    }

    /// Whether new messages may be spooled.
    pub(super) fn takes_more(&self) -> bool {
        self.spool.takes_more()
    }

    /// How long a batch waits for the database.
    pub(super) fn after(&self) -> std::time::Duration {
        self.spool.after()
    }

    /// How many messages wait in the spool.
    pub(super) fn messages(&self) -> u64 {
        self.spool.usage().rows
    }

    /// Whether an outage has begun and not ended.
    pub(super) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// Waits until there is an outage.
    pub(super) async fn until_away(&self) {
        let _ = self.away.subscribe().wait_for(|away| *away).await;
    }

    /// Waits until there is none.
    pub(super) async fn until_back(&self) {
        let _ = self.away.subscribe().wait_for(|away| !*away).await;
    }

    /// The database does not commit.
    pub(super) fn begin(&self) {
        if !self.away.send_replace(true) {
            error!(
                "The database is away. What is verified goes to the spool on this gateway's disk, and is acknowledged from there."
            );
            self.metrics.away(true);
        }
        self.work.notify_one();
    }

    /// The database has committed something.
    pub(super) fn end(&self) {
        if self.away.send_replace(false) {
            info!(spooled = self.messages(), "The database is back. What is in the spool is drained.");
            self.metrics.away(false);
        }
    }

    /// Waits until something is to be drained, or it is to be found out whether the database is back.
    pub(super) async fn has_work(&self) {
        while !self.is_away() && self.messages() == 0 {
            self.work.notified().await;
        }
    }

    /// Puts messages into the spool; says aloud when that begins to fail, and when it succeeds again.
    pub(super) async fn put(&self, batch: &Batch) -> Result<(), SpoolError> {
        let origins = batch.pending.iter().map(|pending| crate::metrics::Label::as_str(pending.origin));
        let messages = batch.entries.iter().zip(origins).map(|(entry, origin)| Spooled { entry, origin });
        let put = self.spool.put(&messages.collect::<Vec<_>>()).await;
        self.count();
        match &put {
            Ok(()) => {
                self.metrics.spooled(batch.entries.len());
                self.work.notify_one();
                if self.refuses.swap(false, Ordering::Relaxed) {
                    info!("The spool takes messages again.");
                }
            }
            Err(refusal) => self.note(refusal),
        }
        put
    }

    fn note(&self, refusal: &SpoolError) {
        self.metrics.refused();
        if !self.refuses.swap(true, Ordering::Relaxed) {
            error!(
                %refusal,
                "The database is away, and the spool does not take any more. Messages are held, and none is acknowledged, until \
                 one of them does."
            );
        }
    }

    /// The oldest messages that are not drained yet.
    pub(super) async fn next(&self, rows_max: usize, bytes_max: usize) -> Result<Vec<Waiting>, SpoolError> {
        self.spool.next(rows_max, bytes_max).await
    }

    /// How far the spool is drained with these.
    pub(super) async fn mark(&self, drained: &[Waiting]) -> Mark {
        self.spool.mark(drained).await
    }

    /// Removes what is drained.
    pub(super) async fn remove(&self, drained: &[Waiting]) {
        if let Err(failure) = self.spool.remove(drained).await {
            error!(%failure, "What is drained stays in the spool for now. It is not drained twice.");
        }
        self.count();
    }

    /// Whether a message waits since before the start.
    pub(super) fn was_recovered(&self, waiting: &Waiting) -> bool {
        self.spool.was_recovered(waiting)
    }

    /// An acknowledged message that the database does not take.
    pub(super) fn raise_alarm(&self, entry: &Entry, undone: Undone) {
        self.metrics.undone(undone);
        let Entry::Accepted(accepted) = entry else { return };
        error!(
            device = %accepted.device_id,
            counter = accepted.seen.counter,
            reason = crate::metrics::Label::as_str(undone),
            "A message that was acknowledged from the spool is refused by the database. It is in quarantine, as far as that has room."
        );
    }

    /// Leaves something to a task of its own. One that panics takes the gateway along, as a hand does.
    pub(super) fn leave(&self, work: impl Future<Output = ()> + Send + 'static, give_up: CancellationToken) {
        let working = tokio::spawn(work);
        self.left.spawn(async move {
            if working.await.is_err() {
                error!("What waited for the database has ended by itself.");
                give_up.cancel();
            }
        });
    }

    /// Waits until all that was left is done; nothing more may be left from then on.
    pub(super) async fn nothing_is_left(&self) {
        self.left.close();
        self.left.wait().await;
    }

    fn count(&self) {
        self.metrics.holds(self.spool.usage(), self.spool.bytes_max());
    }
}
