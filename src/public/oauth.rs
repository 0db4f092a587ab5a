//! The issuer's addresses in HTTP: the endpoints for tokens, introspection and revocation, the public keys, the metadata.
//!
//! What is asked and answered is `auth`'s affair; here are status codes, headers and content types. No address in an
//! answer is taken from the request: a client that is told where to send its secret has to hear it from the settings,
//! not from a `Host` header.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::{REQUEST_TIMEOUT, clocks};
use crate::auth::{Asker, Auth, Refused, TokenRefused};
use crate::http::Peer;

/// A longer pause would be cut by the time that a request has.
const PAUSE_MAX: Duration = REQUEST_TIMEOUT.checked_div(2).expect("two is not zero");

/// An answer that says why there is no token (RFC 6749 section 5.2).
#[derive(Serialize)]
struct Refusal {
    error: &'static str,
    error_description: String,
}

/// RFC 6749 section 5.1: no cache keeps a token.
const NO_STORE: [(HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];

/// Keys change with a rotation alone; a verifier that sees a key id that it does not know asks again anyway.
const CACHE_KEYS: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=300");

/// `POST /oauth/token`
pub(super) async fn token(
    State(auth): State<Auth>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (authorization, asker, now_ms) = match asked(&headers, peer) {
        Ok(asked) => asked,
        Err(status) => return refused(status, TokenRefused::InvalidRequest),
    };
    told(auth.answer(authorization, &body, asker, now_ms).await.map(|answer| (NO_STORE, Json(answer)).into_response()))
        .await
}

/// `POST /oauth/introspect` (RFC 7662 section 2)
pub(super) async fn introspect(
    State(auth): State<Auth>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (authorization, asker, now_ms) = match asked(&headers, peer) {
        Ok(asked) => asked,
        Err(status) => return refused(status, TokenRefused::InvalidRequest),
    };
    told(
        auth.introspect(authorization, &body, asker, now_ms).await.map(|worth| (NO_STORE, Json(worth)).into_response()),
    )
    .await
}

/// `POST /oauth/revoke` (RFC 7009 section 2)
pub(super) async fn revoke(
    State(auth): State<Auth>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (authorization, asker, now_ms) = match asked(&headers, peer) {
        Ok(asked) => asked,
        Err(status) => return refused(status, TokenRefused::InvalidRequest),
    };
    told(auth.revoke(authorization, &body, asker, now_ms).await.map(|()| (NO_STORE, StatusCode::OK).into_response()))
        .await
}

/// Of a request that bears a form: its one `Authorization` header, if there is one, who asks, and when; else the status that it gets.
fn asked(headers: &HeaderMap, peer: SocketAddr) -> Result<(Option<&str>, Asker, i64), StatusCode> {
    if !is_form(headers) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next().map(|value| value.to_str().unwrap_or_default());
    if all.next().is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let (now, now_ms) = clocks();
    Ok((first, Asker { from: peer.ip(), now }, now_ms))
}

/// The answer, or a refusal once its pause is over.
async fn told(result: Result<Response, Refused<TokenRefused>>) -> Response {
    match result {
        Ok(answer) => answer,
        Err(Refused { reason, pause }) => {
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
            refused(status(reason), reason)
        }
    }
}

/// `GET /oauth/jwks` (RFC 7517 section 8.5.2)
pub(super) async fn jwks(State(auth): State<Auth>) -> Response {
    ([(CONTENT_TYPE, "application/jwk-set+json"), CACHE_KEYS], Json(auth.jwks(clocks().1))).into_response()
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414 section 3)
pub(super) async fn metadata(State(auth): State<Auth>) -> Response {
    ([CACHE_KEYS], Json(auth.metadata())).into_response()
}

fn refused(status: StatusCode, reason: TokenRefused) -> Response {
    let body = Json(Refusal { error: reason.as_str(), error_description: reason.to_string() });
    let mut response = (status, NO_STORE, body).into_response();
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6749 section 5.2, RFC 7235 section 3.1
        response.headers_mut().insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static(CHALLENGE));
    }
    response
}

const CHALLENGE: &str = "Basic realm=\"sealgate\", charset=\"UTF-8\"";

/// The one place where a refused token becomes a status.
fn status(reason: TokenRefused) -> StatusCode {
    match reason {
        TokenRefused::InvalidClient => StatusCode::UNAUTHORIZED,
        TokenRefused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        // RFC 6585 section 4
        TokenRefused::TooOften => StatusCode::TOO_MANY_REQUESTS,
        TokenRefused::InvalidRequest
        | TokenRefused::InvalidScope
        | TokenRefused::InvalidTarget
        | TokenRefused::UnauthorizedClient
        | TokenRefused::UnsupportedGrantType => StatusCode::BAD_REQUEST,
    }
}

/// RFC 6749 section 4.4.2. A parameter after the media type, as `charset`, changes nothing.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
