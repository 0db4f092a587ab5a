//! HTTP on a socket, within bounds: what `public` and `admin` have in common, and nothing of what either of them says.
//!
//! `axum::serve` takes any number of connections and waits for ever for a request that comes byte by byte or for a client that
//! does not take its answer; none of that can be set there, so the loop is written out over hyper. Which pages there are, who may
//! ask for them and what is counted is the affair of the door that has them: it gives a router, its [`Limits`] and the moment to
//! stop.

mod driver;

pub use driver::{Guard, Metrics, Refused, Socket, serve};

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

/// The bounds of a door's connections. At the first the next client waits, in the kernel's queue, until a connection ends; at
/// the others the connection ends.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// From the first moment of a connection, or the end of the request before, to the end of a request's head. So it is also
    /// how long a connection may rest.
    pub head_timeout: Duration,
    /// From a connection's first moment to its end, idle or not. Without it, a client that takes no answer holds its connection
    /// for ever.
    pub life_max: Duration,
    /// What an answer under way has left when the life of its connection ends, or the door's.
    pub farewell_timeout: Duration,
}

/// From where a request came: an extension of each.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What a request came over: an extension of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// TLS that ends here.
    Tls,
    /// None of ours.
    Plain,
}

/// Answers 408 where a page takes longer than `limit` from the end of the request's head, its body included.
///
/// Apart from [`serve`], and given to the router: a door that counts its answers counts this one too if it adds that layer after.
pub fn in_time(router: Router, limit: Duration) -> Router {
    router.layer(from_fn_with_state(limit, cut_off))
}

async fn cut_off(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

#[cfg(test)]
mod tests;
