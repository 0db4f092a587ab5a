//! A message that its publisher's connection holds, because mailboxes of readers that keep up were full.
//!
//! The connection carries out nothing further meanwhile and reads nothing, so the acknowledgement, which comes after the
//! message, waits too: success is said when each subscriber's mailbox has the message, or has had its patience (`mailbox`).

use std::sync::Arc;
use std::time::Instant;

use super::Hub;
use super::mailbox::{Mailbox, Slip};

/// A message in line at one mailbox or more.
pub struct Held {
    waits: Vec<Wait>,
    hub: Hub,
}

struct Wait {
    mailbox: Arc<Mailbox>,
    slip: Arc<Slip>,
    until: Instant,
}

impl Held {
    pub(super) fn new(hub: Hub) -> Self {
        Held { waits: Vec::new(), hub }
    }

    pub(super) fn add(&mut self, mailbox: Arc<Mailbox>, slip: Arc<Slip>, until: Instant) {
        self.waits.push(Wait { mailbox, slip, until });
    }

    /// Resolves when all mailboxes have decided. Cancel-safe.
    pub async fn settled(&mut self) {
        while let Some(wait) = self.waits.last() {
            match wait.slip.outcome() {
                Some(put) => {
                    self.hub.count_put(put);
                    self.waits.pop();
                }
                None => wait.slip.rung().await,
            }
        }
    }

    /// When [`Held::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waits.iter().map(|wait| wait.until).min()
    }

    /// Asks the mailboxes whose time is over whether to wait further.
    pub fn handle_timeout(&mut self, now: Instant) {
        for wait in self.waits.iter_mut().filter(|wait| wait.until <= now) {
            if let Some(until) = wait.mailbox.lose_patience(&wait.slip, now) {
                wait.until = until;
            }
        }
    }

    /// The connection is over: the message still goes its way, for a client that sends it again at QoS 2 sends it to nobody.
    #[expect(clippy::disallowed_methods, reason = "a driver")]
    pub async fn finish(mut self) {
        while let Some(until) = self.poll_timeout() {
            tokio::select! {
                () = self.settled() => {}
                () = tokio::time::sleep_until(until.into()) => self.handle_timeout(Instant::now()),
            }
        }
    }
}
