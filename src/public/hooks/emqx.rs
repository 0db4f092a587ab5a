//! EMQX's words: its HTTP authenticator and its HTTP authorizer
//! (<https://docs.emqx.com/en/emqx/latest/access-control/authn/http.html>, …`/authz/http.html`).
//!
//! The body of a request is what the operator writes into EMQX's configuration; the names here are those of its
//! placeholders. EMQX reads any status but 200 and 204 as *ignore*, and then asks whoever is next or does what
//! `authorization.no_match` says, which was `allow` by default up to 5.8 at least. So everything that is asked with the
//! right secret gets 200, and `deny` where it is not understood: else a client that sends a name too long for us would
//! have passed.

use serde::Deserialize;
use serde_json::json;

use super::question::{Answer, Malformed, Question, Text, Token, Verdict, Wish, address, or_empty, parse};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Authenticate,
    Authorize,
}

/// What is asked.
pub(super) enum Asked<'a> {
    Authenticate(Authenticate<'a>),
    Authorize(Authorize<'a>),
}

#[derive(Deserialize)]
pub(super) struct Authenticate<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    password: Option<Text<'a>>,
    #[serde(borrow)]
    clientid: Text<'a>,
    #[serde(borrow)]
    peerhost: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Authorize<'a> {
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    clientid: Text<'a>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    topic: Text<'a>,
}

impl<'a> Asked<'a> {
    pub(super) fn parse(kind: Kind, body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match kind {
            Kind::Authenticate => Asked::Authenticate(parse(body)?),
            Kind::Authorize => Asked::Authorize(parse(body)?),
        })
    }

    pub(super) fn question(&self) -> Question<'_> {
        let (username, clientid, wish) = match self {
            Asked::Authenticate(Authenticate { username, password, clientid, peerhost }) => {
                let from = peerhost.as_ref().and_then(|text| address(text.as_str()));
                (username, clientid, Wish::LogIn { token: Token(or_empty(password.as_ref())), from })
            }
            Asked::Authorize(Authorize { username, clientid, action, topic }) => {
                let wish = match action.as_str() {
                    "publish" => Wish::Publish(topic.as_str()),
                    "subscribe" => Wish::Subscribe(vec![topic.as_str()]),
                    _ => Wish::Unknown,
                };
                (username, clientid, wish)
            }
        };
        Question { user_name: or_empty(username.as_ref()), client_id: clientid.as_str(), wish }
    }
}

/// `expire_at` ends the connection with its token (EMQX 5.8). It is in seconds, and a fraction of one is not waited
/// for.
pub(super) fn answer(verdict: &Verdict) -> Answer {
    match verdict {
        Verdict::LoggedIn { expires_at_ms } => {
            Answer::once(&json!({"result": "allow", "is_superuser": false, "expire_at": expires_at_ms / 1000}))
        }
        Verdict::Topics(granted) if granted.contains(&true) && !granted.contains(&false) => {
            Answer::once(&json!({"result": "allow"}))
        }
        Verdict::Topics(_) | Verdict::Denied | Verdict::Unavailable => deny(),
    }
}

pub(super) fn deny() -> Answer {
    Answer::once(&json!({"result": "deny"}))
}

#[cfg(test)]
mod tests;
