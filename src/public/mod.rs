//! The public HTTP listener: whatever a device or a service needs of us that is not MQTT.
//!
//! Now that is the issuer of access tokens, a thin layer of HTTP around [`auth`](crate::auth); what other brokers ask
//! about their clients, which is that too; and the way in for MQTT in a WebSocket, whose stream goes to
//! [`edge`](crate::edge). Nothing of the operator's is here: metrics and management have a listener of their own, in
//! `admin`.

mod config;
mod enrol;
mod hooks;
mod metrics;
mod oauth;
mod websocket;

pub use config::Config;
pub use hooks::{Config as HooksConfig, SecretError, Secrets};

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::{Auth, INTROSPECTION_PATH, JWKS_PATH, METADATA_PATH, REVOCATION_PATH, TOKEN_PATH};
use crate::edge::Entrance;
use crate::http::{self, Guard, Limits, Socket};
use crate::limit::CrowdBounds;
use crate::metrics::Registry;
use crate::seal::Guard as SealGuard;
use crate::setting::is_exposed;
use metrics::{Class, Metrics};

/// The longest body of a request.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// From the end of a request's head to its answer, the body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where MQTT is spoken in a WebSocket.
const MQTT_PATH: &str = "/mqtt";

/// The door, bound and not open yet.
pub struct Door {
    sockets: Vec<Socket>,
    pages: Router,
    metrics: Metrics,
    limits: Limits,
    guard: Guard,
}

impl Door {
    /// Takes over bound sockets. Says so, in the log and as a gauge, if one stands open without TLS.
    pub fn new(sockets: Vec<Socket>, auth: Auth, config: &Config, registry: &Registry) -> Self {
        let metrics = Metrics::new(registry);
        if is_exposed(config.listen) {
            tracing::warn!(address = %config.listen, "The public HTTP listener has no TLS: secrets and tokens pass in the clear.");
        }
        metrics.plaintext.set(i64::from(is_exposed(config.listen)));
        let pages = routes(auth.issuer().path()).with_state(auth).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        let bounds = CrowdBounds {
            open_max: config.connections_per_address_max,
            per_second_max: config.connection_rate_per_address_max,
        };
        let guard = Guard::new(bounds, http::Metrics::new(registry, "public"));
        Door { sockets, pages, metrics, limits: limits(config), guard }
    }

    /// Lets MQTT in, in a WebSocket.
    #[must_use]
    pub fn with_mqtt(self, entrance: Entrance) -> Self {
        let mqtt = Router::new().route(MQTT_PATH, get(websocket::upgrade)).with_state(entrance);
        Door { pages: self.pages.merge(mqtt), ..self }
    }

    /// Hands seal keys out to the devices whose they are.
    #[must_use]
    pub fn with_seal_keys(self, auth: Auth, guard: Arc<SealGuard>, config: &Config) -> Self {
        let enrolment = enrol::Enrolment { auth, guard, is_exposed: is_exposed(config.listen) };
        let enrol = Router::new().route(enrol::PATH, get(enrol::seal_key)).with_state(enrolment);
        Door { pages: self.pages.merge(enrol), ..self }
    }

    /// Answers other brokers that show one of `secrets`; without any there are no such pages.
    #[must_use]
    pub fn with_hooks(self, auth: Auth, secrets: Option<Secrets>, config: &HooksConfig, registry: &Registry) -> Self {
        let hooks = hooks::routes(auth, secrets, config, registry).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        Door { pages: self.pages.merge(hooks), ..self }
    }

    /// Answers until `stop`, and returns when the answers under way are given.
    pub async fn serve(self, stop: CancellationToken) {
        // What comes too late is counted as what comes in time.
        let router = http::in_time(self.pages, REQUEST_TIMEOUT).layer(from_fn_with_state(self.metrics, counted));
        let mut serving = JoinSet::new();
        for socket in self.sockets {
            serving.spawn(http::serve(socket, router.clone(), self.limits, self.guard.clone(), stop.clone()));
        }
        serving.join_all().await;
    }
}

/// Anybody may connect here, and comes once an hour for a token.
fn limits(config: &Config) -> Limits {
    Limits {
        connections_max: config.connections_max,
        head_timeout: Duration::from_secs(10),
        life_max: Duration::from_secs(120),
        farewell_timeout: Duration::from_secs(1),
    }
}

/// The issuer's routes. If its identifier has a path, a proxy in front may take that off or leave it, so the
/// endpoints are found both ways; the metadata lie where RFC 8414 section 3.1 puts them, with the path at the end.
fn routes(path: &str) -> Router<Auth> {
    let endpoints = || {
        Router::new()
            .route(TOKEN_PATH, post(oauth::token))
            .route(INTROSPECTION_PATH, post(oauth::introspect))
            .route(REVOCATION_PATH, post(oauth::revoke))
            .route(JWKS_PATH, get(oauth::jwks))
    };
    let root = endpoints().route(&format!("{METADATA_PATH}{path}"), get(oauth::metadata));
    if path.is_empty() { root } else { root.nest(path, endpoints()) }
}

async fn counted(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    metrics.answers.inc(Class::of(answer.status()));
    answer
}

/// Both clocks; that of the wall in Unix ms.
#[expect(clippy::disallowed_methods, reason = "a request is answered at the time at which it came")]
fn clocks() -> (Instant, i64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
