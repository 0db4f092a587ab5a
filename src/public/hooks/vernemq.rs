//! VerneMQ's words: the hooks `auth_on_…` of its plugin vmq_webhooks (<https://docs.vernemq.com/plugin-development/webhookplugins>).
//!
//! What the plugin makes of an answer is in `vmq_webhooks_plugin.erl`: it takes status 200 alone and a body in JSON; anything else is an
//! error, and an error is a refusal. What is granted with `max-age` it remembers by all that it sent but the payload and the port; what is
//! refused it does not remember.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::question::{Answer, Malformed, Question, Text, Verdict, Wish, address, or_empty, parse};

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
#[derive(Debug)]
pub(super) enum Asked<'a> {
    Register(Register<'a>),
    Subscribe(Subscribe<'a>, Version),
    Publish(Publish<'a>),
}

#[derive(Debug, Deserialize)]
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

#[derive(Debug, Deserialize)]
pub(super) struct Subscribe<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    topics: Vec<Subscription<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Publish<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    topic: Text<'a>,
}

/// A filter with its options. Those of MQTT 5 are given back as they came: what is left out the plugin takes for the default.
#[derive(Debug, Deserialize, Serialize)]
struct Subscription<'a> {
    #[serde(borrow, serialize_with = "text")]
    topic: Text<'a>,
    qos: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_local: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rap: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retain_handling: Option<RetainHandling>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum RetainHandling {
    SendRetain,
    SendIfNewSub,
    DontSend,
}

/// What stands in the place of a QoS for a filter that is refused.
fn refused(version: Version) -> u8 {
    match version {
        Version::V3 => 128, // [MQTT-3.9.3-2]
        Version::V5 => 135, // Not authorized, MQTT 5.0 section 3.9.3
    }
}

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
                (username, client_id, Wish::LogIn { token: or_empty(password.as_ref()), from })
            }
            Asked::Subscribe(Subscribe { username, client_id, topics }, _) => {
                let filters = topics.iter().map(|subscription| subscription.topic.as_str()).collect();
                (username, client_id, Wish::Subscribe(filters))
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
            (Asked::Subscribe(asked, version), Verdict::Topics(granted)) => asked.answer(*version, granted),
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

impl Subscribe<'_> {
    fn answer(&self, version: Version, granted: &[bool]) -> Answer {
        if !granted.contains(&true) {
            return error("not_allowed");
        }
        if !granted.contains(&false) {
            // As they are. A list would lose what stands in none, as the subscription's identifier.
            return Answer::once(&json!({"result": "ok"}));
        }
        let topics: Vec<_> =
            self.topics.iter().zip(granted).map(|(topic, &granted)| topic.answer(version, granted)).collect();
        Answer::once(&match version {
            Version::V3 => json!({"result": "ok", "topics": topics}),
            Version::V5 => json!({"result": "ok", "modifiers": {"topics": topics}}),
        })
    }
}

impl Subscription<'_> {
    fn answer(&self, version: Version, granted: bool) -> serde_json::Value {
        match granted {
            true => json!(self),
            false => json!({"topic": self.topic.as_str(), "qos": refused(version)}),
        }
    }
}

fn error(word: &str) -> Answer {
    Answer::once(&json!({"result": {"error": word}}))
}

fn text<S: Serializer>(text: &Text<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.as_str())
}

#[cfg(test)]
mod tests;
