//! What a session has sent its client at QoS 1 and was not acknowledged yet.
//!
//! It belongs to the session and outlives the connection: on the next one the same messages go out again, in their order, with
//! DUP set [MQTT-4.4.0-1] [MQTT-4.6.0-1], and no faster than that client takes them.
//!
//! Each message has a number that grows, and its packet identifier is that number within the 65,535 there are: so a message is
//! found by its identifier however many are under way, and whether an identifier is free need not be searched.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::mailbox::{Account, Queued, Together};

/// Places that are kept while nothing is under way.
const IDLE_CAPACITY: usize = 16;
/// As many as there are packet identifiers.
const IDS: u64 = 65_535;

/// Messages that the client has not acknowledged, oldest first, so in the order of their numbers.
#[derive(Default)]
pub(super) struct Outbound {
    unacknowledged: VecDeque<Kept>,
    next_number: u64,
    /// How many of them were sent on this connection.
    under_way: usize,
    account: Account,
}

struct Kept {
    number: u64,
    queued: Queued,
    sent: Sent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// On this connection.
    Now,
    /// On an earlier one.
    Before,
}

impl Outbound {
    /// Keeps a message that is sent now until its PUBACK, under an identifier that no other one has [MQTT-2.2.1-3].
    pub(super) fn keep(&mut self, queued: Queued) -> NonZeroU16 {
        let number = self.free_number();
        self.next_number = number + 1;
        self.account.add(queued.message.bytes());
        self.under_way += 1;
        self.unacknowledged.push_back(Kept { number, queued, sent: Sent::Now });
        id_of(number)
    }

    /// The client has it; false: it was not under way.
    pub(super) fn acknowledge(&mut self, id: NonZeroU16) -> bool {
        let Some(kept) = self.place_of(id).and_then(|place| self.unacknowledged.remove(place)) else { return false };
        self.under_way -= usize::from(kept.sent == Sent::Now);
        self.account.sub(kept.queued.message.bytes());
        if self.unacknowledged.is_empty() {
            self.unacknowledged.shrink_to(IDLE_CAPACITY);
        }
        true
    }

    /// True: a message with this identifier was not acknowledged yet.
    pub(super) fn has(&self, id: NonZeroU16) -> bool {
        self.place_of(id).is_some()
    }

    /// The client is on a new connection: all that is kept has to go out again.
    pub(super) fn reconnect(&mut self) {
        self.unacknowledged.iter_mut().for_each(|kept| kept.sent = Sent::Before);
        self.under_way = 0;
    }

    /// The next message that has to go out again; it counts as sent now.
    pub(super) fn poll_again(&mut self) -> Option<(NonZeroU16, &Queued)> {
        if self.under_way == self.unacknowledged.len() {
            return None;
        }
        let kept = self.unacknowledged.iter_mut().find(|kept| kept.sent == Sent::Before)?;
        kept.sent = Sent::Now;
        self.under_way += 1;
        Some((id_of(kept.number), &kept.queued))
    }

    /// Forgets what `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&Queued) -> bool) {
        self.unacknowledged.retain(|kept| keep(&kept.queued));
        self.under_way = self.unacknowledged.iter().filter(|kept| kept.sent == Sent::Now).count();
        let bytes: usize = self.unacknowledged.iter().map(|kept| kept.queued.message.bytes()).sum();
        self.account.sub(self.account.bytes() - bytes);
    }

    /// What is kept counts to this sum from now on.
    pub(super) fn charge_to(&mut self, together: &Together) {
        self.account.move_to(together);
    }

    /// How many messages more may be under way on this connection, where `messages_max` and `bytes_max` are the most. One may always.
    pub(super) fn room(&self, messages_max: usize, bytes_max: usize) -> usize {
        if self.under_way > 0 && self.account.bytes() >= bytes_max {
            return 0;
        }
        messages_max.saturating_sub(self.under_way)
    }

    /// Messages under way on this connection.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Identifiers wrap, and there are fewer messages under way than identifiers: the session's window sees to that.
    fn free_number(&self) -> u64 {
        let oldest = self.unacknowledged.front().map_or(self.next_number, |kept| kept.number);
        let mut number = self.next_number;
        // Only a message that all other identifiers have overtaken can have this one.
        while number - oldest >= IDS && self.place_of(id_of(number)).is_some() {
            number += 1;
        }
        number
    }

    fn place_of(&self, id: NonZeroU16) -> Option<usize> {
        let (oldest, newest) = (self.unacknowledged.front()?.number, self.unacknowledged.back()?.number);
        if id_of(oldest) == id {
            return Some(0); // As a rule: [MQTT-4.6.0-2].
        }
        // The first number from the oldest on that has this identifier; after it, each round of identifiers has one.
        let first = oldest + (u64::from(id.get()) - 1 + IDS - oldest % IDS) % IDS;
        let mut numbers = (first..=newest).step_by(IDS as usize);
        numbers.find_map(|number| self.unacknowledged.binary_search_by_key(&number, |kept| kept.number).ok())
    }
}

fn id_of(number: u64) -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add((number % IDS) as u16)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::broker::Message;
    use crate::mqtt::QoS;
    use crate::mqtt::topic::Topic;

    fn queued() -> Queued {
        let message = Message::plain(Topic::new("a").unwrap(), Bytes::new(), QoS::AtLeastOnce);
        Queued { message: Arc::new(message), qos: QoS::AtLeastOnce, retain: false }
    }

    #[test]
    fn an_identifier_under_way_is_not_given_out_again() {
        let mut outbound = Outbound::default();
        let first = outbound.keep(queued());
        for _ in 0..u16::MAX - 1 {
            let id = outbound.keep(queued());
            assert_ne!(id, first, "[MQTT-2.2.1-3]");
            assert!(outbound.acknowledge(id));
        }
        assert_ne!(outbound.keep(queued()), first);
        assert!(outbound.acknowledge(first) && !outbound.acknowledge(first));
    }

    #[test]
    fn acknowledgements_in_any_order_find_their_messages() {
        let mut outbound = Outbound::default();
        let stuck = outbound.keep(queued());
        let mut under_way = VecDeque::new();
        for round in 0..200_000 {
            let id = outbound.keep(queued());
            assert!(id != stuck && !under_way.contains(&id), "[MQTT-2.2.1-3]");
            under_way.push_back(id);
            if under_way.len() > 5 {
                let place = round % under_way.len();
                let id = under_way.remove(place).unwrap();
                assert!(outbound.acknowledge(id) && !outbound.acknowledge(id));
            }
            assert_eq!(outbound.under_way(), 1 + under_way.len());
        }
    }

    #[test]
    fn what_is_kept_counts_to_the_sum_and_has_a_bound_in_bytes() {
        let (together, one) = (Together::new(usize::MAX), queued().message.bytes());
        let mut outbound = Outbound::default();
        let first = outbound.keep(queued());
        outbound.charge_to(&together);
        outbound.keep(queued());
        assert_eq!((together.bytes(), outbound.room(9, 2 * one), outbound.room(9, 2 * one + 1)), (2 * one, 0, 7));
        assert!(outbound.acknowledge(first));
        assert_eq!((together.bytes(), outbound.room(9, 2 * one)), (one, 8));
        outbound.reconnect();
        assert_eq!(outbound.room(9, one), 9, "what is to go out again has to");
        drop(outbound);
        assert_eq!(together.bytes(), 0);
    }

    #[test]
    fn after_a_reconnect_all_goes_out_again_once_and_in_order() {
        let mut outbound = Outbound::default();
        let kept = [outbound.keep(queued()), outbound.keep(queued())];
        assert!(outbound.poll_again().is_none());
        outbound.reconnect();
        assert_eq!(outbound.under_way(), 0);
        let again: Vec<NonZeroU16> = std::iter::from_fn(|| outbound.poll_again().map(|(id, _)| id)).collect();
        assert_eq!(again, kept, "[MQTT-4.6.0-1]");
        assert_eq!(outbound.under_way(), 2);
    }
}
