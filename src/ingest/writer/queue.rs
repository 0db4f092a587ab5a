//! What waits to be written, and how much of it makes a batch.

mod room;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::ingest::pipeline::{Job, Pending};
use crate::ingest::turns::Turns;
use crate::store::Entry;
use room::Room;

/// As many messages a batch wants for each commit that is under way. Over PostgreSQL, `cargo bench --bench end_to_end -- --postgres --only
/// gateway` made 55,987 messages/s where none waited for company, and 63,357, 57,239 and 64,090 with 64, 128 and 256.
const COMPANY: usize = 64;
/// So long a hand waits for company at most: a commit that hangs must not hold up those who could go on without it.
const COMPANY_WAIT_MAX: Duration = Duration::from_millis(20);

/// What waits to be written.
pub(super) struct Queue {
    pub(super) jobs: Turns,
    /// What the next batch has so far.
    making: Batch,
    making_bytes: usize,
    company: Arc<Company>,
    batch_rows_max: usize,
    batch_bytes_max: usize,
}

/// How many commits are under way. A commit costs the database the same for few messages as for many, and so a hand that could begin
/// another one beside them waits for company: the more are under way, the more messages it wants, until one of them ends.
#[derive(Default)]
pub(super) struct Company {
    committing: AtomicUsize,
    ended: Notify,
    room: Mutex<Room>,
}

/// A commit that is under way.
pub(super) struct Committing<'c>(&'c Company);

/// What one transaction is to write.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) pending: Vec<Pending>,
    /// Whether more waited than it took, so as not to keep live devices waiting.
    is_short: bool,
}

impl Queue {
    pub(super) fn new(jobs: Turns, batch_rows_max: usize, batch_bytes_max: usize, company: Arc<Company>) -> Queue {
        Queue { jobs, making: Batch::default(), making_bytes: 0, company, batch_rows_max, batch_bytes_max }
    }

    /// What is waiting, up to the bounds; none: nothing will come any more. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        if self.making.entries.is_empty() {
            if !self.jobs.wait().await {
                return None;
            }
            let company = &self.company;
            self.jobs.begin(|waiting| company.room().rows(waiting));
            self.making_bytes = 0;
        }
        let company = self.company.clone();
        let patience = tokio::time::sleep(COMPANY_WAIT_MAX);
        tokio::pin!(patience);
        while self.fill() && self.making.entries.len() < company.wanted() {
            tokio::select! {
                is_more = self.jobs.wait_for_more() => if !is_more { break },
                () = company.ended.notified() => {}
                () = &mut patience => break,
            }
        }
        self.making.is_short = self.jobs.is_left_over() && self.making.entries.len() < self.batch_rows_max;
        Some(std::mem::take(&mut self.making))
    }

    /// Takes what is there; whether there is room for more.
    fn fill(&mut self) -> bool {
        while self.making.entries.len() < self.batch_rows_max {
            let Some(job) = self.jobs.try_recv() else { return !self.jobs.is_left_over() };
            let is_first = self.making.entries.is_empty();
            if !is_first && self.making_bytes + job.entry.size() > self.batch_bytes_max {
                self.jobs.give_back(job);
                return false;
            }
            self.making_bytes += self.making.take(job);
        }
        false
    }

    /// Takes nothing more, and gives out what waits.
    pub(super) fn close(&mut self) -> impl Iterator<Item = Pending> {
        self.jobs.close();
        let making = std::mem::take(&mut self.making);
        making.pending.into_iter().chain(std::iter::from_fn(|| self.jobs.try_recv()).map(|job| job.pending))
    }
}

impl Company {
    /// As many messages as a batch has to have to begin now.
    fn wanted(&self) -> usize {
        self.committing.load(Ordering::Relaxed) * COMPANY
    }

    /// A commit took so long.
    pub(super) fn committed(&self, batch: &Batch, took: Duration) {
        self.room().learn(took, batch.is_short);
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) -> Committing<'_> {
        self.committing.fetch_add(1, Ordering::Relaxed);
        Committing(self)
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.0.committing.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl Batch {
    fn take(&mut self, job: Job) -> usize {
        let bytes = job.entry.size();
        self.entries.push(job.entry);
        self.pending.push(job.pending);
        bytes
    }
}
