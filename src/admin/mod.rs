//! Door 2, for operators: what the gateway counts, over HTTP.
//!
//! `GET /metrics` is the exposition text of the whole house, `GET /live` says that the process answers, `GET /ready` whether it can do
//! its work, and which part cannot; `/log/level` is what is logged; `/api` is the registry, for operators who show a token. The figures belong to
//! the areas that count them; here they are only handed out. Nobody logs in for those, so the door is on loopback, unless the operator has said
//! otherwise, and then nothing can be changed at it; devices never come here, theirs are `edge` and `public`.

mod api;
pub mod config;
mod metrics;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use api::Api;
pub use config::Config;

use crate::http::{self, Limits};
use crate::limit::CrowdBounds;
use crate::metrics::Registry;
use crate::proxy::ProxyProtocol;
use crate::ready::Ready;
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

/// A level's name is short.
const LEVEL_BYTES_MAX: usize = 16;

/// The door, bound and not open yet.
pub struct Door {
    listener: TcpListener,
    pages: Pages,
    api: Option<Api>,
    guard: http::Guard,
}

/// What the log's level is, and how it is changed.
#[derive(Clone, Copy)]
pub struct LogLevel {
    /// Its name.
    pub get: fn() -> &'static str,
    /// Sets it; false: there is no such level.
    pub set: fn(&str) -> bool,
}

/// What the pages of this door need.
#[derive(Clone)]
struct Pages {
    registry: Registry,
    ready: Ready,
    level: Option<LogLevel>,
    /// Whether others than this machine's own users can come here.
    is_exposed: bool,
    /// Names that are ours besides this machine's own.
    hosts: Arc<[String]>,
}

impl Door {
    /// Takes over a bound socket. Says so, in the log and as a gauge, if it stands open without TLS.
    pub fn new(listener: TcpListener, config: &Config, registry: Registry, ready: Ready) -> Self {
        let is_exposed = is_exposed(config.listen);
        if is_exposed {
            warn!(address = %config.listen, "The admin HTTP listener has no TLS and no login: others can read the metrics.");
        }
        let hosts = config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        metrics::plaintext(&registry, is_exposed);
        metrics::build_info(&registry);
        // Those who may come here at all come from few addresses; the bound on all of them is enough.
        let guard = http::Guard::new(CrowdBounds::NONE, http::Metrics::new(&registry, "admin"));
        Door { listener, pages: Pages { registry, ready, level: None, is_exposed, hosts }, api: None, guard }
    }

    /// Lets operators change the level of the log.
    pub fn with_log_level(mut self, level: LogLevel) -> Self {
        self.pages.level = Some(level);
        self
    }

    /// Lets operators look at the registry and change it, who show a token; not where others could read that on its way.
    pub fn with_api(self, api: Api) -> Self {
        Door { api: Some(api), ..self }
    }

    /// Answers until `stop`, and returns when the answers under way are given.
    pub async fn serve(self, stop: CancellationToken) {
        let socket = http::Socket { listener: self.listener, proxy_protocol: ProxyProtocol::Off, identity: None };
        let api = self.api.filter(|_| !self.pages.is_exposed).map(api::routes);
        let api = api.map(|api| api.layer(from_fn_with_state(self.pages.hosts.clone(), no_page)));
        let pages = router(self.pages);
        let pages = match api {
            Some(api) => pages.nest("/api", api),
            None => pages,
        };
        let router = http::in_time(pages, REQUEST_TIMEOUT);
        http::serve(socket, router, LIMITS, self.guard, stop).await;
    }
}

/// The pages of this door; anything else is 404.
fn router(pages: Pages) -> Router {
    Router::new()
        .route("/metrics", get(exposition))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/log/level", get(level).put(set_level).layer(DefaultBodyLimit::max(LEVEL_BYTES_MAX)))
        .with_state(pages)
}

async fn exposition(State(pages): State<Pages>) -> impl IntoResponse {
    ([(CONTENT_TYPE, EXPOSITION)], pages.registry.render())
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    let missing = pages.ready.missing();
    match missing.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))),
    }
}

async fn level(State(pages): State<Pages>) -> (StatusCode, String) {
    match pages.level {
        Some(level) => (StatusCode::OK, format!("{}\n", (level.get)())),
        None => (StatusCode::NOT_FOUND, String::new()),
    }
}

/// Whoever is let in here without a login may look, and only this machine's own users may change something.
async fn set_level(State(pages): State<Pages>, headers: HeaderMap, wanted: String) -> (StatusCode, String) {
    let Some(level) = pages.level else { return (StatusCode::NOT_FOUND, String::new()) };
    if pages.is_exposed {
        let why = "the admin listener is not on loopback: the level is not changed here\n";
        return (StatusCode::FORBIDDEN, why.to_owned());
    }
    if is_from_a_page(&headers, &pages.hosts) {
        return (StatusCode::FORBIDDEN, "a page in a browser changes nothing here\n".to_owned());
    }
    let (before, wanted) = ((level.get)(), wanted.trim());
    if !(level.set)(wanted) {
        return (StatusCode::BAD_REQUEST, "the levels are error, warn, info, debug and trace\n".to_owned());
    }
    // As an error, so that it is written whichever way the level went.
    error!(before, now = wanted, "The level of the log was changed.");
    (StatusCode::OK, format!("{wanted}\n"))
}

/// A browser says where a page that changes something comes from; and one that was led here by a name that its owner lets point to this
/// machine names that name (<https://en.wikipedia.org/wiki/DNS_rebinding>).
fn is_from_a_page(headers: &HeaderMap, hosts: &[String]) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let is_own = name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_own = is_own || hosts.contains(&name.to_ascii_lowercase());
    headers.contains_key(ORIGIN) || !is_own
}

/// Nothing of the API is for a page in a browser, whichever name has led it here.
async fn no_page(State(hosts): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    match is_from_a_page(request.headers(), &hosts) {
        true => (StatusCode::FORBIDDEN, "a page in a browser has no business here\n").into_response(),
        false => next.run(request).await,
    }
}

async fn live() -> &'static str {
    "live\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_its_origin_and_by_a_name_that_is_not_ours() {
        let of = |host: &'static str| HeaderMap::from_iter([(HOST, host.parse().expect("it is a header"))]);
        for own in ["127.0.0.1:8081", "127.0.0.1", "localhost:8081", "[::1]:8081", "[::1]"] {
            assert!(!is_from_a_page(&of(own), &[]), "{own}");
        }
        for other in ["evil.example:8081", "evil.example", "localhost.evil.example", ""] {
            assert!(is_from_a_page(&of(other), &[]), "{other}");
        }
        let mut headers = of("127.0.0.1:8081");
        headers.insert(ORIGIN, "http://127.0.0.1:8081".parse().expect("it is a header"));
        assert!(is_from_a_page(&headers, &[]));
        assert!(is_from_a_page(&HeaderMap::new(), &[]));
        let named = ["ops.example".to_owned()];
        assert!(!is_from_a_page(&of("OPS.example:443"), &named) && is_from_a_page(&of("evil.example"), &named));
    }
}
