//! The hub's retained messages: published, kept, and handed out to who subscribes.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::time::Instant;

use super::{Attachment, Hub};
use crate::broker::mailbox::{Mailbox, Queued};
use crate::broker::retained::Retained;
use crate::broker::{Message, Session};

impl Hub {
    /// Publishes a message and keeps it for those who subscribe later. Kept first: whoever subscribes in between gets it twice
    /// rather than not at all, and the last that anybody gets is the last there was.
    pub(in crate::broker) fn retain(&self, message: &Arc<Message>) {
        self.0.retained.write().unwrap_or_else(PoisonError::into_inner).insert(message.clone());
        self.publish(message, None);
    }
}

impl Hub {
    /// Whether a message that found no room is retained, so that the session can have it, or a later one of its topic, when there is.
    pub(super) fn is_caught_up(&self, mailbox: &Mailbox, message: &Message) -> bool {
        let change = if message.retain { self.retained().change_of(&message.topic) } else { None };
        change.inspect(|change| mailbox.miss(*change)).is_some()
    }

    fn retained(&self) -> RwLockReadGuard<'_, Retained> {
        self.0.retained.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attachment {
    /// Takes the next messages for the client, up to `count`, while [`Session::wants_mail`]: what waits in the mailbox comes first, so
    /// that what is retained is never older than what came before it.
    pub fn take_mail(&self, session: &mut Session, count: usize, into: &mut VecDeque<Queued>, now: Instant) {
        self.mailbox.take(count, into, now);
        if into.is_empty() {
            into.extend(self.next_due(session));
        }
    }

    fn next_due(&self, session: &mut Session) -> Option<Queued> {
        if !session.has_backlog() {
            session.catch_up(self.mailbox.take_missed()?);
        }
        let next = session.backlog().next(&self.hub.retained());
        if next.is_none() && !session.has_backlog() {
            return self.next_due(session);
        }
        next
    }
}
