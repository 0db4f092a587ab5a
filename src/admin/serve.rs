//! The driver of this door: accepts HTTP connections, within bounds, until it is told to end.
//!
//! `axum::serve` would take any number of connections and wait for ever for a request that comes byte by byte; neither can be
//! set there, so the loop is written out over hyper. Which pages there are is the router's affair.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The bounds of this door.
#[derive(Clone, Copy)]
struct Limits {
    /// Connections at one time. The next one waits in the listener's backlog until one of them ends.
    connections_max: usize,
    /// How long a request's head may take, and so how long a connection may rest between two requests.
    head_timeout: Duration,
    /// The longest request head; hyper allows no less than 8 KiB.
    head_bytes_max: usize,
    /// How long answers under way may take once the door closes.
    closing_timeout: Duration,
}

/// A few operators and scrapers, each of which asks every few seconds.
const LIMITS: Limits = Limits {
    connections_max: 64,
    head_timeout: Duration::from_secs(30),
    head_bytes_max: 16 * 1024,
    closing_timeout: Duration::from_secs(1),
};

/// Without a pause, accepting while the process is out of file descriptors would be a busy loop.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `closing`. Answers under way are finished then, if that takes no longer than a second.
pub async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) {
    serve_within(LIMITS, listener, router, closing).await;
}

async fn serve_within(limits: Limits, listener: TcpListener, router: Router, closing: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = closing.cancelled() => break,
            Some(_) = connections.join_next() => {}
            stream = accept(&listener), if connections.len() < limits.connections_max => {
                connections.spawn(answer(stream, router.clone(), limits, closing.clone()));
            }
        }
    }
    drop(listener);
    let closed = timeout(limits.closing_timeout, async { while connections.join_next().await.is_some() {} }).await;
    if closed.is_err() {
        warn!(connections = connections.len(), "Admin connections did not end in time; they are cut.");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "An admin connection cannot be accepted.");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// One connection, until it ends by itself or `closing` ends it after the answer under way.
async fn answer(stream: TcpStream, router: Router, limits: Limits, closing: CancellationToken) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(limits.head_bytes_max)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "An admin connection ended with an error.");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    async fn door(limits: Limits) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let router = Router::new().route("/live", get(async || "live\n"));
        let serving = tokio::spawn(serve_within(limits, listener, router, closing.clone()));
        (address, closing, serving)
    }

    /// A connection that has had one answer and rests.
    async fn resting(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 256]).await.unwrap() > 0);
        stream
    }

    async fn ask(stream: &mut TcpStream, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    const LAST_REQUEST: &str = "GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_page_is_answered_and_another_is_not_found() {
        let (address, _closing, _serving) = door(LIMITS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream, LAST_REQUEST).await.starts_with("HTTP/1.1 200 OK"));
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream, &LAST_REQUEST.replace("live", "other")).await.starts_with("HTTP/1.1 404 Not Found"));
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_wait_until_one_ends() {
        let (address, _closing, _serving) = door(Limits { connections_max: 2, ..LIMITS }).await;
        let held = [resting(address).await, resting(address).await];
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(LAST_REQUEST.as_bytes()).await.unwrap();
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(50), next.read(&mut byte)).await.is_err());
        drop(held);
        assert_eq!(next.read(&mut byte).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_door_closes_though_a_connection_rests() {
        let (address, closing, serving) = door(Limits { closing_timeout: Duration::from_secs(3600), ..LIMITS }).await;
        let _stream = resting(address).await;
        closing.cancel();
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_head_that_comes_byte_by_byte_is_cut_off() {
        let (address, _closing, _serving) = door(Limits { head_timeout: Duration::from_millis(100), ..LIMITS }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nx: ").await.unwrap();
        let trickle = async {
            while stream.write_all(b"a").await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), trickle).await.expect("the gateway cuts it off");
    }

    #[tokio::test]
    async fn a_connection_that_rests_too_long_is_closed() {
        let (address, _closing, _serving) = door(Limits { head_timeout: Duration::from_millis(50), ..LIMITS }).await;
        let mut stream = resting(address).await;
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
