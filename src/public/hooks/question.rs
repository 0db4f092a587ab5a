//! What every broker asks, whatever words it has for it: may this client come in, may it publish there, may it hear
//! that.
//!
//! Pure: the broker's shapes are made into a [`Question`] and a [`Verdict`] is made into its shapes by the file that
//! bears its name; who is asked in between is the driver's affair.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::metrics::Outcome;
use crate::auth::{Grant, LoginRefused};
use crate::mqtt::topic::{Filter, Topic};

/// A body is not what the broker's documentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A text of a body. It borrows unless something in it is escaped, so that no copy of a token is left behind.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that may be left out, or be `null`: then it is empty, as for whoever brings none.
pub(super) fn or_empty<'a>(text: Option<&'a Text<'_>>) -> &'a str {
    text.map_or("", Text::as_str)
}

/// A body in JSON, an object; members that are not known are passed over, whatever they hold.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    // Serde takes an array for a struct, too.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    if is_object { serde_json::from_slice(body).map_err(|_| Malformed) } else { Err(Malformed) }
}

/// Who it is about, by the names that the broker knows, and what he wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    pub(super) user_name: &'a str,
    pub(super) client_id: &'a str,
    pub(super) wish: Wish<'a>,
}

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// To come in, from there if the broker says a place that is one.
    LogIn { token: Token<'a>, from: Option<IpAddr> },
    /// To publish to this topic.
    Publish(&'a str),
    /// To hear what these filters match, each for itself.
    Subscribe(Vec<&'a str>),
    /// To hear what these filters match: all, or none where one of them is not granted.
    SubscribeToAll(Vec<&'a str>),
    /// Something that is not known here.
    Unknown,
}

/// What a client shows; it does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a>(pub(super) &'a str);

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The address that a broker reports, if it is one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// The answer, before it is put into a broker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client may come in, until then.
    LoggedIn { expires_at_ms: i64 },
    /// For each topic that was asked about, whether it is granted.
    Topics(Vec<bool>),
    /// Nothing is granted.
    Denied,
    /// Nobody could be asked, so nothing is granted.
    Unavailable,
}

impl Verdict {
    /// What `wish` comes to, if `found` is what is known of whoever has it.
    pub(super) fn of(wish: &Wish<'_>, found: Result<Arc<Grant>, LoginRefused>) -> Self {
        let grant = match found {
            Ok(grant) => grant,
            Err(reason) if reason.is_passing() => return Verdict::Unavailable,
            Err(_) => return Verdict::Denied,
        };
        let may_publish = |topic: &str| Topic::new(topic).is_ok_and(|topic| grant.may_publish(&topic));
        let may_hear = |filter: &&str| Filter::new(*filter).is_ok_and(|filter| grant.may_subscribe(&filter));
        match wish {
            Wish::LogIn { .. } => Verdict::LoggedIn { expires_at_ms: grant.expires_at_ms() },
            Wish::Publish(topic) => Verdict::Topics(vec![may_publish(topic)]),
            Wish::Subscribe(filters) => Verdict::Topics(filters.iter().map(may_hear).collect()),
            Wish::SubscribeToAll(filters) => Verdict::Topics(vec![!filters.is_empty() && filters.iter().all(may_hear)]),
            Wish::Unknown => Verdict::Denied,
        }
    }

    /// What is counted.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Verdict::LoggedIn { .. } => Outcome::Allowed,
            Verdict::Topics(granted) if !granted.contains(&true) => Outcome::Denied,
            Verdict::Topics(granted) if granted.contains(&false) => Outcome::Partly,
            Verdict::Topics(_) => Outcome::Allowed,
            Verdict::Denied => Outcome::Denied,
            Verdict::Unavailable => Outcome::Unavailable,
        }
    }
}

/// What goes out with status 200.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// JSON.
    pub(super) body: Vec<u8>,
    /// For how long it may be remembered; zero: not at all.
    pub(super) max_age_secs: u64,
}

impl Answer {
    /// One that nobody may remember.
    pub(super) fn once(body: &serde_json::Value) -> Self {
        Answer { body: body.to_string().into_bytes(), max_age_secs: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scope::Scope;

    fn found() -> Result<Arc<Grant>, LoginRefused> {
        Ok(Arc::new(Grant::device("pump-7", 7_000).unwrap()))
    }

    #[test]
    fn a_device_has_its_own_topics_and_no_other() {
        let publish = |topic| Verdict::of(&Wish::Publish(topic), found()).outcome();
        for own in ["devices/pump-7/telemetry", "devices/pump-7/telemetry/fast", "devices/pump-7/answers"] {
            assert_eq!(publish(own), Outcome::Allowed, "{own}");
        }
        for foreign in [
            "devices/pump-7/status",
            "devices/pump-7/commands/stop",
            "devices/pump-7/receipts",
            "devices/pump-8/telemetry",
            "devices/+/telemetry",
            "readings/pump-7",
            "a\0b",
            "",
        ] {
            assert_eq!(publish(foreign), Outcome::Denied, "{foreign}");
        }
    }

    #[test]
    fn each_filter_is_judged_for_itself() {
        let own = "devices/pump-7/receipts";
        for (filters, granted, outcome) in [
            (vec![own], vec![true], Outcome::Allowed),
            (vec![own, "#", "", own], vec![true, false, false, true], Outcome::Partly),
            (vec!["#"], vec![false], Outcome::Denied),
            (vec![], vec![], Outcome::Denied),
        ] {
            let verdict = Verdict::of(&Wish::Subscribe(filters), found());
            assert_eq!(verdict, Verdict::Topics(granted));
            assert_eq!(verdict.outcome(), outcome);
        }
    }

    #[test]
    fn all_filters_are_granted_or_none() {
        let own = "devices/pump-7/receipts";
        for (filters, outcome) in [
            (vec![own, own], Outcome::Allowed),
            (vec![own, "#"], Outcome::Denied),
            (vec!["#", own], Outcome::Denied),
            (vec![], Outcome::Denied),
        ] {
            assert_eq!(Verdict::of(&Wish::SubscribeToAll(filters), found()).outcome(), outcome);
        }
    }

    #[test]
    fn a_service_has_its_scopes() {
        let scopes = ["sub:readings/+", "pub:commands/#"].map(|text| Scope::parse(text).unwrap());
        let found = || Ok(Arc::new(Grant::service("console", scopes.to_vec(), i64::MAX)));
        let hears = |filter| Verdict::of(&Wish::Subscribe(vec![filter]), found()).outcome();
        assert_eq!((hears("readings/+"), hears("readings/#")), (Outcome::Allowed, Outcome::Denied));
        let publishes = |topic| Verdict::of(&Wish::Publish(topic), found()).outcome();
        assert_eq!(publishes("commands/pump-7/stop"), Outcome::Allowed);
        assert_eq!(publishes("devices/pump-7/telemetry"), Outcome::Denied);
    }

    #[test]
    fn a_store_or_an_issuer_that_is_away_is_no_refusal_and_grants_nothing() {
        for wish in
            [Wish::LogIn { token: Token(""), from: None }, Wish::Publish("a"), Wish::Subscribe(vec![]), Wish::Unknown]
        {
            for away in [LoginRefused::StoreUnavailable, LoginRefused::IssuerUnavailable] {
                assert_eq!(Verdict::of(&wish, Err(away)), Verdict::Unavailable);
            }
            assert_eq!(Verdict::of(&wish, Err(LoginRefused::Disabled)), Verdict::Denied);
        }
        assert_eq!(Verdict::of(&Wish::Unknown, found()), Verdict::Denied);
    }

    #[test]
    fn an_address_is_one_or_none() {
        assert_eq!(address("203.0.113.7"), "203.0.113.7".parse().ok());
        assert_eq!(address("::ffff:203.0.113.7"), "203.0.113.7".parse().ok());
        for text in ["", "undefined", "203.0.113.7:1883", "[::1]", "localhost"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
