//! Who asks, and whether that one may: an access token with a role (RFC 6750), from any issuer that is believed here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::Api;
use super::problem::Problem;
use crate::auth::{Asker, LoginRefused, Operator, Refused, Role};
use crate::http::Peer;
use crate::store::{Actor, Store};

/// A longer pause would be cut by the time that a request has.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Who asks.
pub(super) struct Asking {
    operator: Operator,
    /// The registry, which is changed in that name.
    pub(super) store: Store,
    /// When, Unix ms.
    pub(super) now_ms: i64,
}

impl Asking {
    /// Whether the role is enough.
    pub(super) fn may(&self, role: Role) -> Result<(), Problem> {
        if self.operator.role >= role {
            return Ok(());
        }
        let detail = format!(
            "this needs the scope sealgate:{}, and the token gives sealgate:{}",
            role.as_str(),
            self.operator.role.as_str()
        );
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }
}

impl FromRequestParts<Api> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().copied();
        let Peer(peer) = peer.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "nobody asks"))?;
        let (now, now_ms) = clocks();
        let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let Some(token) = token else {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "an operator shows an access token: Authorization: Bearer",
            ));
        };
        match api.auth.operator(token, Asker { from: peer.ip(), now }, now_ms).await {
            Ok(operator) => {
                let actor = Actor { who: operator.name.clone(), origin: peer.ip().to_canonical().to_string().into() };
                Ok(Asking { operator, store: api.store.acting_as(actor), now_ms })
            }
            Err(Refused { reason, pause }) => {
                tokio::time::sleep(pause.min(PAUSE_MAX)).await;
                Err(match reason {
                    passing if passing.is_passing() => {
                        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "who that is cannot be asked now")
                    }
                    LoginRefused::NoOperator => {
                        Problem::new(StatusCode::FORBIDDEN, "the token gives no role of an operator")
                    }
                    _ => Problem::new(StatusCode::UNAUTHORIZED, "the token is not good"),
                })
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a request is answered at the time at which it came")]
fn clocks() -> (Instant, i64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
