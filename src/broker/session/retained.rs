//! Retained messages as one session sees them: which of them a SUBSCRIBE brings, and which PUBLISH bears the flag.

use super::{Session, SessionState};
use crate::broker::Message;
use crate::broker::backlog::Backlog;
use crate::broker::retained::Change;
use crate::mqtt::topic::Filter;
use crate::mqtt::{QoS, RetainHandling};

/// What the session was granted for a filter.
pub(super) struct Granted {
    pub(super) qos: QoS,
    /// Whether the publisher's RETAIN is handed on; 3.1.1 does not know that, and its bit is 0.
    pub(super) retain_as_published: bool,
}

/// Whether the session had subscribed to a filter before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
}

impl Session {
    /// The retained messages that are due.
    pub(in crate::broker) fn backlog(&mut self) -> &mut Backlog {
        &mut self.state.backlog
    }

    /// Messages that are retained were missed: those that were published since a change are due. To be asked for while nothing else
    /// is.
    pub(in crate::broker) fn catch_up(&mut self, since: Change) {
        let SessionState { subscriptions, backlog, .. } = &mut self.state;
        subscriptions.iter().for_each(|(filter, granted)| backlog.catch_up(filter, granted.qos, since));
    }

    /// True: retained messages are due.
    pub fn has_backlog(&self) -> bool {
        !self.state.backlog.is_empty()
    }
}

impl SessionState {
    /// A filter is subscribed to, again or for the first time.
    pub(super) fn owe_retained(&mut self, filter: &Filter, qos: QoS, handling: RetainHandling, known: Known) {
        match (handling, known) {
            // [MQTT-3.3.1-9] and 3.1.1 [MQTT-3.8.4-3]: at each SUBSCRIBE.
            (RetainHandling::Send, _) | (RetainHandling::SendIfNew, Known::No) => self.backlog.begin(filter, qos),
            // [MQTT-3.3.1-10] [MQTT-3.3.1-11]
            (RetainHandling::SendIfNew, Known::Yes) | (RetainHandling::DoNotSend, _) => {}
        }
    }

    /// Whether a message that comes by a subscription bears its publisher's RETAIN [MQTT-3.3.1-12] [MQTT-3.3.1-13].
    pub(super) fn passes_retain_on(&self, message: &Message) -> bool {
        let passing =
            |(filter, granted): (&Filter, &Granted)| granted.retain_as_published && filter.matches(&message.topic);
        message.retain && self.subscriptions.iter().any(passing)
    }
}
