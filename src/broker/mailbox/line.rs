//! Messages whose publishers wait until a full mailbox has room, in the order in which they came.
//!
//! A message that is let in stands in the queue before its publisher is woken, so each wake-up is worth its cost, nobody is
//! overtaken, and whoever takes out of the queue need not know who waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use super::{Put, Queued};

/// Those who wait.
#[derive(Default)]
pub(super) struct Line(VecDeque<(Queued, Arc<Slip>)>);

/// What a publisher holds for a message of its that stands in line.
#[derive(Default)]
pub(in crate::broker) struct Slip {
    outcome: AtomicU8,
    bell: Notify,
}

const OPEN: u8 = 0;
const LET_IN: u8 = 1;
const DROPPED: u8 = 2;

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn join(&mut self, queued: Queued) -> Arc<Slip> {
        let slip = Arc::<Slip>::default();
        self.0.push_back((queued, slip.clone()));
        slip
    }

    pub(super) fn first(&self) -> Option<&Queued> {
        self.0.front().map(|(queued, _)| queued)
    }

    /// Lets the first one in. Its slip is to be rung.
    pub(super) fn let_in(&mut self) -> Option<(Queued, Arc<Slip>)> {
        let (queued, slip) = self.0.pop_front()?;
        slip.outcome.store(LET_IN, Ordering::Release);
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
        Some((queued, slip))
    }

    /// Sends everybody away. Their slips are to be rung.
    pub(super) fn dismiss(&mut self) -> Vec<Arc<Slip>> {
        let slips: Vec<Arc<Slip>> = std::mem::take(&mut self.0).into_iter().map(|(_, slip)| slip).collect();
        slips.iter().for_each(|slip| slip.outcome.store(DROPPED, Ordering::Release));
        slips
    }
}

impl Slip {
    /// What has become of the message; none: it stands in line.
    pub(in crate::broker) fn outcome(&self) -> Option<Put> {
        match self.outcome.load(Ordering::Acquire) {
            OPEN => None,
            LET_IN => Some(Put::Queued),
            _ => Some(Put::Full),
        }
    }

    /// Resolves when there may be an outcome.
    pub(in crate::broker) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }
}
