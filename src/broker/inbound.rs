//! What a session owes its client: an answer to each PUBLISH, in the order in which they came [MQTT-4.6.0-2] [MQTT-4.6.0-3].
//!
//! Receipts settle in any order; an answer leaves when all before it have left. A message at QoS 0 is owed no packet, but it
//! has a place here too, so that what is under way can be counted.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use crate::mqtt::{QoS, ReasonCode};

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The reason code of PUBACK or PUBREC.
    pub(super) code: ReasonCode,
    /// The word for it, if there is one.
    pub(super) reason: Option<&'static str>,
    /// More about it, for MQTT 5 alone.
    pub(super) detail: Option<Box<str>>,
}

impl Answer {
    /// Nothing to complain of.
    pub(super) const SUCCESS: Answer = Answer { code: ReasonCode::Success, reason: None, detail: None };

    /// An answer with a word.
    pub(super) fn refused(code: ReasonCode, reason: &'static str) -> Self {
        Answer { code, reason: Some(reason), detail: None }
    }
}

/// How a PUBLISH is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// Not at all: QoS 0.
    None,
    /// By a PUBACK.
    PubAck(NonZeroU16),
    /// By a PUBREC.
    PubRec(NonZeroU16),
}

impl Owed {
    /// The answer that a PUBLISH of this QoS and packet identifier asks for.
    pub(super) fn new(qos: QoS, packet_id: Option<NonZeroU16>) -> Self {
        match (qos, packet_id) {
            (QoS::AtLeastOnce, Some(id)) => Owed::PubAck(id),
            (QoS::ExactlyOnce, Some(id)) => Owed::PubRec(id),
            _ => Owed::None,
        }
    }
}

/// The answers owed, oldest first. A ticket names a place and is never used twice.
#[derive(Default)]
pub(super) struct Inbound {
    owed: VecDeque<(Owed, Option<Answer>)>,
    first_ticket: u64,
    unacknowledged: usize,
}

impl Inbound {
    /// Takes a place for a message.
    pub(super) fn owe(&mut self, ack: Owed) -> u64 {
        self.owed.push_back((ack, None));
        self.unacknowledged += usize::from(ack != Owed::None);
        self.first_ticket + self.owed.len() as u64 - 1
    }

    /// The answer for a ticket is known. One that is answered already, or was never given out, is ignored.
    pub(super) fn answer(&mut self, ticket: u64, answer: Answer) {
        let Some(place) = ticket.checked_sub(self.first_ticket) else { return };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some((_, open @ None)) = self.owed.get_mut(place) {
            *open = Some(answer);
        }
    }

    /// The next answer that may leave.
    pub(super) fn poll_answer(&mut self) -> Option<(Owed, Answer)> {
        self.owed.front()?.1.as_ref()?;
        let (ack, answer) = self.owed.pop_front()?;
        self.first_ticket += 1;
        self.unacknowledged -= usize::from(ack != Owed::None);
        Some((ack, answer?))
    }

    /// None is under way: no memory is needed for any.
    pub(super) fn rest(&mut self) {
        self.owed.shrink_to_fit();
    }

    /// Messages under way, at any QoS.
    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    /// True: none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Messages under way that get a PUBACK or PUBREC.
    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// True: a PUBLISH of QoS 2 with this identifier is under way.
    pub(super) fn owes_pubrec(&self, id: NonZeroU16) -> bool {
        self.owed.iter().any(|(ack, _)| *ack == Owed::PubRec(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> NonZeroU16 {
        NonZeroU16::new(value).unwrap()
    }

    #[test]
    fn answers_leave_in_the_order_of_the_messages() {
        let mut inbound = Inbound::default();
        let first = inbound.owe(Owed::PubAck(id(7)));
        let second = inbound.owe(Owed::PubRec(id(8)));
        inbound.answer(second, Answer::SUCCESS);
        assert_eq!(inbound.poll_answer(), None, "[MQTT-4.6.0-2]");
        inbound.answer(first, Answer::refused(ReasonCode::NotAuthorized, "unknown_key"));
        assert_eq!(inbound.poll_answer().unwrap().0, Owed::PubAck(id(7)));
        assert_eq!(inbound.poll_answer().unwrap().0, Owed::PubRec(id(8)));
        assert!(inbound.is_empty());
    }

    #[test]
    fn a_ticket_is_answered_once_and_a_foreign_one_not_at_all() {
        let mut inbound = Inbound::default();
        let ticket = inbound.owe(Owed::PubAck(id(1)));
        inbound.answer(ticket + 1, Answer::SUCCESS);
        inbound.answer(ticket, Answer::SUCCESS);
        inbound.answer(ticket, Answer::refused(ReasonCode::NotAuthorized, "late"));
        assert_eq!(inbound.poll_answer(), Some((Owed::PubAck(id(1)), Answer::SUCCESS)));
        inbound.answer(ticket, Answer::SUCCESS);
        assert_eq!(inbound.poll_answer(), None);
    }

    #[test]
    fn what_has_qos_0_is_under_way_but_not_unacknowledged() {
        let mut inbound = Inbound::default();
        inbound.owe(Owed::None);
        inbound.owe(Owed::PubRec(id(3)));
        assert_eq!((inbound.len(), inbound.unacknowledged()), (2, 1));
        assert!(inbound.owes_pubrec(id(3)) && !inbound.owes_pubrec(id(4)));
    }
}
