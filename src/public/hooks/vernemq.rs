//! VerneMQ's words: the hooks `auth_on_…` of its plugin vmq_webhooks
//! (<https://docs.vernemq.com/plugin-development/webhookplugins>).
//!
//! What the plugin makes of an answer is in `vmq_webhooks_plugin.erl`: it takes status 200 alone and a body in JSON;
//! anything else is an error, and an error is a refusal. What is granted with `max-age` it remembers by all that it
//! sent but the payload and the port; what is refused it does not remember.

use serde::Deserialize;
use serde_json::json;

use super::question::{Answer, Malformed, Question, Text, Token, Verdict, Wish, address, or_empty, parse};

/// Which of the three hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    Subscribe,
    Publish,
}

/// The language of the client, for which each hook has a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3,
    V5,
}

/// What is asked.
pub(super) enum Asked<'a> {
    Register(Register<'a>),
    Subscribe(Subscribe<'a>, Version),
    Publish(Publish<'a>),
}

#[derive(Deserialize)]
pub(super) struct Register<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    password: Option<Text<'a>>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    peer_addr: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Subscribe<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    topics: Vec<Subscription<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Publish<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    topic: Text<'a>,
}

/// A filter. Its other options, which MQTT 5 has, are VerneMQ's affair.
#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow)]
    topic: Text<'a>,
    qos: u8,
}

/// What stands in the place of a QoS for a filter that is refused. // [MQTT-3.9.3-2]
const REFUSED: u8 = 128;

impl<'a> Asked<'a> {
    pub(super) fn parse(kind: Kind, version: Version, body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match kind {
            Kind::Register => Asked::Register(parse(body)?),
            Kind::Subscribe => Asked::Subscribe(parse(body)?, version),
            Kind::Publish => Asked::Publish(parse(body)?),
        })
    }

    pub(super) fn question(&self) -> Question<'_> {
        let (username, client_id, wish) = match self {
            Asked::Register(Register { username, password, client_id, peer_addr }) => {
                let from = peer_addr.as_ref().and_then(|text| address(text.as_str()));
                (username, client_id, Wish::LogIn { token: Token(or_empty(password.as_ref())), from })
            }
            Asked::Subscribe(Subscribe { username, client_id, topics }, version) => {
                let filters = topics.iter().map(|subscription| subscription.topic.as_str()).collect();
                (username, client_id, wish(filters, *version))
            }
            Asked::Publish(Publish { username, client_id, topic }) => {
                (username, client_id, Wish::Publish(topic.as_str()))
            }
        };
        Question { user_name: or_empty(username.as_ref()), client_id: client_id.as_str(), wish }
    }

    /// `max_age_secs` is how long a permission to publish may be remembered.
    pub(super) fn answer(&self, verdict: &Verdict, max_age_secs: u64, now_ms: i64) -> Answer {
        match (self, verdict) {
            (Asked::Register(_), Verdict::LoggedIn { expires_at_ms }) => logged_in(*expires_at_ms, now_ms),
            (Asked::Subscribe(asked, _), Verdict::Topics(granted)) => asked.answer(granted),
            (Asked::Publish(_), Verdict::Topics(granted)) if granted.contains(&true) => {
                Answer { max_age_secs, ..Answer::once(&json!({"result": "ok"})) }
            }
            (_, Verdict::Unavailable) => error("unavailable"),
            _ => error("not_allowed"),
        }
    }
}

/// `max_connection_lifetime` ends the connection with its token. It is in seconds, and 0 would be without end.
fn logged_in(expires_at_ms: i64, now_ms: i64) -> Answer {
    let left_secs = (expires_at_ms.saturating_sub(now_ms) / 1000).max(1);
    Answer::once(&json!({"result": "ok", "modifiers": {"max_connection_lifetime": left_secs}}))
}

/// A filter that is refused has its place in the answer at 3.1.1. At 5.0 all are refused with it: VerneMQ before 2.2.0
/// subscribes a client to what is answered with the documented 135, though it tells the client that it does not, and
/// ends the session at 128.
fn wish(filters: Vec<&str>, version: Version) -> Wish<'_> {
    match version {
        Version::V3 => Wish::Subscribe(filters),
        Version::V5 => Wish::SubscribeToAll(filters),
    }
}

impl Subscribe<'_> {
    fn answer(&self, granted: &[bool]) -> Answer {
        if !granted.contains(&true) {
            return error("not_allowed");
        }
        if !granted.contains(&false) {
            // As they are. A list would lose what stands in none, as the subscription's identifier.
            return Answer::once(&json!({"result": "ok"}));
        }
        let topics = self.topics.iter().zip(granted).map(|(subscription, &granted)| {
            let qos = if granted { subscription.qos } else { REFUSED };
            json!({"topic": subscription.topic.as_str(), "qos": qos})
        });
        Answer::once(&json!({"result": "ok", "topics": topics.collect::<Vec<_>>()}))
    }
}

fn error(word: &str) -> Answer {
    Answer::once(&json!({"result": {"error": word}}))
}

#[cfg(test)]
mod tests;
