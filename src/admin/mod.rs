//! Door 2, for operators: what the gateway counts, over HTTP.
//!
//! `GET /metrics` is the exposition text of the whole house, `GET /live` says that the process answers. The figures belong to
//! the areas that count them; here they are only handed out. Nobody logs in at this door, so it listens on loopback, unless the
//! operator has said otherwise; devices and services never come here, theirs are `edge` and `public`.

pub mod config;
mod metrics;
mod serve;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

pub use config::Config;
pub use metrics::build_info;
pub use serve::serve;

use crate::metrics::Registry;

/// Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The pages of this door; anything else is 404. Says so, in the log and as a gauge, if it stands open without TLS.
pub fn router(config: &Config, registry: Registry) -> Router {
    if config.is_exposed() {
        tracing::warn!(address = %config.listen, "The admin HTTP listener has no TLS and no login: others can read the metrics.");
    }
    metrics::plaintext(&registry, config.is_exposed());
    Router::new().route("/metrics", get(exposition)).route("/live", get(live)).with_state(registry)
}

async fn exposition(State(registry): State<Registry>) -> impl IntoResponse {
    ([(CONTENT_TYPE, EXPOSITION)], registry.render())
}

async fn live() -> &'static str {
    "live\n"
}
