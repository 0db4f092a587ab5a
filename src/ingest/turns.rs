//! What waits to be written, handed out in turn by device.
//!
//! As long as one batch takes all that waits, the order is that in which it came. Beyond that, each device gives one message after the
//! other in turn, so that what a live device sends stands in the next batch, however much those that have come back with a backlog have
//! on the way. The messages of one device stay in their order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::pipeline::Job;
use crate::store::Entry;

/// The receiving end of the jobs' queue. It has no bound of its own, as that has none: each job holds its permit.
pub(super) struct Turns<T = Job> {
    jobs: UnboundedReceiver<T>,
    /// No queue in it is empty.
    waiting: HashMap<Arc<str>, VecDeque<T>>,
    /// Whose turn it is; each name of `waiting` stands here once.
    turns: VecDeque<Arc<str>>,
    /// What was given back, and comes first.
    given_back: Option<T>,
    /// Up to so many are taken in the order in which they came.
    batch_rows_max: usize,
}

/// What comes from a device.
pub(super) trait OfDevice {
    /// Its name.
    fn device_id(&self) -> &Arc<str>;
}

impl OfDevice for Job {
    fn device_id(&self) -> &Arc<str> {
        match &self.entry {
            Entry::Accepted(accepted) => &accepted.device_id,
            Entry::Refused(refused) => &refused.device_id,
        }
    }
}

impl<T: OfDevice> Turns<T> {
    /// Over the queue, for batches of so many.
    pub(super) fn new(jobs: UnboundedReceiver<T>, batch_rows_max: usize) -> Self {
        Turns { jobs, waiting: HashMap::new(), turns: VecDeque::new(), given_back: None, batch_rows_max }
    }

    /// The next one, when there is one; none: nothing will come any more. Dropping the future loses nothing.
    pub(super) async fn recv(&mut self) -> Option<T> {
        self.sort_in();
        match self.next() {
            Some(job) => Some(job),
            None => self.jobs.recv().await,
        }
    }

    /// The next one, if it is there.
    pub(super) fn try_recv(&mut self) -> Option<T> {
        self.next().or_else(|| self.jobs.try_recv().ok())
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.turns.is_empty() && self.given_back.is_none()
    }

    /// Takes back what was handed out last: it comes first then.
    pub(super) fn give_back(&mut self, job: T) {
        self.given_back = Some(job);
    }

    /// Takes nothing more; what waits is still given out.
    pub(super) fn close(&mut self) {
        self.jobs.close();
    }

    /// Before each batch: what has come since the last one takes its place among those who wait, if not all of it fits.
    fn sort_in(&mut self) {
        if self.turns.is_empty() && self.jobs.len() <= self.batch_rows_max {
            return;
        }
        while let Ok(job) = self.jobs.try_recv() {
            let device_id = job.device_id().clone();
            let queue = self.waiting.entry(device_id.clone()).or_default();
            if queue.is_empty() {
                self.turns.push_back(device_id);
            }
            queue.push_back(job);
        }
    }

    fn next(&mut self) -> Option<T> {
        if let Some(job) = self.given_back.take() {
            return Some(job);
        }
        let device_id = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&device_id).expect("each name in turns has a queue");
        let job = queue.pop_front().expect("no queue is empty");
        if queue.is_empty() {
            self.waiting.remove(&device_id);
        } else {
            self.turns.push_back(device_id);
        }
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Told(Arc<str>, u32);

    impl OfDevice for Told {
        fn device_id(&self) -> &Arc<str> {
            &self.0
        }
    }

    const ROWS_MAX: usize = 4;

    fn turns() -> (UnboundedSender<Told>, Turns<Told>) {
        let (jobs, queue) = unbounded_channel();
        (jobs, Turns::new(queue, ROWS_MAX))
    }

    fn send(jobs: &UnboundedSender<Told>, device: &str, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| jobs.send(Told(device.into(), number)).unwrap());
    }

    /// The next batch, as the writer takes it.
    async fn batch(turns: &mut Turns<Told>) -> String {
        let mut batch = vec![turns.recv().await.unwrap()];
        while batch.len() < ROWS_MAX
            && let Some(next) = turns.try_recv()
        {
            batch.push(next);
        }
        batch.iter().map(|Told(device, number)| format!("{device}{number}")).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn what_one_batch_takes_comes_as_it_came() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..3);
        send(&jobs, "b", 0..1);
        assert_eq!(batch(&mut turns).await, "a0 a1 a2 b0");
    }

    #[tokio::test]
    async fn beyond_a_batch_each_device_has_its_turn() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..6);
        send(&jobs, "b", 0..3);
        assert_eq!(batch(&mut turns).await, "a0 b0 a1 b1");
        send(&jobs, "c", 0..1);
        assert_eq!(batch(&mut turns).await, "a2 b2 c0 a3", "a live one waits for no backlog");
        assert_eq!(batch(&mut turns).await, "a4 a5");
    }

    #[tokio::test]
    async fn what_is_given_back_comes_first_and_holds_up_nobody() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..9);
        let first = turns.recv().await.unwrap();
        turns.give_back(first);
        send(&jobs, "b", 0..1);
        assert_eq!(batch(&mut turns).await, "a0 a1 b0 a2");
    }

    #[tokio::test]
    async fn when_it_is_closed_all_that_waits_is_given_out() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..6);
        let first = turns.recv().await.unwrap();
        turns.give_back(first);
        send(&jobs, "b", 0..2);
        turns.close();
        assert!(jobs.send(Told("c".into(), 0)).is_err());
        let mut rest = Vec::from_iter(std::iter::from_fn(|| turns.try_recv()));
        rest.sort_by_key(|Told(device, number)| (device.clone(), *number));
        let expected = (0..6).map(|number| ("a", number)).chain([("b", 0), ("b", 1)]);
        assert!(rest.into_iter().eq(expected.map(|(device, number)| Told(device.into(), number))));
        assert!(turns.recv().await.is_none());
    }
}
