//! `/api`: the registry and the audit log over HTTP, for operators who show an access token with a role.
//!
//! JSON in and out; what is refused is a problem document (RFC 9457). Lists come page by page, and `next` leads to the page behind. The listener has
//! no TLS, and a token would cross the network in the clear: where it stands open to others than this machine there is no API.

mod access;
mod audit;
mod devices;
mod problem;
mod services;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::auth::Auth;
use crate::seal::Guard;
use crate::store::Store;

/// The longest body of a request.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Rows of a page: without a wish, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// What the API rests on.
#[derive(Clone)]
pub struct Api {
    /// Who the operators are.
    pub auth: Auth,
    /// The registry.
    pub store: Store,
    /// The keys of new devices.
    pub guard: Arc<Guard>,
}

/// Its pages, below `/api`.
pub(super) fn routes(api: Api) -> Router {
    Router::new()
        .route("/devices", get(devices::list).post(devices::add))
        .route("/devices/{id}", get(devices::show).patch(devices::change).delete(devices::remove))
        .route("/devices/{id}/enable", post(devices::enable))
        .route("/devices/{id}/disable", post(devices::disable))
        .route("/services", get(services::list).post(services::add))
        .route("/services/{name}", get(services::show).delete(services::remove))
        .route("/services/{name}/enable", post(services::enable))
        .route("/services/{name}/disable", post(services::disable))
        .route("/audit", get(audit::list))
        .fallback(problem::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}

/// How many rows somebody wishes for.
fn page_of(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
}
