//! Which sessions there are, who of them is connected, and when one that is away has something to do. Pure.
//!
//! What is due is kept in the order of its time, so that looking for it costs what is found, not what there is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::interest::Interests;
use super::{SentAway, SessionId, SessionKey};
use crate::auth::{Principal, TokenMark};
use crate::broker::mailbox::Mailbox;
use crate::broker::session::SessionState;
use crate::broker::will::Will;

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    by_key: HashMap<SessionKey, Slot>,
    /// Each session that is away, by when it is to be looked at next.
    due: BTreeMap<(Instant, SessionId), SessionKey>,
    last_id: u64,
    pub(super) interests: Interests,
}

enum Slot {
    Connected { send_away: Option<oneshot::Sender<SentAway>>, let_go: CancellationToken, token: TokenMark },
    Away { id: SessionId, kept: Box<Kept>, token: TokenMark },
}

/// A session whose client is away.
pub(super) struct Kept {
    pub(super) state: SessionState,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) until: Instant,
    /// A will that waits for its delay.
    pub(super) will: Option<(Instant, Will)>,
}

impl Kept {
    /// When it has something to do.
    fn due(&self) -> Instant {
        self.will.as_ref().map_or(self.until, |(due, _)| self.until.min(*due))
    }
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn new_id(&mut self) -> SessionId {
        self.last_id += 1;
        SessionId(self.last_id)
    }

    /// Sends the connection away that serves the session; none: there is none. What is given back tells when it has let go.
    pub(super) fn send_away(&mut self, key: &SessionKey) -> Option<CancellationToken> {
        let Slot::Connected { send_away, let_go, .. } = self.by_key.get_mut(key)? else { return None };
        send_away.take().map(|send_away| send_away.send(SentAway::TakenOver));
        Some(let_go.clone())
    }

    /// Sends the connections of those away whose login is no longer good, and gives their sessions out that are away, which have ended. Wills
    /// that waited are forgotten. The token is that of the login that served the session last.
    pub(super) fn revoke(&mut self, is_revoked: impl Fn(&Principal, &TokenMark) -> bool) -> Vec<(SessionId, Kept)> {
        let all = self.by_key.iter();
        let revoked = all.filter(|(key, slot)| is_revoked(&key.principal, slot.token())).map(|(key, _)| key.clone());
        let revoked: Vec<SessionKey> = revoked.collect();
        let mut ended = Vec::new();
        for key in revoked {
            if let Some(Slot::Connected { send_away, .. }) = self.by_key.get_mut(&key) {
                send_away.take().map(|send_away| send_away.send(SentAway::Revoked));
            }
            ended.extend(self.take_up(&key));
        }
        ended
    }

    /// Whose sessions there are.
    pub(super) fn principals(&self) -> HashSet<Principal> {
        self.by_key.keys().map(|key| key.principal.clone()).collect()
    }

    /// Takes a session out whose client was away.
    pub(super) fn take_up(&mut self, key: &SessionKey) -> Option<(SessionId, Kept)> {
        if !matches!(self.by_key.get(key), Some(Slot::Away { .. })) {
            return None;
        }
        let Some(Slot::Away { id, kept, .. }) = self.by_key.remove(key) else { return None };
        self.due.remove(&(kept.due(), id));
        Some((id, *kept))
    }

    /// A connection serves the session from now on. It learns from what is given back that another one wants it.
    pub(super) fn connect(
        &mut self,
        key: SessionKey,
        token: TokenMark,
        let_go: CancellationToken,
    ) -> oneshot::Receiver<SentAway> {
        let (send_away, sent_away) = oneshot::channel();
        self.by_key.insert(key, Slot::Connected { send_away: Some(send_away), let_go, token });
        sent_away
    }

    /// The session's connection is gone; what is not kept has ended.
    pub(super) fn let_go(&mut self, key: &SessionKey, id: SessionId, kept: Option<Kept>) {
        let token = self.by_key.remove(key).map_or_else(TokenMark::default, |slot| *slot.token());
        let Some(kept) = kept else { return };
        self.due.insert((kept.due(), id), key.clone());
        self.by_key.insert(key.clone(), Slot::Away { id, kept: Box::new(kept), token });
    }

    /// The wills whose delay is over, and the sessions whose time is.
    pub(super) fn sweep(&mut self, now: Instant) -> (Vec<Will>, Vec<(SessionId, Kept)>) {
        let (mut wills, mut ended) = (Vec::new(), Vec::new());
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            let Some((id, mut kept, token)) = self.by_key.remove(&key).and_then(Slot::into_kept) else { continue };
            // [MQTT-3.1.3-9]: the will goes out when its delay is over or the session ends, whichever is first.
            wills.extend(kept.will.take().map(|(_, will)| will));
            if kept.until <= now {
                ended.push((id, *kept));
            } else {
                self.due.insert((kept.due(), id), key.clone());
                self.by_key.insert(key, Slot::Away { id, kept, token });
            }
        }
        (wills, ended)
    }
}

impl Slot {
    fn token(&self) -> &TokenMark {
        match self {
            Slot::Connected { token, .. } | Slot::Away { token, .. } => token,
        }
    }

    fn into_kept(self) -> Option<(SessionId, Box<Kept>, TokenMark)> {
        match self {
            Slot::Connected { .. } => None,
            Slot::Away { id, kept, token } => Some((id, kept, token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::broker::Message;
    use crate::broker::mailbox::{Bounds, Together};
    use crate::mqtt::QoS;
    use crate::mqtt::topic::Topic;

    fn key(name: &str) -> SessionKey {
        SessionKey { principal: Principal::Device(name.into()), client_id: name.into() }
    }

    /// A session that ends, and the will of its name that is due, so many seconds after `began`.
    fn kept(began: Instant, name: &str, until: u64, will: Option<u64>) -> Kept {
        let at = |secs| began + Duration::from_secs(secs);
        let message = Message::plain(Topic::new(name).unwrap(), Bytes::new(), QoS::AtMostOnce);
        let will = will.map(|secs| (at(secs), Will { message, telemetry_of: None, delay: Duration::ZERO }));
        let mailbox = Arc::new(Mailbox::new(Bounds { messages_max: 1, bytes_max: 1, together: Together::new(1) }));
        Kept { state: SessionState::default(), mailbox, until: at(until), will }
    }

    fn sweep(sessions: &mut Sessions, now: Instant) -> (Vec<String>, usize) {
        let (wills, ended) = sessions.sweep(now);
        (wills.iter().map(|will| will.message.topic.to_string()).collect(), ended.len())
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_will_goes_at_its_time_or_with_its_session() {
        let (mut sessions, began) = (Sessions::default(), now());
        for (name, until, will) in [("early", 9, Some(3)), ("late", 5, Some(7)), ("silent", 4, None)] {
            let id = sessions.new_id();
            sessions.let_go(&key(name), id, Some(kept(began, name, until, will)));
        }
        let mut at = |secs| sweep(&mut sessions, began + Duration::from_secs(secs));
        assert_eq!(at(2), (vec![], 0));
        assert_eq!(at(3), (vec!["early".to_owned()], 0));
        assert_eq!(at(4), (vec![], 1));
        assert_eq!(at(8), (vec!["late".to_owned()], 1));
        assert_eq!(at(9), (vec![], 1));
        assert!(sessions.by_key.is_empty() && sessions.due.is_empty());
    }

    #[test]
    fn who_comes_back_has_nothing_due_any_more() {
        let (mut sessions, began) = (Sessions::default(), now());
        let id = sessions.new_id();
        sessions.let_go(&key("pump"), id, Some(kept(began, "pump", 5, Some(3))));
        let (same, _) = sessions.take_up(&key("pump")).unwrap();
        let _sent_away = sessions.connect(key("pump"), TokenMark::default(), CancellationToken::new());
        assert_eq!(same, id);
        assert!(sessions.due.is_empty());
        assert_eq!(sweep(&mut sessions, began + Duration::from_secs(9)), (vec![], 0));
        assert!(sessions.take_up(&key("pump")).is_none() && sessions.len() == 1);
    }

    #[test]
    fn whose_login_is_revoked_is_sent_away_and_leaves_nothing() {
        let (mut sessions, began) = (Sessions::default(), now());
        for name in ["gone", "stays"] {
            let id = sessions.new_id();
            sessions.let_go(&key(name), id, Some(kept(began, name, 5, Some(3))));
        }
        let [mut gone, mut stays] = ["gone-online", "stays-online"]
            .map(|name| sessions.connect(key(name), TokenMark::default(), CancellationToken::new()));
        assert_eq!(sessions.principals().len(), 4);
        let ended = sessions.revoke(|principal, _| principal.name().starts_with("gone"));
        assert_eq!(ended.len(), 1);
        assert_eq!(gone.try_recv(), Ok(SentAway::Revoked));
        assert!(stays.try_recv().is_err());
        assert_eq!(
            sweep(&mut sessions, began + Duration::from_secs(9)),
            (vec!["stays".to_owned()], 1),
            "no will of theirs goes out"
        );
        assert_eq!(sessions.len(), 2, "one is connected still, and one lets go in a moment");
    }

    #[test]
    fn a_session_is_known_by_the_token_that_served_it_last() {
        let mut sessions = Sessions::default();
        let mark = |id: &str| TokenMark::new("https://issuer.example", id, "k");
        let id = sessions.new_id();
        let mut first = sessions.connect(key("pump"), mark("1"), CancellationToken::new());
        assert!(sessions.revoke(|_, token| *token == mark("2")).is_empty() && first.try_recv().is_err());
        sessions.let_go(&key("pump"), id, Some(kept(now(), "pump", 5, None)));
        assert!(sessions.revoke(|_, token| *token == mark("2")).is_empty());
        sessions.take_up(&key("pump")).unwrap();
        let _sent_away = sessions.connect(key("pump"), mark("2"), CancellationToken::new());
        sessions.let_go(&key("pump"), id, Some(kept(now(), "pump", 5, None)));
        assert!(sessions.revoke(|_, token| *token == mark("1")).is_empty(), "the client came with another since");
        assert_eq!(sessions.revoke(|_, token| *token == mark("2")).len(), 1);
    }

    proptest! {
        /// Against a look at each session.
        #[test]
        fn what_is_found_is_what_is_due(
            all in prop::collection::vec((1..20u64, prop::option::of(1..20u64)), 1..30), steps in prop::collection::vec(0..5u64, 1..20)
        ) {
            let (mut sessions, began) = (Sessions::default(), now());
            let mut known: Vec<(u64, Option<u64>)> = all.clone();
            for (nth, (until, will)) in all.iter().enumerate() {
                let id = sessions.new_id();
                sessions.let_go(&key(&nth.to_string()), id, Some(kept(began, &nth.to_string(), *until, *will)));
            }
            let mut secs = 0;
            for step in steps {
                secs += step;
                let due = |(until, will): &mut (u64, Option<u64>)| will.take_if(|will| *will <= secs || *until <= secs).is_some();
                let wills = known.iter_mut().map(due).filter(|due| *due).count();
                let before = known.len();
                known.retain(|(until, _)| *until > secs);
                let (found, ended) = sweep(&mut sessions, began + Duration::from_secs(secs));
                prop_assert_eq!((found.len(), ended), (wills, before - known.len()));
                prop_assert_eq!((sessions.len(), sessions.due.len()), (known.len(), known.len()));
            }
        }
    }
}
