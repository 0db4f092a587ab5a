//! The driver: accepts connections, and lets go of whoever takes too long.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::{debug, warn};

use super::{Limits, Peer};
use crate::tls::Identity;

/// The longest head of a request, all lines together; hyper allows no less than 8 KiB.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long to wait when the system has no socket for us: others have to close theirs first, and trying without a pause would be
/// a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from, and whether they speak TLS.
pub struct Socket {
    /// Bound.
    pub listener: TcpListener,
    /// Who this is, over TLS.
    pub identity: Option<Identity>,
}

/// Serves `router` on a socket until `stop`; then takes no new connection, finishes the answers under way, if that takes no
/// longer than the farewell may, and returns.
pub async fn serve(socket: Socket, router: Router, limits: Limits, stop: CancellationToken) {
    let Socket { listener, identity } = socket;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            (stream, peer) = accept(&listener), if connections.len() < limits.connections_max => {
                let (pages, stop) = (Pages { router: router.clone(), peer: Peer(peer) }, stop.clone());
                match identity.clone() {
                    None => connections.spawn(answer(stream, pages, limits, stop)),
                    Some(identity) => connections.spawn(answer_over_tls(stream, identity, pages, limits, stop)),
                };
            }
        }
    }
    drop(listener);
    let mut cut = 0;
    while let Some(ended) = connections.join_next().await {
        cut += usize::from(matches!(ended, Ok(Ended::Cut)));
    }
    if cut > 0 {
        warn!(connections = cut, "HTTP connections did not end in time; they are cut.");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let address = listener.local_addr().ok().map(display);
                warn!(address, %error, "An HTTP connection could not be accepted.");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What is answered on one connection, and who asks there: pages that want to know take it from the request.
struct Pages {
    router: Router,
    peer: Peer,
}

/// How a connection came to its end.
enum Ended {
    ByItself,
    Cut,
}

/// The handshake has as long as the head of a request.
async fn answer_over_tls(
    stream: TcpStream,
    identity: Identity,
    pages: Pages,
    limits: Limits,
    stop: CancellationToken,
) -> Ended {
    match stop.run_until_cancelled(timeout(limits.head_timeout, identity.accept(stream))).await {
        Some(Ok(Ok(stream))) => answer(stream, pages, limits, stop).await,
        Some(Ok(Err(error))) => {
            debug!(%error, "A TLS handshake has failed.");
            Ended::ByItself
        }
        Some(Err(_)) | None => Ended::ByItself,
    }
}

/// One connection, until it ends by itself; or until its life or the door's ends it, after the answer under way.
async fn answer<S>(stream: S, pages: Pages, limits: Limits, stop: CancellationToken) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (router, peer) = (TowerToHyperService::new(pages.router), pages.peer);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(limits.life_max) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = timeout(limits.farewell_timeout, connection).await.ok();
    }
    match ended {
        Some(Ok(())) => Ended::ByItself,
        Some(Err(error)) => {
            debug!(%error, "An HTTP connection ended with an error.");
            Ended::ByItself
        }
        None => Ended::Cut,
    }
}
