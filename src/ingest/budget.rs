//! How much may be in flight in all: a bound in bytes that all connections share.
//!
//! Each connection has a [`Share`] and takes a [`Permit`] for each message before it goes into the pipeline; the bytes come back
//! when the permit is dropped. Where there is enough, a connection takes what it needs. Where others wait, none that holds
//! something takes more than its part, so that one that floods cannot shut out the rest. What a connection does while it waits
//! (stop to read its socket, and stop its keep-alive clock) is not decided here; who is served next is [`Pool`]'s affair.

mod pool;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use pool::{MemberId, Pool};

/// What a message costs beside its own bytes: its place in queues and batches, its decoded readings. An estimate, so that many
/// empty messages are not free.
const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// The common bound. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Budget(Arc<Mutex<Pool<Arc<Notify>>>>);

impl Budget {
    /// At most `bytes_max` in flight, each message's overhead included. A message that costs more than all of it is charged all
    /// of it, and so goes alone.
    pub fn new(bytes_max: usize) -> Self {
        Budget(Arc::new(Mutex::new(Pool::new(bytes_max))))
    }

    /// One connection's share.
    pub fn share(&self) -> Share {
        let bell = Arc::new(Notify::new());
        let id = self.locked().join(bell.clone());
        Share { budget: self.clone(), id, bell }
    }

    /// What is in flight now.
    pub fn used_bytes(&self) -> usize {
        self.locked().used()
    }

    /// Changes the pool, then wakes those whom the change has served.
    fn change<R>(&self, change: impl FnOnce(&mut Pool<Arc<Notify>>) -> R) -> R {
        let mut pool = self.locked();
        let result = change(&mut pool);
        let served = pool.take_served();
        drop(pool);
        served.iter().for_each(|bell| bell.notify_one());
        result
    }

    /// Nothing panics while it holds the lock.
    fn locked(&self) -> MutexGuard<'_, Pool<Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's part of the budget. It asks for one message at a time; one that was refused keeps its place in the queue
/// until it is served or the share is dropped.
pub struct Share {
    budget: Budget,
    id: MemberId,
    bell: Arc<Notify>,
}

impl Share {
    /// A permit for a message of `bytes`, or none if it has to wait.
    pub fn try_take(&self, bytes: usize) -> Option<Permit> {
        let cost = bytes.saturating_add(MESSAGE_OVERHEAD_BYTES);
        let charged = self.budget.change(|pool| pool.take(self.id, cost))?;
        Some(Permit { budget: self.budget.clone(), id: self.id, charged })
    }

    /// A permit for a message of `bytes`, when there is room. Dropping the future loses neither bytes nor the place in the queue.
    pub async fn wait_for(&self, bytes: usize) -> Permit {
        loop {
            if let Some(permit) = self.try_take(bytes) {
                return permit;
            }
            self.bell.notified().await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.change(|pool| pool.leave(self.id));
    }
}

/// The right to have one message in flight. Dropping it gives the bytes back.
#[must_use = "a permit that is dropped gives its bytes back"]
pub struct Permit {
    budget: Budget,
    id: MemberId,
    charged: usize,
}

impl Permit {
    /// Charges `bytes` more for a message that turned out to need them. They are there already, so this is not refused and may go
    /// over the bound, by one message a connection at most; whoever asks next waits for it.
    pub fn grow(&mut self, bytes: usize) {
        self.budget.change(|pool| pool.grow(self.id, bytes));
        self.charged += bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.change(|pool| pool.release(self.id, self.charged));
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MESSAGE: usize = 1_000 - MESSAGE_OVERHEAD_BYTES;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_permit_gives_its_bytes_back() {
        let budget = Budget::new(10_000);
        let share = budget.share();
        let permit = share.try_take(MESSAGE);
        assert_eq!(budget.used_bytes(), 1_000);
        drop(share);
        assert_eq!(budget.used_bytes(), 1_000, "a message outlives its connection");
        drop(permit);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn what_a_message_turns_out_to_need_is_charged_and_comes_back() {
        let budget = Budget::new(2_000);
        let (grown, other) = (budget.share(), budget.share());
        let mut permit = grown.try_take(MESSAGE).unwrap();
        permit.grow(5_000);
        assert_eq!(budget.used_bytes(), 6_000);
        assert!(other.try_take(MESSAGE).is_none(), "whoever asks next waits");
        drop(permit);
        assert!(other.try_take(MESSAGE).is_some());
    }

    #[test]
    fn a_message_greater_than_the_budget_goes_alone() {
        let budget = Budget::new(1_500);
        let (small, great) = (budget.share(), budget.share());
        let permit = small.try_take(MESSAGE);
        assert!(great.try_take(1 << 30).is_none());
        drop(permit);
        let permit = great.try_take(1 << 30);
        assert_eq!((permit.is_some(), budget.used_bytes()), (true, 1_500));
    }

    #[test]
    fn a_wait_that_is_dropped_keeps_its_place_and_loses_no_bytes() {
        let budget = Budget::new(1_000);
        let (first, second, third) = (budget.share(), budget.share(), budget.share());
        let permit = first.try_take(MESSAGE);
        assert!(poll(second.wait_for(MESSAGE)).is_pending());
        assert!(poll(third.wait_for(MESSAGE)).is_pending());
        drop(permit);
        assert!(third.try_take(MESSAGE).is_none(), "the second asked before");
        let Poll::Ready(permit) = poll(second.wait_for(MESSAGE)) else { panic!("it is the second's turn") };
        drop(permit);
        assert!(poll(third.wait_for(MESSAGE)).is_ready());
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_share_that_goes_while_it_is_served_gives_the_bytes_to_the_next() {
        let budget = Budget::new(1_000);
        let (first, second, third) = (budget.share(), budget.share(), budget.share());
        let permit = first.try_take(MESSAGE);
        assert!(second.try_take(MESSAGE).is_none());
        assert!(third.try_take(MESSAGE).is_none());
        drop(permit);
        drop(second);
        assert!(third.try_take(MESSAGE).is_some());
    }

    #[tokio::test]
    async fn one_that_waits_is_woken_when_bytes_come_back() {
        let budget = Budget::new(1_000);
        let (first, second) = (budget.share(), budget.share());
        let permit = first.try_take(MESSAGE);
        let waiting = tokio::spawn(async move { drop(second.wait_for(MESSAGE).await) });
        tokio::task::yield_now().await;
        drop(permit);
        waiting.await.unwrap();
        assert_eq!(budget.used_bytes(), 0);
    }
}
