//! Sockets of the public listener: takes connections, and lets go of whoever takes too long.
//!
//! Anybody may connect here, so each step has a bound: connections at a time, bytes and time of a header, time of a
//! request with its body, life of a connection. At the first bound the next client waits in the kernel's queue until
//! a connection ends; at the others the connection is closed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Serves until `shutdown`; then takes no new connection, answers the requests at hand, and returns.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    serve_within(listener, router, shutdown, Limits::default()).await;
}

/// The wall clock, in Unix ms.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The bounds of connections.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time.
    connections_max: usize,
    /// From the first moment of a connection, or the end of the request before, to the end of a header.
    header_timeout: Duration,
    /// From a connection's first moment to its end, idle or not. Without it, a client that reads no answer holds its
    /// connection for ever.
    life_max: Duration,
    /// What a connection has left when its life ends, or the gateway's.
    farewell_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 1024,
            header_timeout: Duration::from_secs(10),
            life_max: Duration::from_secs(120),
            farewell_timeout: Duration::from_secs(5),
        }
    }
}

/// The longest header of a request, all lines together.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// How long to wait when the system has no socket for us: others have to close theirs first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn serve_within(listener: TcpListener, router: Router, shutdown: CancellationToken, limits: Limits) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    while let Some((stream, slot)) = shutdown.run_until_cancelled(accept(&listener, &slots)).await {
        let connection = Connection { stream, slot, router: router.clone(), limits, shutdown: shutdown.clone() };
        connections.spawn(connection.drive());
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => tracing::warn!(%error, "A connection to the public listener was not accepted."),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

struct Connection {
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
}

impl Connection {
    async fn drive(self) {
        let Connection { stream, slot, router, limits, shutdown } = self;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = shutdown.cancelled() => None,
            () = tokio::time::sleep(limits.life_max) => None,
        };
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            // An answer that is not taken by then is given up.
            let _ = tokio::time::timeout(limits.farewell_timeout, connection).await;
        }
        drop(slot);
    }
}

#[cfg(test)]
mod tests;
