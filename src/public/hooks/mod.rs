//! The login webhooks of other brokers: VerneMQ and EMQX ask here whether a client may come in, and where it may
//! publish and listen.
//!
//! They are answered from the same grants as our own MQTT door has, so that a device's token is good there too. They
//! ask about a connection and not about a message: what a client may publish they remember for a while. A broker is
//! known by a secret of its own, and without a secret in the settings there are no such pages. What is not understood
//! is not granted.
//!
//! Here are the addresses, the secret and the clock. What a broker's words mean is in the file that bears its name, and
//! what is granted in [`auth`](crate::auth).

mod config;
mod emqx;
mod metrics;
mod question;
mod secret;
mod vernemq;

pub use config::Config;
pub use secret::{SecretError, Secrets};

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};

use super::clocks;
use crate::auth::{Asker, Auth};
use crate::http::Peer;
use crate::metrics::{Label as _, Registry, label};
use metrics::{Metrics, Outcome};
use question::{Answer, Malformed, Question, Token, Verdict, Wish};

/// Every hook that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    VernemqRegister,
    VernemqSubscribe,
    VernemqPublish,
    VernemqRegisterM5,
    VernemqSubscribeM5,
    VernemqPublishM5,
    EmqxAuthn,
    EmqxAuthz,
}

// The value is the address below `/hooks`, too.
label! {
    Hook as "hook":
    VernemqRegister = "vernemq/auth_on_register",
    VernemqSubscribe = "vernemq/auth_on_subscribe",
    VernemqPublish = "vernemq/auth_on_publish",
    VernemqRegisterM5 = "vernemq/auth_on_register_m5",
    VernemqSubscribeM5 = "vernemq/auth_on_subscribe_m5",
    VernemqPublishM5 = "vernemq/auth_on_publish_m5",
    EmqxAuthn = "emqx/authn",
    EmqxAuthz = "emqx/authz",
}

/// Who answers, and for whom.
struct Desk {
    auth: Auth,
    secrets: Secrets,
    max_age_secs: u64,
    metrics: Metrics,
}

/// The pages, or none without secrets. What is counted is there either way.
pub(super) fn routes(auth: Auth, secrets: Option<Secrets>, config: &Config, registry: &Registry) -> Router {
    let metrics = Metrics::new(registry);
    let Some(secrets) = secrets else { return Router::new() };
    let desk = Arc::new(Desk { auth, secrets, max_age_secs: config.cache_max_age.as_secs(), metrics });
    Hook::ALL.iter().fold(Router::new(), |router, &hook| {
        let page = post(answer).with_state((Arc::clone(&desk), hook));
        router.route(&format!("/hooks/{}", hook.as_str()), page)
    })
}

/// `POST /hooks/…`
async fn answer(
    State((desk, hook)): State<(Arc<Desk>, Hook)>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    if !admitted(&desk.secrets, request.headers()) {
        desk.metrics.inc(hook, Outcome::WrongSecret);
        tracing::warn!(%peer, hook = hook.as_str(), "A hook is called without its secret.");
        return (StatusCode::UNAUTHORIZED, [NO_STORE, (WWW_AUTHENTICATE, CHALLENGE)]).into_response();
    }
    // Only now is the body looked at.
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(too_long_or_cut) => return desk.malformed(hook, peer.ip(), too_long_or_cut.status()),
    };
    match Asked::parse(hook, &body) {
        Ok(asked) => desk.answer(hook, &asked, peer.ip()).await.into_response(),
        Err(Malformed) => desk.malformed(hook, peer.ip(), StatusCode::BAD_REQUEST),
    }
}

impl Desk {
    async fn answer(&self, hook: Hook, asked: &Asked<'_>, peer: IpAddr) -> Answer {
        let Question { user_name, client_id, wish } = asked.question();
        let (now, now_ms) = clocks();
        let found = match wish {
            Wish::LogIn { token: Token(token), from } => {
                let asker = Asker { from: from.unwrap_or(peer), now };
                self.auth.login_elsewhere(user_name, token, client_id, asker, now_ms).await
            }
            Wish::Publish(_) | Wish::Subscribe(_) | Wish::SubscribeToAll(_) | Wish::Unknown => {
                self.auth.standing(user_name, client_id).await
            }
        };
        let verdict = Verdict::of(&wish, found);
        self.metrics.inc(hook, verdict.outcome());
        asked.answer(&verdict, self.max_age_secs, now_ms)
    }

    /// VerneMQ refuses for each status but 200; EMQX for none.
    fn malformed(&self, hook: Hook, peer: IpAddr, status: StatusCode) -> Response {
        self.metrics.inc(hook, Outcome::Malformed);
        tracing::warn!(%peer, hook = hook.as_str(), "A hook is called with a body that is too long or not as documented.");
        match hook.call() {
            Call::Vernemq(..) => (status, [NO_STORE]).into_response(),
            Call::Emqx(_) => emqx::deny().into_response(),
        }
    }
}

/// Whose words a hook is in.
enum Call {
    Vernemq(vernemq::Kind, vernemq::Version),
    Emqx(emqx::Kind),
}

impl Hook {
    fn call(self) -> Call {
        use vernemq::{Kind, Version};
        match self {
            Hook::VernemqRegister => Call::Vernemq(Kind::Register, Version::V3),
            Hook::VernemqSubscribe => Call::Vernemq(Kind::Subscribe, Version::V3),
            Hook::VernemqPublish => Call::Vernemq(Kind::Publish, Version::V3),
            Hook::VernemqRegisterM5 => Call::Vernemq(Kind::Register, Version::V5),
            Hook::VernemqSubscribeM5 => Call::Vernemq(Kind::Subscribe, Version::V5),
            Hook::VernemqPublishM5 => Call::Vernemq(Kind::Publish, Version::V5),
            Hook::EmqxAuthn => Call::Emqx(emqx::Kind::Authenticate),
            Hook::EmqxAuthz => Call::Emqx(emqx::Kind::Authorize),
        }
    }
}

/// What is asked, in whichever words.
enum Asked<'a> {
    Vernemq(vernemq::Asked<'a>),
    Emqx(emqx::Asked<'a>),
}

impl<'a> Asked<'a> {
    fn parse(hook: Hook, body: &'a [u8]) -> Result<Self, Malformed> {
        match hook.call() {
            Call::Vernemq(kind, version) => vernemq::Asked::parse(kind, version, body).map(Asked::Vernemq),
            Call::Emqx(kind) => emqx::Asked::parse(kind, body).map(Asked::Emqx),
        }
    }

    fn question(&self) -> Question<'_> {
        match self {
            Asked::Vernemq(asked) => asked.question(),
            Asked::Emqx(asked) => asked.question(),
        }
    }

    fn answer(&self, verdict: &Verdict, max_age_secs: u64, now_ms: i64) -> Answer {
        match self {
            Asked::Vernemq(asked) => asked.answer(verdict, max_age_secs, now_ms),
            Asked::Emqx(_) => emqx::answer(verdict),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let cache = match self.max_age_secs {
            0 => NO_STORE.1.to_owned(),
            secs => format!("max-age={secs}"),
        };
        ([(CONTENT_TYPE, "application/json".to_owned()), (CACHE_CONTROL, cache)], self.body).into_response()
    }
}

/// Whether the request shows a secret, in one header.
fn admitted(secrets: &Secrets, headers: &HeaderMap) -> bool {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let first = shown.next().is_some_and(|value| secrets.admit(value.as_bytes()));
    first && shown.next().is_none()
}

const NO_STORE: (axum::http::HeaderName, &str) = (CACHE_CONTROL, "no-store");

const CHALLENGE: &str = "Basic realm=\"sealgate hooks\", charset=\"UTF-8\"";

#[cfg(test)]
mod tests;
