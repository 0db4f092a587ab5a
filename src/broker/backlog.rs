//! The retained messages that a session has still to get: the filters that it subscribed to, and how far each has come.
//!
//! They do not go through the mailbox, whose bound a filter that matches the whole fleet would break: the connection takes the next
//! one whenever it has room. What it gets is what is retained at that moment, so a status that changes meanwhile is never told late.
//! In the same way a session catches up that missed statuses because its mailbox was full: it gets the last one of each that changed
//! since. The backlog belongs to the session and outlives the connection with it. It holds one place for each subscription at most.

use super::mailbox::Queued;
use super::retained::{Change, Retained, Step, Walk};
use crate::mqtt::QoS;
use crate::mqtt::topic::Filter;

/// What one session has still to get.
#[derive(Default)]
pub(super) struct Backlog(Vec<Due>);

struct Due {
    filter: Filter,
    qos: QoS,
    walk: Walk,
    /// Whether the client is told that it was retained.
    retain: bool,
}

impl Backlog {
    /// All that `filter` matches is due, from the beginning, each at `qos` at most.
    pub(super) fn begin(&mut self, filter: &Filter, qos: QoS) {
        self.end(filter);
        self.0.push(Due { filter: filter.clone(), qos, walk: Walk::new(filter), retain: true });
    }

    /// What `filter` matches and was published since a change is due. To be asked for while nothing else is.
    pub(super) fn catch_up(&mut self, filter: &Filter, qos: QoS, since: Change) {
        self.0.push(Due { filter: filter.clone(), qos, walk: Walk::since(filter, since), retain: false });
    }

    /// Nothing is due for this filter any more.
    pub(super) fn end(&mut self, filter: &Filter) {
        self.retain(|other| other != filter);
    }

    /// Only what `keep` wants stays due.
    pub(super) fn retain(&mut self, keep: impl Fn(&Filter) -> bool) {
        self.0.retain(|due| keep(&due.filter));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    /// True: nothing is due.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next message; none: there is none, or none was found yet, as [`Backlog::is_empty`] tells.
    pub(super) fn next(&mut self, retained: &Retained) -> Option<Queued> {
        while let Some(due) = self.0.first_mut() {
            match retained.step(&due.filter, &mut due.walk) {
                Step::Found(message) => {
                    let qos = due.qos.min(message.qos);
                    return Some(Queued { message, qos, retain: due.retain });
                }
                Step::Pause => return None,
                Step::End => drop(self.0.remove(0)),
            }
        }
        self.0 = Vec::new();
        None
    }
}
