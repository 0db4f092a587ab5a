//! What a hand does where there is a spool: it tries to commit for a short while, and then spools.
//!
//! Not everything may go into the spool. A batch whose COMMIT was not answered may be in the database already, and waits until that is
//! known; so does what only the database can tell to be refused or a duplicate. Both wait in tasks of their own.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::outage::Outage;
use super::{Batch, Hand, Note, RETRY_DELAY_MIN, Receipt, Settled, given_up, now};
use crate::ready::Part;
use crate::store::{Doubt, Entry};

/// How far a batch has come in a while.
enum Tried {
    Settled,
    /// Nothing of it is stored.
    Failed(Batch),
    /// It may be stored.
    InDoubt(Batch, Doubt),
}

impl Hand {
    /// Commits the batch, or spools it while the database is away; where neither is possible, the hand waits with it.
    pub(super) async fn commit_or_spool(&self, mut batch: Batch, outage: &Arc<Outage>, give_up: &CancellationToken) {
        loop {
            if !outage.is_away() {
                let Some(failed) = self.commit_for_a_while(batch, outage, give_up).await else { return };
                batch = failed;
            }
            let Some(unsheltered) = self.spool(batch, outage, give_up).await else { return };
            batch = unsheltered;
        }
    }

    /// Waits until the database is not known to be away.
    pub(super) async fn until_back(&self) {
        if let Some(outage) = &self.outage {
            outage.until_back().await;
        }
    }

    /// Gives the batch back if nothing of it is stored and the database is away. A commit that takes longer than a while says that as
    /// well: it goes on alone, and the hand is free.
    async fn commit_for_a_while(
        &self,
        batch: Batch,
        outage: &Arc<Outage>,
        give_up: &CancellationToken,
    ) -> Option<Batch> {
        let mut trying = tokio::spawn(self.clone().try_for_a_while(batch, outage.clone(), give_up.clone()));
        let tried = tokio::select! {
            biased;
            tried = &mut trying => tried,
            () = outage.until_away() => return self.leave_trying(trying, outage, give_up),
            () = tokio::time::sleep(outage.after()) => {
                outage.begin();
                return self.leave_trying(trying, outage, give_up);
            }
        };
        match tried.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())) {
            Tried::Settled => None,
            Tried::Failed(batch) => Some(batch),
            Tried::InDoubt(batch, doubt) => {
                let (hand, give_up_too) = (self.clone(), give_up.clone());
                let resolving = async move { hand.hold(batch, Some(doubt), &give_up_too).await };
                outage.leave(resolving, give_up.clone());
                None
            }
        }
    }

    fn leave_trying(
        &self,
        trying: tokio::task::JoinHandle<Tried>,
        outage: &Arc<Outage>,
        give_up: &CancellationToken,
    ) -> Option<Batch> {
        let (hand, outage_too, give_up_too) = (self.clone(), outage.clone(), give_up.clone());
        let finishing = async move {
            match trying.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())) {
                Tried::Settled => {}
                Tried::Failed(batch) => {
                    if let Some(unsheltered) = hand.spool(batch, &outage_too, &give_up_too).await {
                        hand.hold(unsheltered, None, &give_up_too).await;
                    }
                }
                Tried::InDoubt(batch, doubt) => hand.hold(batch, Some(doubt), &give_up_too).await,
            }
        };
        outage.leave(finishing, give_up.clone());
        None
    }

    async fn try_for_a_while(self, batch: Batch, outage: Arc<Outage>, give_up: CancellationToken) -> Tried {
        let (deadline, mut delay, mut doubt) = (now() + outage.after(), RETRY_DELAY_MIN, None);
        loop {
            if let Some(outcomes) = self.attempt(&batch, &mut doubt).await {
                self.settle(batch, outcomes);
                return Tried::Settled;
            }
            if now() + delay >= deadline {
                outage.begin();
                break;
            }
            tokio::select! {
                () = give_up.cancelled() => break,
                () = outage.until_away() => break,
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(self.retry_delay_max),
            }
        }
        match doubt {
            None => Tried::Failed(batch),
            Some(doubt) => Tried::InDoubt(batch, doubt),
        }
    }

    /// Puts into the spool what may go there, and waits while that has no room; gives back what is not there when the database is back
    /// first.
    async fn spool(&self, batch: Batch, outage: &Arc<Outage>, give_up: &CancellationToken) -> Option<Batch> {
        let (batch, asking) = batch.without_questions();
        if !asking.entries.is_empty() {
            let (hand, give_up_too) = (self.clone(), give_up.clone());
            outage.leave(async move { hand.hold(asking, None, &give_up_too).await }, give_up.clone());
        }
        let mut delay = RETRY_DELAY_MIN;
        while !batch.entries.is_empty() {
            if outage.put(&batch).await.is_ok() {
                self.answer_spooled(batch);
                break;
            }
            tokio::select! {
                () = give_up.cancelled() => {
                    given_up(batch.pending.into_iter());
                    break;
                }
                () = outage.until_back() => return Some(batch),
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(self.retry_delay_max),
            }
        }
        None
    }

    fn answer_spooled(&self, batch: Batch) {
        let now = now();
        let waited = batch.pending.iter().map(|pending| now.saturating_duration_since(pending.received_at));
        self.metrics.acknowledged(waited);
        self.ready.set(Part::Writer, true);
        let mut notes: Vec<Note> = Vec::new();
        let answers = batch.pending.into_iter().map(|mut pending| {
            let settled = pending.spooled();
            notes.extend(pending.note(&settled));
            (pending.receipt, settled)
        });
        self.ledger.answer_spooled(answers.collect::<Vec<(Receipt, Settled)>>());
        self.notes.leave(notes);
    }
}

impl Batch {
    /// Without what only the database can judge, which is given apart.
    fn without_questions(self) -> (Batch, Batch) {
        let (mut batch, mut asking) = (Batch::default(), Batch::default());
        for (entry, pending) in self.entries.into_iter().zip(self.pending) {
            let asks = matches!(&entry, Entry::Refused(refused) if refused.unless_stored.is_some());
            let part = if asks { &mut asking } else { &mut batch };
            part.entries.push(entry);
            part.pending.push(pending);
        }
        (batch, asking)
    }
}
