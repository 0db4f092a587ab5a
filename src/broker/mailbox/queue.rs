//! The queue of a mailbox and who stands in line for it, without lock, clock or wake-up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::line::{Line, Slip};
use super::patience::{Patience, WholeQueue};
use super::{Account, Bounds, Put, PutOrWait, Queued};
use crate::broker::retained::Change;
use crate::mqtt::QoS;

/// After so much no more is taken at a time: it is all encoded before the reader is asked whether it takes more.
const TAKEN_BYTES_MAX: usize = 64 * 1024;
/// Nearly empty is an eighth of the bounds. At a half, 50 publishers to one subscriber cost a quarter more processor time a message.
const LOW: usize = 8;
/// Places that an empty queue keeps: a burst should not cost its memory for as long as the session is there.
const IDLE_CAPACITY: usize = 16;

/// What waits, oldest first.
pub(super) struct Queue {
    bounds: Bounds,
    waiting: VecDeque<Queued>,
    account: Account,
    connected: bool,
    line: Line,
    patience: Patience,
    /// The first change of what is retained that found no room.
    missed: Option<Change>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Queue {
            account: Account::new(bounds.together.clone()),
            bounds,
            waiting: VecDeque::new(),
            connected: false,
            line: Line::default(),
            patience: Patience::default(),
            missed: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Nobody overtakes those who stand in line.
    pub(super) fn put(&mut self, queued: Queued) -> Put {
        if !self.connected && queued.qos == QoS::AtMostOnce {
            return Put::Away;
        }
        if !self.line.is_empty() {
            return Put::Full;
        }
        self.push(queued).map_or_else(|(_, full)| full, |()| Put::Queued)
    }

    pub(super) fn put_or_wait(&mut self, queued: Queued, now: Instant) -> PutOrWait {
        let can_wait =
            self.connected && queued.qos != QoS::AtMostOnce && queued.message.bytes() <= self.bounds.bytes_max;
        if !can_wait {
            return PutOrWait::Put(self.put(queued));
        }
        let (queued, full) = match self.line.is_empty() {
            true => match self.push(queued) {
                Ok(()) => return PutOrWait::Put(Put::Queued),
                Err(returned) => returned,
            },
            false => (queued, Put::Full),
        };
        match self.patience.wait(self.whole(), now) {
            Some(until) => PutOrWait::Waits(self.line.join(queued), until),
            // Those before this one have the same patience, and lose it by their own clocks.
            None => PutOrWait::Put(full),
        }
    }

    pub(super) fn take(&mut self, count: usize, into: &mut VecDeque<Queued>) {
        let (mut messages, mut bytes) = (0, 0);
        while messages < count
            && bytes < TAKEN_BYTES_MAX
            && let Some(queued) = self.waiting.pop_front()
        {
            messages += 1;
            bytes += queued.message.bytes();
            into.push_back(queued);
        }
        self.account.sub(bytes);
        self.patience.taken(messages, bytes);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(IDLE_CAPACITY);
        }
    }

    /// Lets in who stands in line, as far as there is room, once the queue is nearly empty: so each of them can go on with many
    /// messages, and is woken, and acknowledges, once for all of them. Whose slips come back are to be told.
    pub(super) fn serve(&mut self, now: Instant) -> Vec<Arc<Slip>> {
        let mut served = Vec::new();
        let Bounds { messages_max, bytes_max, .. } = self.bounds;
        let is_low = self.waiting.len() <= messages_max / LOW && self.account.bytes() <= bytes_max / LOW;
        if self.line.is_empty() || !is_low {
            return served;
        }
        while let Some(first) = self.line.first()
            && self.reserve(first.message.bytes()).is_ok()
        {
            let Some((queued, slip)) = self.line.let_in() else { break };
            self.waiting.push_back(queued);
            served.push(slip);
        }
        if self.line.is_empty() {
            self.patience.rest(now);
        }
        served
    }

    /// Until when the slip may wait further; none: it is decided, for all who stand in line if the reader has taken too little.
    pub(super) fn lose_patience(
        &mut self,
        slip: &Arc<Slip>,
        now: Instant,
        dismissed: &mut Vec<Arc<Slip>>,
    ) -> Option<Instant> {
        if slip.outcome().is_some() {
            return None;
        }
        let until = self.patience.wait(self.whole(), now);
        if until.is_none() {
            *dismissed = self.line.dismiss();
        }
        until
    }

    pub(super) fn miss(&mut self, change: Change) {
        self.missed = Some(self.missed.map_or(change, |first| first.min(change)));
    }

    pub(super) fn take_missed(&mut self) -> Option<Change> {
        self.missed.take()
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
    }

    pub(super) fn disconnect(&mut self) -> Vec<Arc<Slip>> {
        self.connected = false;
        self.patience.end();
        self.retain(|queued| queued.qos != QoS::AtMostOnce);
        self.line.dismiss()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Queued) -> bool) {
        self.waiting.retain(keep);
        let bytes: usize = self.waiting.iter().map(|queued| queued.message.bytes()).sum();
        self.account.sub(self.account.bytes() - bytes);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// A queued message, or the message back with the bound that it met.
    fn push(&mut self, queued: Queued) -> Result<(), (Queued, Put)> {
        if let Err(full) = self.reserve(queued.message.bytes()) {
            return Err((queued, full));
        }
        self.waiting.push_back(queued);
        Ok(())
    }

    /// Room among all queues for one message more. A connected session with an empty queue always has it: so what others have
    /// left lying does not shut out a reader that keeps up, and a queue that is full has something to take.
    fn reserve(&mut self, bytes: usize) -> Result<(), Put> {
        let Bounds { messages_max, bytes_max, .. } = self.bounds;
        if self.waiting.len() >= messages_max || self.account.bytes() + bytes > bytes_max {
            return Err(Put::Full);
        }
        if self.connected && self.waiting.is_empty() {
            self.account.add(bytes);
            return Ok(());
        }
        if self.account.try_add(bytes) { Ok(()) } else { Err(Put::AllFull) }
    }

    fn whole(&self) -> WholeQueue {
        WholeQueue { messages: self.bounds.messages_max, bytes: self.bounds.bytes_max }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Nobody is left who would let them in.
        self.line.dismiss().iter().for_each(|slip| slip.ring());
    }
}
