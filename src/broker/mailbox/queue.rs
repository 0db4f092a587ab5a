//! The queue of a mailbox and who stands in line for it, without lock, clock or wake-up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::line::{Line, Slip};
use super::patience::{Patience, WholeQueue};
use super::{Bounds, Put, PutOrWait, Queued, cost};
use crate::broker::retained::Change;
use crate::mqtt::QoS;

/// After so much no more is taken at a time: it is all encoded before the reader is asked whether it takes more.
const TAKEN_BYTES_MAX: usize = 64 * 1024;
/// Places that an empty queue keeps: a burst should not cost its memory for as long as the session is there.
const IDLE_CAPACITY: usize = 16;

/// What waits, oldest first.
pub(super) struct Queue {
    bounds: Bounds,
    waiting: VecDeque<Queued>,
    bytes: usize,
    connected: bool,
    line: Line,
    patience: Patience,
    /// The first change of what is retained that found no room.
    missed: Option<Change>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Queue {
            bounds,
            waiting: VecDeque::new(),
            bytes: 0,
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
            self.connected && queued.qos != QoS::AtMostOnce && cost(&queued.message) <= self.bounds.bytes_max;
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
            bytes += cost(&queued.message);
            into.push_back(queued);
        }
        self.bytes -= bytes;
        self.bounds.together.sub(bytes);
        self.patience.taken(messages, bytes);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(IDLE_CAPACITY);
        }
    }

    /// Lets in who stands in line, as far as there is room, once the queue is half empty: so each of them can go on with more
    /// than one message. Whose slips come back are to be told.
    pub(super) fn serve(&mut self, now: Instant) -> Vec<Arc<Slip>> {
        let mut served = Vec::new();
        let is_half_empty =
            self.waiting.len() <= self.bounds.messages_max / 2 && self.bytes <= self.bounds.bytes_max / 2;
        if self.line.is_empty() || !is_half_empty {
            return served;
        }
        while let Some(first) = self.line.first()
            && self.reserve(cost(&first.message)).is_ok()
        {
            let Some((queued, slip)) = self.line.let_in() else { break };
            self.bytes += cost(&queued.message);
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
        let bytes = self.waiting.iter().map(|queued| cost(&queued.message)).sum();
        self.bounds.together.sub(self.bytes - bytes);
        self.bytes = bytes;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// A queued message, or the message back with the bound that it met.
    fn push(&mut self, queued: Queued) -> Result<(), (Queued, Put)> {
        let bytes = cost(&queued.message);
        if let Err(full) = self.reserve(bytes) {
            return Err((queued, full));
        }
        self.bytes += bytes;
        self.waiting.push_back(queued);
        Ok(())
    }

    /// Room among all queues for one message more. A connected session with an empty queue always has it: so what others have
    /// left lying does not shut out a reader that keeps up, and a queue that is full has something to take.
    fn reserve(&self, bytes: usize) -> Result<(), Put> {
        if self.waiting.len() >= self.bounds.messages_max || self.bytes + bytes > self.bounds.bytes_max {
            return Err(Put::Full);
        }
        if self.connected && self.waiting.is_empty() {
            self.bounds.together.add(bytes);
            return Ok(());
        }
        if self.bounds.together.try_add(bytes) { Ok(()) } else { Err(Put::AllFull) }
    }

    fn whole(&self) -> WholeQueue {
        WholeQueue { messages: self.bounds.messages_max, bytes: self.bounds.bytes_max }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.bounds.together.sub(self.bytes);
        // Nobody is left who would let them in.
        self.line.dismiss().iter().for_each(|slip| slip.ring());
    }
}
