//! Commits what is in the spool, oldest first, and so finds out that the database is back.
//!
//! A batch is committed to the database, then counted, then removed from the spool; the database notes with it how far the spool is
//! drained, so that whoever starts after a kill in between goes on behind it. While an outage lasts and the spool is empty, that note alone
//! is committed: a database that answers questions may still not take rows.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::outage::Outage;
use super::{Hand, RETRY_DELAY_MIN, Settled, kept, now};
use crate::ingest::metrics::Undone;
use crate::ingest::{Config, EncodingLabel, Origin, Reason};
use crate::metrics::Label;
use crate::ready::Part as ReadyPart;
use crate::store::{Doubt, Entry, Mark, Outcome, Waiting};

/// The task that drains.
pub(super) struct Drain {
    hand: Hand,
    outage: Arc<Outage>,
    rows_max: usize,
    bytes_max: usize,
}

/// What goes into the database in one transaction.
struct Part {
    waiting: Vec<Waiting>,
    entries: Vec<Entry>,
    mark: Mark,
    doubt: Option<Doubt>,
}

impl Drain {
    /// Over a spool; what is in it counts as recovered.
    pub(super) fn new(hand: Hand, outage: Arc<Outage>, config: &Config) -> Self {
        let messages = outage.messages();
        if messages > 0 {
            warn!(messages, "The spool has messages of an earlier outage, which are drained now.");
        }
        hand.ledger.recover(messages);
        Drain { hand, outage, rows_max: config.batch_rows_max, bytes_max: config.batch_bytes_max }
    }

    /// Drains whenever there is something, until it `ends`: what is left stays on the disk.
    pub(super) async fn run(self, ends: CancellationToken, give_up: CancellationToken) {
        let draining = async {
            while ends.run_until_cancelled(self.outage.has_work()).await.is_some() {
                let Some(part) = ends.run_until_cancelled(self.next()).await else { return };
                let Some(committed) = self.commit(part, &ends).await else { return };
                self.conclude(committed).await;
            }
        };
        give_up.run_until_cancelled(draining).await;
    }

    /// The oldest messages. A spool that cannot be read does not keep the gateway from seeing that the database is back.
    async fn next(&self) -> Part {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            match self.outage.next(self.rows_max, self.bytes_max).await {
                Ok(waiting) => return self.part(waiting).await,
                Err(failure) => error!(%failure, "The spool cannot be read; what is in it is drained later."),
            }
            if self.outage.is_away() {
                return self.part(Vec::new()).await;
            }
            self.pause(&mut delay).await;
        }
    }

    async fn part(&self, waiting: Vec<Waiting>) -> Part {
        let entries = waiting.iter().map(|waiting| waiting.entry.clone()).collect();
        Part { mark: self.outage.mark(&waiting).await, waiting, entries, doubt: None }
    }

    /// Tries until the database has it, or until it is to end.
    async fn commit(&self, mut part: Part, ends: &CancellationToken) -> Option<(Part, Vec<Outcome>)> {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let began = now();
            let commit = self.hand.store.commit_from_spool(&part.entries, part.mark);
            match self.hand.try_commit(&mut part.doubt, commit).await {
                Ok(outcomes) => {
                    self.hand.metrics.committed(part.entries.len(), now() - began);
                    self.outage.end();
                    self.hand.ready.set(ReadyPart::Writer, true);
                    return Some((part, outcomes));
                }
                Err(failure) => {
                    self.hand.metrics.commit_failed();
                    warn!(%failure, spooled = self.outage.messages(), "The database does not take what is in the spool.");
                }
            }
            ends.run_until_cancelled(self.pause(&mut delay)).await?;
        }
    }

    async fn conclude(&self, (part, outcomes): (Part, Vec<Outcome>)) {
        let concluded = part.waiting.iter().zip(&outcomes);
        let settled: Vec<Settled> = concluded.map(|(waiting, outcome)| self.settled(waiting, *outcome)).collect();
        outcomes.iter().for_each(|outcome| self.hand.metrics.kept(kept(outcome)));
        self.hand.ledger.settle_spooled(settled);
        self.hand.publish(part.entries, &outcomes);
        self.outage.remove(&part.waiting).await;
    }

    fn settled(&self, waiting: &Waiting, outcome: Outcome) -> Settled {
        let (word, encoding) = match &waiting.entry {
            Entry::Accepted(accepted) => (Reason::BadPayload.as_str(), accepted.encoding),
            Entry::Refused(refused) => (refused.reason, refused.encoding),
        };
        let encoding = label(encoding).unwrap_or(EncodingLabel::Unknown);
        let rejected = |reason| Settled::Rejected { reason, encoding, detail: None };
        match outcome {
            Outcome::Stored => Settled::Stored,
            Outcome::Duplicate => Settled::Duplicate(self.origin(waiting)),
            Outcome::Replayed(_) | Outcome::Forgotten(_) => {
                self.outage.raise_alarm(&waiting.entry, Undone::Replayed);
                rejected(Reason::Replayed)
            }
            Outcome::BadPayload(_) => {
                self.outage.raise_alarm(&waiting.entry, Undone::BadPayload);
                rejected(Reason::BadPayload)
            }
            Outcome::Refused(_) => {
                let reason = Reason::ALL.iter().find(|reason| reason.as_str() == word);
                rejected(*reason.expect("the spool gives back only reasons that it knows"))
            }
        }
    }

    /// What was there at the start may have been sent again to this process before it was drained.
    fn origin(&self, waiting: &Waiting) -> Origin {
        if self.outage.was_recovered(waiting) { Origin::Retry } else { label(waiting.origin).unwrap_or(Origin::Retry) }
    }

    async fn pause(&self, delay: &mut Duration) {
        tokio::time::sleep(*delay).await;
        *delay = (*delay * 2).min(self.hand.retry_delay_max);
    }
}

/// All words that a message has in the spool.
pub(in crate::ingest) fn words() -> Vec<&'static str> {
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let encodings = EncodingLabel::ALL.iter().map(|encoding| encoding.as_str());
    reasons.chain(encodings).chain(Origin::ALL.iter().map(|origin| origin.as_str())).collect()
}

fn label<L: Label>(word: &str) -> Option<L> {
    L::ALL.iter().copied().find(|label| label.as_str() == word)
}
