//! What waits to be written, handed out in turn by device.
//!
//! Each device gives one message after the other in turn, so that what a live device sends stands in the next batch, however much those
//! that have come back with a backlog have on the way. The messages of one device stay in their order.
//!
//! A live message also waits for the commit that is under way. So while there are live devices, a batch takes all that they sent, and of
//! those that are behind no more than whoever writes has learned to be little (`writer`'s queue).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::pipeline::Job;
use crate::store::Entry;

/// A device is behind that has so many messages waiting and in the batches before, of which each counts half of the one after it.
const BEHIND: usize = 8;
/// After so many live ones it is the turn of one that is behind: a batch may be full of live ones, again and again.
const LIVE_IN_A_ROW_MAX: usize = 16;
/// Places of a queue that are kept when it is empty.
const WAITING_KEPT: usize = 16;
/// A device is forgotten that had nothing in so many batches; until then it may send again at any moment.
const FORGOTTEN_AFTER: u64 = 256;

/// The receiving end of the jobs' queue. It has no bound of its own, as that has none: each job holds its permit.
pub(super) struct Turns<T = Job> {
    jobs: UnboundedReceiver<T>,
    devices: HashMap<Arc<str>, Device<T>>,
    /// Whose turn it is; each name of which something waits stands in one of the two, once.
    live: VecDeque<Arc<str>>,
    behind: VecDeque<Arc<str>>,
    /// What was given back, and comes first.
    given_back: Option<T>,
    /// How much waits, of all devices.
    waiting: usize,
    /// How many of the devices are live.
    live_devices: usize,
    /// The number of this batch.
    batch: u64,
    /// How much of those that are behind this batch still takes.
    room_behind: usize,
    live_in_a_row: usize,
}

struct Device<T> {
    waiting: VecDeque<T>,
    /// What stood of it in the batches up to `at`.
    pace: usize,
    at: u64,
    is_live: bool,
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
    /// Over the queue.
    pub(super) fn new(jobs: UnboundedReceiver<T>) -> Self {
        Turns {
            jobs,
            devices: HashMap::new(),
            live: VecDeque::new(),
            behind: VecDeque::new(),
            given_back: None,
            waiting: 0,
            live_devices: 0,
            batch: 0,
            room_behind: usize::MAX,
            live_in_a_row: 0,
        }
    }

    /// Waits until something is there; false: nothing will come any more. Dropping the future loses nothing.
    pub(super) async fn wait(&mut self) -> bool {
        if self.given_back.is_some() || !self.live.is_empty() || !self.behind.is_empty() {
            return true;
        }
        self.wait_for_more().await
    }

    /// Waits until something has come beside what waits; false: nothing will. Dropping the future loses nothing.
    pub(super) async fn wait_for_more(&mut self) -> bool {
        let job = self.jobs.recv().await;
        job.map(|job| self.place(job)).is_some()
    }

    /// A batch begins. While there are live devices it takes so many messages of those that are behind as `beside_live` says, which is told how
    /// much waits.
    pub(super) fn begin(&mut self, beside_live: impl FnOnce(usize) -> usize) {
        self.batch += 1;
        self.place_all();
        let beside_live = beside_live(self.waiting);
        // Who was behind may have caught up, and the other way round.
        for name in std::mem::take(&mut self.behind).into_iter().chain(std::mem::take(&mut self.live)) {
            self.line_up(name);
        }
        if self.batch.is_multiple_of(FORGOTTEN_AFTER) {
            self.forget();
        }
        self.room_behind = if self.live_devices > 0 { beside_live } else { usize::MAX };
    }

    /// The next one for this batch, if there is one.
    pub(super) fn try_recv(&mut self) -> Option<T> {
        if self.given_back.is_some() {
            return self.given_back.take();
        }
        if self.live.is_empty() && (self.behind.is_empty() || self.room_behind == 0) {
            self.place_all();
        }
        if self.live_in_a_row < LIVE_IN_A_ROW_MAX || self.behind.is_empty() || self.room_behind == 0 {
            if let Some(name) = self.live.pop_front() {
                self.live_in_a_row += 1;
                return Some(self.take(name));
            }
            if self.room_behind == 0 {
                return None;
            }
        }
        let name = self.behind.pop_front()?;
        (self.room_behind, self.live_in_a_row) = (self.room_behind - 1, 0);
        Some(self.take(name))
    }

    /// Whether something waits that this batch does not take.
    pub(super) fn is_left_over(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.live.is_empty() && self.behind.is_empty() && self.given_back.is_none()
    }

    /// Takes back what was handed out last: it comes first then.
    pub(super) fn give_back(&mut self, job: T) {
        self.given_back = Some(job);
    }

    /// Takes nothing more; what waits is still given out, all of it.
    pub(super) fn close(&mut self) {
        self.jobs.close();
        self.room_behind = usize::MAX;
    }

    fn place_all(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            self.place(job);
        }
    }

    fn place(&mut self, job: T) {
        let name = job.device_id();
        let device = match self.devices.get_mut(name) {
            Some(device) => device,
            None => self.devices.entry(name.clone()).or_insert_with(|| Device::new(self.batch)),
        };
        let name = device.waiting.is_empty().then(|| name.clone());
        device.waiting.push_back(job);
        self.waiting += 1;
        if let Some(name) = name {
            self.line_up(name);
        }
    }

    fn line_up(&mut self, name: Arc<str>) {
        let device = self.devices.get_mut(&name).expect("who stands in line is known");
        let is_live = device.waiting.len() + device.pace(self.batch) < BEHIND;
        self.live_devices = self.live_devices + usize::from(is_live) - usize::from(device.is_live);
        device.is_live = is_live;
        if is_live { self.live.push_back(name) } else { self.behind.push_back(name) }
    }

    fn forget(&mut self) {
        let batch = self.batch;
        self.devices.retain(|_, device| !device.waiting.is_empty() || batch - device.at < FORGOTTEN_AFTER);
        self.live_devices = self.devices.values().filter(|device| device.is_live).count();
    }

    fn take(&mut self, name: Arc<str>) -> T {
        let device = self.devices.get_mut(&name).expect("who stands in line is known");
        let job = device.waiting.pop_front().expect("who stands in line has something waiting");
        self.waiting -= 1;
        device.pace = device.pace(self.batch) + 1;
        device.at = self.batch;
        if !device.waiting.is_empty() {
            self.line_up(name);
        } else if device.waiting.capacity() > WAITING_KEPT {
            // What a backlog took up is not kept for a device that has caught up.
            device.waiting = VecDeque::new();
        }
        job
    }
}

impl<T> Device<T> {
    fn new(batch: u64) -> Self {
        Device { waiting: VecDeque::new(), pace: 0, at: batch, is_live: false }
    }

    /// How much it has sent of late, seen from `batch`.
    fn pace(&self, batch: u64) -> usize {
        u32::try_from(batch - self.at).ok().and_then(|batches| self.pace.checked_shr(batches)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Told(Arc<str>, usize);

    const BESIDE_LIVE: usize = 32;

    impl OfDevice for Told {
        fn device_id(&self) -> &Arc<str> {
            &self.0
        }
    }

    fn turns() -> (UnboundedSender<Told>, Turns<Told>) {
        let (jobs, queue) = unbounded_channel();
        (jobs, Turns::new(queue))
    }

    fn send(jobs: &UnboundedSender<Told>, device: &str, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| jobs.send(Told(device.into(), number)).unwrap());
    }

    /// The next batch of up to `rows_max`, as the writer takes it.
    async fn batch(turns: &mut Turns<Told>, rows_max: usize) -> Vec<Told> {
        assert!(turns.wait().await);
        turns.begin(|_| BESIDE_LIVE);
        std::iter::from_fn(|| turns.try_recv()).take(rows_max).collect()
    }

    fn text(batch: &[Told]) -> String {
        batch.iter().map(|Told(device, number)| format!("{device}{number}")).collect::<Vec<_>>().join(" ")
    }

    fn count(batch: &[Told], device: &str) -> usize {
        batch.iter().filter(|told| *told.0 == *device).count()
    }

    #[tokio::test]
    async fn each_device_has_its_turn() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..6);
        send(&jobs, "b", 0..3);
        assert_eq!(text(&batch(&mut turns, 4).await), "a0 b0 a1 b1");
        send(&jobs, "c", 0..1);
        assert_eq!(text(&batch(&mut turns, 4).await), "a2 b2 c0 a3", "a live one waits for no backlog");
        assert_eq!(text(&batch(&mut turns, 4).await), "a4 a5");
    }

    #[tokio::test]
    async fn while_all_are_behind_a_batch_takes_what_there_is() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..500);
        send(&jobs, "b", 0..500);
        assert_eq!(batch(&mut turns, 4096).await.len(), 1000);
        assert!(!turns.is_left_over());
    }

    #[tokio::test]
    async fn beside_a_live_device_a_batch_takes_little_of_those_that_are_behind() {
        let (jobs, mut turns) = turns();
        send(&jobs, "behind", 0..10 * FORGOTTEN_AFTER as usize * BESIDE_LIVE);
        send(&jobs, "live", 0..2);
        let first = batch(&mut turns, 4096).await;
        assert_eq!((count(&first, "live"), count(&first, "behind")), (2, BESIDE_LIVE));
        assert_eq!(text(&first[..2]), "live0 live1", "what waits for the least goes first");
        assert!(turns.is_left_over());
        let second = batch(&mut turns, 4096).await;
        assert_eq!(text(&second[..1]), format!("behind{BESIDE_LIVE}"), "each in its order");
        assert_eq!(second.len(), BESIDE_LIVE, "it may send again at any moment");
        let mut batches = 2;
        while batch(&mut turns, 4096).await.len() == BESIDE_LIVE {
            batches += 1;
        }
        assert!(
            (FORGOTTEN_AFTER..=2 * FORGOTTEN_AFTER).contains(&batches),
            "once it is forgotten, more is taken: {batches}"
        );
        assert_eq!(turns.devices.len(), 1);
    }

    /// A thousand live devices may fill each batch by themselves.
    #[tokio::test]
    async fn live_devices_that_fill_every_batch_do_not_shut_out_those_that_are_behind() {
        let (jobs, mut turns) = turns();
        send(&jobs, "behind", 0..100);
        for device in 0..1000 {
            send(&jobs, &format!("live-{device}"), 0..1);
        }
        let first = batch(&mut turns, 170).await;
        assert_eq!((first.len(), count(&first, "behind")), (170, 170 / (LIVE_IN_A_ROW_MAX + 1)));
    }

    /// A fleet that has begun at once is behind as a whole, and none of it has to be spared.
    #[tokio::test]
    async fn who_has_fallen_behind_is_live_no_more() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..1);
        send(&jobs, "b", 0..1);
        assert_eq!(batch(&mut turns, 4096).await.len(), 2);
        send(&jobs, "a", 1..100);
        send(&jobs, "b", 1..100);
        assert_eq!(batch(&mut turns, 4096).await.len(), 198);
        send(&jobs, "a", 100..101);
        send(&jobs, "b", 100..200);
        assert_eq!(batch(&mut turns, 4096).await.len(), 101, "one that had much a moment ago has not caught up yet");
    }

    #[tokio::test]
    async fn who_has_caught_up_is_live_again() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..100);
        batch(&mut turns, 4096).await;
        for number in 100..110 {
            send(&jobs, "a", number..number + 1);
            batch(&mut turns, 4096).await;
        }
        send(&jobs, "b", 0..1000);
        assert_eq!(batch(&mut turns, 4096).await.len(), BESIDE_LIVE);
    }

    #[tokio::test]
    async fn what_is_given_back_comes_first() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..9);
        let first = batch(&mut turns, 1).await.pop().unwrap();
        turns.give_back(first);
        send(&jobs, "b", 0..1);
        assert_eq!(text(&batch(&mut turns, 4).await), "a0 b0 a1 a2");
    }

    #[tokio::test]
    async fn when_it_is_closed_all_that_waits_is_given_out() {
        let (jobs, mut turns) = turns();
        send(&jobs, "a", 0..100);
        send(&jobs, "live", 0..1);
        let first = batch(&mut turns, 1).await.pop().unwrap();
        turns.give_back(first);
        send(&jobs, "b", 0..2);
        turns.close();
        assert!(jobs.send(Told("c".into(), 0)).is_err());
        assert_eq!(std::iter::from_fn(|| turns.try_recv()).count(), 103);
        assert!(!turns.wait().await);
    }
}
