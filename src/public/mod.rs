//! The public HTTP listener: whatever a device or a service needs of us that is not MQTT.
//!
//! Now that is the issuer of access tokens, a thin layer of HTTP around [`auth`](crate::auth). Nothing of the
//! operator's is here: metrics and management have a listener of their own, in `admin`.

mod config;
mod driver;
mod metrics;
mod oauth;

pub use config::Config;
pub use driver::serve;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::auth::{Auth, JWKS_PATH, METADATA_PATH, TOKEN_PATH};
use crate::metrics::Registry;
use metrics::{Class, Metrics};

/// The longest body of a request.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// From the end of a request's header to its answer, the body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The routes of the public listener. Says so, in the log and as a gauge, if they stand open without TLS.
pub fn router(auth: Auth, config: &Config, registry: &Registry) -> Router {
    let metrics = Metrics::new(registry);
    if config.is_exposed() {
        tracing::warn!(address = %config.listen, "The public HTTP listener has no TLS: secrets and tokens pass in the clear.");
    }
    metrics.plaintext.set(i64::from(config.is_exposed()));
    routes(auth.issuer().path())
        .with_state(auth)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(REQUEST_TIMEOUT, in_time))
        .layer(from_fn_with_state(metrics, counted))
}

/// The issuer's routes. If its identifier has a path, a proxy in front may take that off or leave it, so the
/// endpoints are found both ways; the metadata lie where RFC 8414 section 3.1 puts them, with the path at the end.
fn routes(path: &str) -> Router<Auth> {
    let endpoints = || Router::new().route(TOKEN_PATH, post(oauth::token)).route(JWKS_PATH, get(oauth::jwks));
    let root = endpoints().route(&format!("{METADATA_PATH}{path}"), get(oauth::metadata));
    if path.is_empty() { root } else { root.nest(path, endpoints()) }
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

async fn counted(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    metrics.answers.inc(Class::of(answer.status()));
    answer
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_client_that_never_ends_its_body_is_told_so() {
        let limit = Duration::from_millis(100);
        let router = Router::new().route("/", post(|_: Bytes| async {})).layer(from_fn_with_state(limit, in_time));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1234").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}
