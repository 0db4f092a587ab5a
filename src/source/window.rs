//! What came over one connection and is not acknowledged yet.
//!
//! Receipts settle in any order; the acknowledgements leave in that in which the messages came [MQTT-4.6.0-2]. A packet identifier is
//! worth something on its connection alone, so this lives as long as that does: what settles later is not acknowledged, and the broker
//! delivers it again.

use std::collections::{HashSet, VecDeque};

/// The messages of one connection.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The ticket of the first of `owed`.
    first: u64,
    owed: VecDeque<Owed>,
    /// The identifiers that are not acknowledged.
    open: HashSet<u16>,
}

#[derive(Debug)]
struct Owed {
    /// None at QoS 0.
    packet_id: Option<u16>,
    is_settled: bool,
}

impl Window {
    /// A message has come; gives its ticket. None: it is one that came before and is not acknowledged yet, as some brokers deliver again
    /// without a new connection.
    pub(super) fn receive(&mut self, packet_id: Option<u16>) -> Option<u64> {
        if packet_id.is_some_and(|packet_id| !self.open.insert(packet_id)) {
            return None;
        }
        self.owed.push_back(Owed { packet_id, is_settled: false });
        Some(self.first + self.owed.len() as u64 - 1)
    }

    /// What became of a message is known. A ticket of an earlier connection is not ours.
    pub(super) fn settle(&mut self, ticket: u64) {
        let place = ticket.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(owed) = place.and_then(|place| self.owed.get_mut(place)) {
            owed.is_settled = true;
        }
    }

    /// The next packet identifier that may be acknowledged now.
    pub(super) fn next_acknowledged(&mut self) -> Option<u16> {
        while self.owed.front().is_some_and(|owed| owed.is_settled) {
            self.first += 1;
            let owed = self.owed.pop_front()?;
            if let Some(packet_id) = owed.packet_id {
                self.open.remove(&packet_id);
                return Some(packet_id);
            }
        }
        None
    }

    /// Whether everything that came is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn acknowledged(window: &mut Window) -> Vec<u16> {
        std::iter::from_fn(|| window.next_acknowledged()).collect()
    }

    #[test]
    fn what_has_no_identifier_is_waited_for_and_not_acknowledged() {
        let mut window = Window::default();
        let tickets = [window.receive(None), window.receive(Some(7))].map(Option::unwrap);
        window.settle(tickets[1]);
        assert!(acknowledged(&mut window).is_empty());
        window.settle(tickets[0]);
        assert_eq!(acknowledged(&mut window), [7]);
        assert!(window.is_empty());
    }

    #[test]
    fn a_ticket_that_is_not_open_changes_nothing() {
        let mut window = Window::default();
        window.settle(0);
        let ticket = window.receive(Some(1)).unwrap();
        window.settle(ticket + 1);
        assert!(acknowledged(&mut window).is_empty());
        window.settle(ticket);
        assert_eq!(acknowledged(&mut window), [1]);
        window.settle(ticket);
        assert!(window.is_empty());
    }

    #[test]
    fn what_is_delivered_again_before_it_is_acknowledged_is_the_same_message() {
        let mut window = Window::default();
        let ticket = window.receive(Some(1)).unwrap();
        assert_eq!(window.receive(Some(1)), None);
        window.settle(ticket);
        assert_eq!(acknowledged(&mut window), [1]);
        assert!(window.is_empty() && window.receive(Some(1)).is_some(), "acknowledged, the identifier is free again");
    }

    proptest! {
        // [MQTT-4.6.0-2]
        #[test]
        fn whatever_settles_first_acknowledgements_leave_in_the_order_of_the_messages(
            order in Just((0..50_u64).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut window = Window::default();
            for id in 0..50 {
                prop_assert_eq!(window.receive(Some(id + 1)), Some(u64::from(id)));
            }
            let mut left = Vec::new();
            for (settled, ticket) in order.iter().enumerate() {
                window.settle(*ticket);
                left.extend(acknowledged(&mut window));
                prop_assert!(left.len() <= settled + 1);
            }
            prop_assert_eq!(left, (1..=50).collect::<Vec<_>>());
            prop_assert!(window.is_empty());
        }
    }
}
