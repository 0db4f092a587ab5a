//! Door 2, for operators: what the gateway counts, over HTTP.
//!
//! `GET /metrics` is the exposition text of the whole house, `GET /live` says that the process answers. The figures belong to
//! the areas that count them; here they are only handed out. Nobody logs in at this door, so it listens on loopback, unless the
//! operator has said otherwise; devices and services never come here, theirs are `edge` and `public`.

pub mod config;
mod metrics;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use config::Config;

use crate::http::{self, Limits};
use crate::limit::CrowdBounds;
use crate::metrics::Registry;
use crate::proxy::ProxyProtocol;
use crate::setting::is_exposed;

/// A few operators and scrapers, each of which asks every few seconds and keeps its connection.
const LIMITS: Limits = Limits {
    connections_max: 64,
    head_timeout: Duration::from_secs(30),
    // Those who do not read must not keep those who would.
    life_max: Duration::from_secs(60),
    farewell_timeout: Duration::from_secs(1),
};

/// From the end of a request's head to its answer: as long as Prometheus waits if nobody tells it otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The door, bound and not open yet.
pub struct Door {
    listener: TcpListener,
    router: Router,
    guard: http::Guard,
}

impl Door {
    /// Takes over a bound socket. Says so, in the log and as a gauge, if it stands open without TLS.
    pub fn new(listener: TcpListener, config: &Config, registry: Registry) -> Self {
        if is_exposed(config.listen) {
            warn!(address = %config.listen, "The admin HTTP listener has no TLS and no login: others can read the metrics.");
        }
        metrics::plaintext(&registry, is_exposed(config.listen));
        metrics::build_info(&registry);
        // Those who may come here at all come from few addresses; the bound on all of them is enough.
        let guard = http::Guard::new(CrowdBounds::NONE, http::Metrics::new(&registry, "admin"));
        Door { listener, router: http::in_time(router(registry), REQUEST_TIMEOUT), guard }
    }

    /// Answers until `stop`, and returns when the answers under way are given.
    pub async fn serve(self, stop: CancellationToken) {
        let socket = http::Socket { listener: self.listener, proxy_protocol: ProxyProtocol::Off, identity: None };
        http::serve(socket, self.router, LIMITS, self.guard, stop).await;
    }
}

/// The pages of this door; anything else is 404.
fn router(registry: Registry) -> Router {
    Router::new().route("/metrics", get(exposition)).route("/live", get(live)).with_state(registry)
}

async fn exposition(State(registry): State<Registry>) -> impl IntoResponse {
    ([(CONTENT_TYPE, EXPOSITION)], registry.render())
}

async fn live() -> &'static str {
    "live\n"
}
