//! `GET /enrol/seal-key?version=N`: a device fetches its own seal key, with its access token (RFC 6750), so that it can be given another without
//! anybody's hand.
//!
//! A key crosses no network in the clear: without TLS the address answers on a loopback listener alone, whatever else the operator has accepted.

use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

use super::{REQUEST_TIMEOUT, clocks};
use crate::auth::{Asker, Auth, LoginRefused, Principal, Refused};
use crate::http::{Peer, Wire};
use crate::seal::{Guard, HandOutError};

/// Where it is.
pub(super) const PATH: &str = "/enrol/seal-key";

/// What it needs.
#[derive(Clone)]
pub(super) struct Enrolment {
    pub(super) auth: Auth,
    pub(super) guard: Arc<Guard>,
    /// Whether the listener without TLS stands open to others than this machine.
    pub(super) is_exposed: bool,
}

#[derive(Deserialize)]
pub(super) struct Wish {
    version: Option<u8>,
}

#[derive(Serialize)]
struct Answer<'a> {
    device_id: &'a str,
    key_version: u8,
    seal_key: &'a str,
}

/// Hands the key out.
pub(super) async fn seal_key(
    State(Enrolment { auth, guard, is_exposed }): State<Enrolment>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(wire): Extension<Wire>,
    wish: Result<Query<Wish>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    if wire == Wire::Plain && is_exposed {
        return refused(StatusCode::FORBIDDEN, "a seal key is handed out over TLS alone");
    }
    let Ok(Query(Wish { version })) = wish else { return refused(StatusCode::BAD_REQUEST, "version is 1 to 255") };
    let (now, now_ms) = clocks();
    let token = bearer(&headers).unwrap_or_default();
    let grant = match auth.bearer(token, Asker { from: peer.ip(), now }, now_ms).await {
        Ok(grant) => grant,
        Err(Refused { reason: LoginRefused::StoreUnavailable | LoginRefused::IssuerUnavailable, .. }) => {
            return unavailable();
        }
        Err(Refused { pause, .. }) => {
            tokio::time::sleep(pause.min(REQUEST_TIMEOUT / 2)).await;
            return unauthorized();
        }
    };
    let Principal::Device(id) = grant.principal() else {
        return refused(StatusCode::FORBIDDEN, "the token is no device's");
    };
    match guard.hand_out(id, version, &peer.ip().to_canonical().to_string(), now_ms).await {
        Ok(handed) => {
            let seal_key = Zeroizing::new(hex::encode(handed.key.as_bytes()));
            let answer = Answer { device_id: id, key_version: handed.version, seal_key: &seal_key };
            ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(HandOutError::NoDevice) => refused(StatusCode::FORBIDDEN, "the device is not registered, or disabled"),
        Err(HandOutError::NoVersion) => {
            refused(StatusCode::NOT_FOUND, "there is no key of that version for this device")
        }
        Err(HandOutError::Store(error)) => {
            tracing::error!(%error, "A seal key cannot be handed out.");
            unavailable()
        }
    }
}

/// RFC 6750 section 2.1
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(serde_json::json!({ "error": why }))).into_response()
}

/// RFC 6750 section 3
fn unauthorized() -> Response {
    let mut response = refused(StatusCode::UNAUTHORIZED, "the token is not good");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
    response
}

fn unavailable() -> Response {
    refused(StatusCode::SERVICE_UNAVAILABLE, "come again later")
}
