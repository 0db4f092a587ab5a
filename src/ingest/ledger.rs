//! The law of the counts: received + recovered = stored + duplicate + rejected + dropped + in flight, at every moment.
//!
//! Every message that ingest takes on becomes a [`Receipt`], and the [`Ledger`] follows it from there to what became of it. One
//! lock guards all counters and each step under it keeps the law, so that whoever looks, looks at one consistent moment. What is
//! in flight is the number of live receipts, counted at their birth and their end and never derived from the other counts: a
//! receipt that leaks therefore breaks the law in the open, and stays to be found.
//!
//! A message that is spooled has its answer and no receipt any more, and is in flight until it is drained. After a restart those that
//! the spool holds are *recovered*: another process received them.
//!
//! Not here: what a refusal is, how long things take, and what an acknowledgement looks like on the wire.

mod counts;
mod receipt;
mod series;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

pub use counts::{Cause, Counts, EncodingLabel, Origin};
pub use receipt::{Inbox, Receipt, Settled};

use series::Series;

/// What became of all messages. Cloning it gives another handle to the same counts.
///
/// It is a [`Collector`], to be kept by the [`Registry`](crate::metrics::Registry): all its series come from one snapshot.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counts: Mutex<Counts>,
    /// Series of zeros, for their names and labels alone.
    described: Series,
}

impl Ledger {
    /// Counts a message as received. What becomes of it goes to `inbox` under `ticket`, a number of the caller's own.
    pub fn receive(&self, inbox: &Arc<Inbox>, ticket: u64) -> Receipt {
        self.locked().receive();
        Receipt::new(self.clone(), inbox.clone(), ticket)
    }

    /// Settles a batch in one step: no scrape sees a part of it.
    pub fn settle_all(&self, batch: impl IntoIterator<Item = (Receipt, Settled)>) {
        // Collected before the lock is taken: an iterator that drops a receipt would wait for that lock for ever.
        let batch: Vec<(Receipt, Settled)> = batch.into_iter().collect();
        let own = batch.iter().all(|(receipt, _)| receipt.belongs_to(self));
        debug_assert!(own, "a receipt settles in the ledger that it came from");
        let mut counts = self.locked();
        for (_, settled) in &batch {
            counts.conclude(settled.into());
            counts.end();
        }
        drop(counts);
        let to_wake: Vec<Arc<Inbox>> =
            batch.into_iter().filter_map(|(receipt, settled)| receipt.deliver(settled)).collect();
        to_wake.iter().for_each(|inbox| inbox.wake());
    }

    /// Gives receipts of spooled messages their answers; the messages stay in flight.
    pub fn answer_spooled(&self, batch: impl IntoIterator<Item = (Receipt, Settled)>) {
        let to_wake: Vec<Arc<Inbox>> =
            batch.into_iter().filter_map(|(receipt, settled)| receipt.deliver(settled)).collect();
        to_wake.iter().for_each(|inbox| inbox.wake());
    }

    /// Counts what became of spooled messages, in one step.
    pub fn settle_spooled(&self, batch: impl IntoIterator<Item = Settled>) {
        let mut counts = self.locked();
        for settled in batch {
            counts.conclude((&settled).into());
            counts.end();
        }
    }

    /// Counts messages that a process before this one has spooled.
    pub fn recover(&self, messages: u64) {
        self.locked().recover(messages);
    }

    /// The counts of one moment.
    pub fn counts(&self) -> Counts {
        self.locked().clone()
    }

    /// Ends a receipt that nobody settled.
    fn abandon(&self, cause: Cause) {
        let mut counts = self.locked();
        counts.conclude(counts::Conclusion::Dropped(cause));
        counts.end();
    }

    /// Nothing panics while it holds the lock, and counts are whole after each step; so a poisoned lock is as good as any.
    fn locked(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, other: &Ledger) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Collector for Ledger {
    fn desc(&self) -> Vec<&Desc> {
        self.0.described.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Series::of(&self.counts()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::counts::Conclusion;
    use super::*;
    use crate::metrics::Registry;
    use crate::seal::Reason;

    #[test]
    fn a_receipt_that_is_dropped_is_lost() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        let receipt = ledger.receive(&inbox, 7);
        assert_eq!((ledger.counts().received(), ledger.counts().in_flight()), (1, 1));
        drop(receipt);
        assert_eq!((ledger.counts().dropped(Cause::Lost), ledger.counts().in_flight()), (1, 0));
        assert_eq!(inbox.take(), [(7, Settled::Lost)]);
    }

    #[test]
    fn a_receipt_that_is_given_up_says_why() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        ledger.receive(&inbox, 7).give_up(Cause::Shutdown);
        let counts = ledger.counts();
        assert_eq!((counts.dropped(Cause::Shutdown), counts.dropped(Cause::Lost), counts.in_flight()), (1, 0, 0));
        assert_eq!(inbox.take(), [(7, Settled::Lost)]);
    }

    #[test]
    fn a_batch_settles_in_order_and_each_under_its_own_count() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        let settled = [
            Settled::Stored,
            Settled::Duplicate(Origin::Replay),
            Settled::Rejected { reason: Reason::BadSeal, encoding: EncodingLabel::Cose, detail: None },
            Settled::Lost,
        ];
        let batch: Vec<_> =
            (0..).zip(&settled).map(|(ticket, settled)| (ledger.receive(&inbox, ticket), settled.clone())).collect();
        ledger.settle_all(batch);
        let counts = ledger.counts();
        assert_eq!(counts.stored(), 1);
        assert_eq!((counts.duplicate(Origin::Retry), counts.duplicate(Origin::Replay)), (0, 1));
        assert_eq!(counts.rejected(Reason::BadSeal, EncodingLabel::Cose), 1);
        assert_eq!(counts.dropped(Cause::Lost), 1);
        assert_eq!(counts.difference(), 0);
        assert_eq!(inbox.take(), (0..).zip(settled).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_spooled_is_in_flight_until_it_is_drained() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        ledger.recover(1);
        ledger.answer_spooled([(ledger.receive(&inbox, 7), Settled::Spooled)]);
        assert_eq!(inbox.take(), [(7, Settled::Spooled)]);
        let counts = ledger.counts();
        assert_eq!((counts.received(), counts.recovered(), counts.in_flight(), counts.difference()), (1, 1, 2, 0));
        ledger.settle_spooled([Settled::Stored, Settled::Duplicate(Origin::Retry)]);
        let counts = ledger.counts();
        assert_eq!((counts.stored(), counts.in_flight(), counts.difference()), (1, 0, 0));
        assert_eq!(exported(&Registry::default(), &ledger), 0.0);
    }

    #[test]
    fn an_iterator_that_drops_a_receipt_blocks_nobody() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        let receipts: Vec<Receipt> = (0..4).map(|ticket| ledger.receive(&inbox, ticket)).collect();
        let mut keep = true;
        ledger.settle_all(receipts.into_iter().filter_map(|receipt| {
            keep = !keep;
            keep.then_some((receipt, Settled::Stored))
        }));
        let counts = ledger.counts();
        assert_eq!((counts.stored(), counts.dropped(Cause::Lost), counts.difference()), (2, 2, 0));
    }

    #[test]
    fn a_receipt_that_leaks_breaks_the_law() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        let receipt = ledger.receive(&inbox, 1);
        assert_eq!(ledger.counts().difference(), 0);
        ledger.locked().conclude(Conclusion::Stored);
        std::mem::forget(receipt);
        assert_eq!(ledger.counts().difference(), -1);
        assert_eq!(exported(&Registry::default(), &ledger), -1.0);
    }

    #[tokio::test]
    async fn an_inbox_wakes_its_owner_once_something_has_settled() {
        let (ledger, inbox) = (Ledger::default(), Arc::new(Inbox::default()));
        let receipt = ledger.receive(&inbox, 3);
        let settle = thread::spawn({
            let ledger = ledger.clone();
            move || ledger.settle_all([(receipt, Settled::Stored)])
        });
        inbox.notified().await;
        assert_eq!(inbox.take(), [(3, Settled::Stored)]);
        settle.join().unwrap();
    }

    #[test]
    fn the_law_holds_at_every_scrape_under_load() {
        const ROUNDS: u64 = 10_000;
        let ledger = Ledger::default();
        let registry = Registry::default();
        registry.keep(ledger.clone());
        let working = AtomicBool::new(true);
        let scrapes = thread::scope(|scope| {
            let scraper = scope.spawn(|| {
                let mut scrapes = 0;
                while working.load(Ordering::Relaxed) {
                    assert_eq!(law_of(&registry.render()), 0.0);
                    scrapes += 1;
                }
                scrapes
            });
            let workers: Vec<_> = (0..4)
                .map(|seed| {
                    scope.spawn({
                        let ledger = &ledger;
                        move || work(ledger, seed, ROUNDS)
                    })
                })
                .collect();
            let worked: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            working.store(false, Ordering::Relaxed);
            worked.into_iter().for_each(|worked| worked.unwrap());
            scraper.join().unwrap()
        });
        assert!(scrapes > 0);
        let counts = ledger.counts();
        assert_eq!((counts.received(), counts.in_flight(), counts.difference()), (4 * ROUNDS * 8, 0, 0));
    }

    /// Receives eight messages a round and lets each end in another way.
    fn work(ledger: &Ledger, seed: u64, rounds: u64) {
        let inbox = Arc::new(Inbox::default());
        for round in 0..rounds {
            let mut receipts: Vec<Receipt> = (0..8).map(|ticket| ledger.receive(&inbox, ticket)).collect();
            let reason = Reason::ALL[(seed + round) as usize % Reason::ALL.len()];
            drop(receipts.pop());
            receipts.pop().into_iter().for_each(|receipt| receipt.give_up(Cause::Shutdown));
            let rejected = Settled::Rejected { reason, encoding: EncodingLabel::Frame, detail: None };
            let settled = [rejected, Settled::Duplicate(Origin::Retry), Settled::Stored];
            ledger.settle_all(receipts.into_iter().zip(settled.into_iter().cycle()));
            assert_eq!(inbox.take().len(), 8);
        }
    }

    fn exported(registry: &Registry, ledger: &Ledger) -> f64 {
        registry.keep(ledger.clone());
        law_of(&registry.render())
    }

    /// Received and recovered less everything else, out of the exposition text.
    fn law_of(text: &[u8]) -> f64 {
        let lines = std::str::from_utf8(text).unwrap().lines().filter(|line| line.starts_with("sealgate_ingest_"));
        lines
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value: f64 = value.parse().unwrap();
                let came = ["sealgate_ingest_received_total", "sealgate_ingest_recovered_total"].contains(&series);
                if came { value } else { -value }
            })
            .sum()
    }
}
