//! Where sessions meet: who is connected, who is away, and who gets what.
//!
//! A session belongs to a principal and a client id together, so that no login can take over the session of another by naming
//! its client id. At most one connection serves a session [MQTT-3.1.4-3]: a second one sends the first away, waits until that
//! has let go, and takes the session over. What lies in a session is the session's affair; here it is moved, not looked into.

mod interest;
mod publish;
mod retained;
mod sessions;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use interest::Interest;
use sessions::{Kept, Sessions};

use super::mailbox::{Bounds, Mailbox, Together};
use super::retained::Retained;
use super::session::SessionState;
use super::tree::{Subscriber, Tree};
use super::will::Will;
use super::{Config, Metrics};
use crate::auth::{Grant, Principal, TokenMark};
use crate::ingest::Wanted;
use crate::mqtt::QoS;
use crate::mqtt::topic::Filter;

/// What names a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Who logged in.
    pub principal: Principal,
    /// The client id of its CONNECT.
    pub client_id: Arc<str>,
}

/// A number that no other session of this process has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// Sessions and subscriptions of one gateway.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    sessions_max: usize,
    metrics: Metrics,
    tree: RwLock<Tree<Subscription>>,
    retained: RwLock<Retained>,
    sessions: Mutex<Sessions>,
}

struct Subscription {
    session: SessionId,
    qos: QoS,
    echo: Echo,
    interest: Interest,
    mailbox: Arc<Mailbox>,
}

/// Whether a session gets what it published itself (the subscription option No Local).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    Yes,
    /// It does not [MQTT-3.8.3-3].
    No,
}

impl Subscriber for Subscription {
    type Key = SessionId;

    fn key(&self) -> SessionId {
        self.session
    }
}

/// Why a connection has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentAway {
    /// Another connection wants the session.
    TakenOver,
    /// Its principal may no longer come in, or its token is no longer good.
    Revoked,
}

/// Why a session cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway holds as many sessions as it may")]
pub struct TooManySessions;

/// A session as its connection holds it. Dropping it without [`Attachment::let_go`] ends the session.
pub struct Attachment {
    hub: Hub,
    key: SessionKey,
    /// Names the session.
    pub id: SessionId,
    /// What waits for it.
    pub mailbox: Arc<Mailbox>,
    /// Resolves when the connection has to go.
    pub sent_away: oneshot::Receiver<SentAway>,
    let_go: Option<CancellationToken>,
}

/// What an earlier connection left of a session.
pub struct Earlier {
    /// What the session knew.
    pub state: SessionState,
    /// A will that waited for its delay.
    pub will: Option<Will>,
}

/// What stays of a session when its connection is gone.
pub struct Remains {
    /// What the session knew.
    pub state: SessionState,
    /// Until when it is kept; none: it ends now.
    pub until: Option<Instant>,
    /// A will that waits until then, and is forgotten if the client comes back before.
    pub will: Option<(Instant, Will)>,
}

impl Hub {
    /// A hub without sessions.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        Hub(Arc::new(Inner {
            bounds: Bounds {
                messages_max: config.queue_messages_max,
                bytes_max: config.queue_bytes_max,
                together: Together::new(config.queues_bytes_max),
            },
            sessions_max: config.sessions_max,
            metrics,
            tree: RwLock::default(),
            retained: RwLock::default(),
            sessions: Mutex::default(),
        }))
    }

    /// The sum of what waits for all clients.
    pub fn together(&self) -> Together {
        self.0.bounds.together.clone()
    }

    /// True while somebody may get what the gateway publishes of its own.
    pub fn wanted(&self) -> Wanted {
        self.sessions().interests.wanted()
    }

    /// Makes this connection, which came with this token, the one that serves the session; sends another one away first. Waits until that has
    /// let go.
    pub async fn attach(
        &self,
        key: &SessionKey,
        token: TokenMark,
    ) -> Result<(Attachment, Option<Earlier>), TooManySessions> {
        loop {
            match self.try_attach(key, token)? {
                Ok(attached) => return Ok(attached),
                Err(let_go) => let_go.cancelled().await,
            }
        }
    }

    /// Whose sessions there are, connected or kept.
    pub fn principals(&self) -> HashSet<Principal> {
        self.sessions().principals()
    }

    /// Ends the connections and the sessions of those who may no longer come in, or whose token is no longer good.
    pub fn revoke(&self, is_revoked: impl Fn(&Principal, &TokenMark) -> bool) {
        let mut sessions = self.sessions();
        let ended = sessions.revoke(is_revoked);
        self.0.metrics.sessions.set(gauge(sessions.len()));
        drop(sessions);
        for (id, kept) in ended {
            self.unsubscribe_all(id, &kept.state);
        }
    }

    /// Drops sessions whose time has come, and gives back the wills whose delay is over.
    pub fn sweep(&self, now: Instant) -> Vec<Will> {
        let mut sessions = self.sessions();
        let (wills, ended) = sessions.sweep(now);
        self.0.metrics.sessions.set(gauge(sessions.len()));
        drop(sessions);
        for (id, kept) in ended {
            self.unsubscribe_all(id, &kept.state);
        }
        wills
    }

    fn try_attach(
        &self,
        key: &SessionKey,
        token: TokenMark,
    ) -> Result<Result<(Attachment, Option<Earlier>), CancellationToken>, TooManySessions> {
        let mut sessions = self.sessions();
        if let Some(let_go) = sessions.send_away(key) {
            return Ok(Err(let_go));
        }
        let (id, earlier, mailbox) = match sessions.take_up(key) {
            Some((id, Kept { state, mailbox, will, .. })) => {
                (id, Some(Earlier { state, will: will.map(|(_, will)| will) }), mailbox)
            }
            None if sessions.len() >= self.0.sessions_max => return Err(TooManySessions),
            None => (sessions.new_id(), None, Arc::new(Mailbox::new(self.0.bounds.clone()))),
        };
        let let_go = CancellationToken::new();
        let sent_away = sessions.connect(key.clone(), token, let_go.clone());
        self.0.metrics.sessions.set(gauge(sessions.len()));
        mailbox.connect();
        let attachment =
            Attachment { hub: self.clone(), key: key.clone(), id, mailbox, sent_away, let_go: Some(let_go) };
        Ok(Ok((attachment, earlier)))
    }

    fn subscribe(&self, attachment: &Attachment, filter: &Filter, qos: QoS, echo: Echo) {
        let (interest, mailbox) = (Interest::of(filter), attachment.mailbox.clone());
        let subscription = Subscription { session: attachment.id, qos, echo, interest, mailbox };
        if self.write_tree(|tree| tree.insert(filter, subscription)) {
            self.count(interest, 1);
        }
    }

    fn unsubscribe(&self, id: SessionId, filter: &Filter) {
        if self.write_tree(|tree| tree.remove(filter, id)) {
            self.count(Interest::of(filter), -1);
        }
    }

    /// Counts a subscription that came or went.
    fn count(&self, interest: Interest, change: isize) {
        self.0.metrics.subscriptions.add(change as i64);
        if interest.is_some() {
            self.sessions().interests.count(interest, change);
        }
    }

    /// Ends what a session has in the tree.
    fn unsubscribe_all(&self, id: SessionId, state: &SessionState) {
        for filter in state.subscriptions() {
            self.unsubscribe(id, filter);
        }
    }

    fn release(&self, key: &SessionKey, id: SessionId, kept: Option<Kept>) {
        let mut sessions = self.sessions();
        sessions.let_go(key, id, kept);
        self.0.metrics.sessions.set(gauge(sessions.len()));
    }

    fn write_tree<T>(&self, change: impl FnOnce(&mut Tree<Subscription>) -> T) -> T {
        change(&mut self.0.tree.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.principal {
            // A device's client id is its device id.
            Principal::Device(device_id) => write!(f, "device {device_id}"),
            Principal::Service(name) => write!(f, "service {name}, client {:?}", self.client_id),
        }
    }
}

impl Attachment {
    /// Whose session it is.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Subscribes the session.
    pub fn subscribe(&self, filter: &Filter, qos: QoS, echo: Echo) {
        self.hub.subscribe(self, filter, qos, echo);
    }

    /// Ends a subscription of the session.
    pub fn unsubscribe(&self, filter: &Filter) {
        self.hub.unsubscribe(self.id, filter);
    }

    /// Ends everything that an earlier connection left of the session [MQTT-3.1.2-4].
    pub fn start_clean(&self, earlier: &SessionState) {
        self.hub.unsubscribe_all(self.id, earlier);
        self.mailbox.clear();
    }

    /// Goes on with what an earlier connection left, as far as the grant of this one reaches.
    pub fn resume(&self, earlier: &mut SessionState, grant: &Grant) {
        for filter in earlier.narrow(grant) {
            self.unsubscribe(&filter);
        }
        self.mailbox.retain(|message| grant.may_hear(&message.topic));
    }

    /// Gives the session back; a connection that waits for it gets it now.
    pub fn let_go(mut self, remains: Remains) {
        self.mailbox.disconnect();
        let kept = match remains.until {
            Some(until) => {
                let mailbox = self.mailbox.clone();
                Some(Kept { state: remains.state, mailbox, until, will: remains.will })
            }
            None => {
                self.hub.unsubscribe_all(self.id, &remains.state);
                None
            }
        };
        self.hub.release(&self.key, self.id, kept);
        self.let_go.take().inspect(CancellationToken::cancel);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Only a panic of the connection's task leads here; which filters the session had died with it.
        if let Some(let_go) = self.let_go.take() {
            self.mailbox.disconnect();
            let mut removed = Vec::new();
            self.hub.write_tree(|tree| {
                tree.retain(|subscription| {
                    let goes = subscription.session == self.id;
                    removed.extend(goes.then_some(subscription.interest));
                    !goes
                });
            });
            removed.into_iter().for_each(|interest| self.hub.count(interest, -1));
            self.hub.release(&self.key, self.id, None);
            let_go.cancel();
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
