//! The driver: accepts connections, and lets go of whoever takes too long.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant as Deadline, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::{debug, warn};

use super::{Limits, Peer, Wire};
use crate::limit::{Crowd, CrowdBounds, Guest, TooMany};
use crate::metrics::{CountBy, IntGauge, Registry, label};
use crate::proxy::ProxyProtocol;
use crate::tls::Identity;

/// The longest head of a request, all lines together; hyper allows no less than 8 KiB.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long to wait when the system has no socket for us: others have to close theirs first, and trying without a pause would be
/// a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many of those who are refused for their address are told so at a time; the others are closed without a word.
const DECLINED_AT_A_TIME: usize = 64;

/// Who is told so has to ask at once.
const DECLINING: Limits = Limits {
    connections_max: DECLINED_AT_A_TIME,
    head_timeout: Duration::from_secs(1),
    life_max: Duration::from_secs(2),
    farewell_timeout: Duration::from_secs(1),
};

/// Where connections come from, and what lies before their HTTP.
pub struct Socket {
    /// Bound.
    pub listener: TcpListener,
    /// Whether a proxy says who its clients are.
    pub proxy_protocol: ProxyProtocol,
    /// Who this is, over TLS.
    pub identity: Option<Identity>,
}

/// Who may come to a door, whichever of its sockets he comes by. Clones are one.
#[derive(Clone)]
pub struct Guard {
    crowd: Crowd,
    metrics: Metrics,
    declining: Arc<Semaphore>,
}

/// What a door counts of its connections.
#[derive(Clone)]
pub struct Metrics {
    /// Those that are open.
    pub connections: IntGauge,
    /// Those that got no page.
    pub refused: CountBy<Refused>,
}

/// Why a connection got no answer of the door's pages.
#[derive(Clone, Copy, Debug)]
pub enum Refused {
    /// Its proxy's header or its handshake took too long.
    Timeout,
    /// Its proxy did not say who it is.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// As many of its address are open as may be.
    AddressFull,
    /// Its address comes too often.
    AddressRate,
}

label! {
    Refused as "cause":
    Timeout = "timeout",
    Proxy = "proxy",
    Tls = "tls",
    AddressFull = "address_full",
    AddressRate = "address_rate",
}

impl Metrics {
    /// Registers `sealgate_{door}_connections` and `sealgate_{door}_refused_total`.
    pub fn new(registry: &Registry, door: &str) -> Self {
        Metrics {
            connections: registry.gauge(
                &format!("sealgate_{door}_connections"),
                &format!("Open connections of the {door} HTTP listener, those that became a WebSocket apart."),
            ),
            refused: registry.counter_by(
                &format!("sealgate_{door}_refused_total"),
                &format!("Connections of the {door} HTTP listener that got no page."),
            ),
        }
    }
}

impl Guard {
    /// Lets addresses in within `bounds`, and counts whom it does not let in.
    pub fn new(bounds: CrowdBounds, metrics: Metrics) -> Self {
        Guard { crowd: Crowd::new(bounds), metrics, declining: Arc::new(Semaphore::new(DECLINED_AT_A_TIME)) }
    }

    #[expect(clippy::disallowed_methods, reason = "a driver")]
    fn welcome(&self, peer: SocketAddr) -> Option<Guest> {
        let refused = match self.crowd.enter(peer.ip(), Instant::now()) {
            Ok(guest) => return Some(guest),
            Err(TooMany::Open) => Refused::AddressFull,
            Err(TooMany::PerSecond) => Refused::AddressRate,
        };
        self.refuse(refused, peer, &"the address has as many connections as it may, or comes too often");
        None
    }

    fn refuse(&self, refused: Refused, peer: SocketAddr, error: &dyn std::fmt::Display) {
        self.metrics.refused.inc(refused);
        debug!(%peer, %error, "An HTTP connection is refused.");
    }
}

/// Serves `router` on a socket until `stop`; then takes no new connection, finishes the answers under way, if that takes no
/// longer than the farewell may, and returns.
pub async fn serve(socket: Socket, router: Router, limits: Limits, guard: Guard, stop: CancellationToken) {
    let Socket { listener, proxy_protocol, identity } = socket;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => guard.metrics.connections.dec(),
            (stream, peer) = accept(&listener), if connections.len() < limits.connections_max => {
                let visit = Visit { peer, proxy_protocol, identity: identity.clone(), guard: guard.clone() };
                guard.metrics.connections.inc();
                connections.spawn(visit.be_served(stream, router.clone(), limits, stop.clone()));
            }
        }
    }
    drop(listener);
    let mut cut = 0;
    while let Some(ended) = connections.join_next().await {
        guard.metrics.connections.dec();
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
    wire: Wire,
}

/// How a connection came to its end.
enum Ended {
    ByItself,
    Cut,
}

/// A connection before its HTTP.
struct Visit {
    peer: SocketAddr,
    proxy_protocol: ProxyProtocol,
    identity: Option<Identity>,
    guard: Guard,
}

impl Visit {
    /// The proxy's header and the handshake have together as long as the head of a request.
    #[expect(clippy::disallowed_methods, reason = "a driver")]
    async fn be_served(
        mut self,
        mut stream: TcpStream,
        router: Router,
        limits: Limits,
        stop: CancellationToken,
    ) -> Ended {
        let deadline = Deadline::now() + limits.head_timeout;
        let Some(Some(())) = stop.run_until_cancelled(self.learn_who(&mut stream, deadline)).await else {
            return Ended::ByItself;
        };
        let Some(_guest) = self.guard.welcome(self.peer) else { return self.decline(stream, stop).await };
        let wire = if self.identity.is_some() { Wire::Tls } else { Wire::Plain };
        let pages = Pages { router, peer: Peer(self.peer), wire };
        let Some(identity) = self.identity.take() else { return answer(stream, pages, limits, stop).await };
        let handshake = timeout_at(deadline, identity.accept(stream));
        match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => return answer(stream, pages, limits, stop).await,
            Some(Ok(Err(error))) => self.guard.refuse(Refused::Tls, self.peer, &error),
            Some(Err(error)) => self.guard.refuse(Refused::Timeout, self.peer, &error),
            None => {}
        }
        Ended::ByItself
    }

    async fn learn_who(&mut self, stream: &mut TcpStream, deadline: Deadline) -> Option<()> {
        match timeout_at(deadline, self.proxy_protocol.source(stream, self.peer)).await {
            Ok(Ok(source)) => {
                self.peer = source;
                return Some(());
            }
            Ok(Err(error)) => self.guard.refuse(Refused::Proxy, self.peer, &error),
            Err(error) => self.guard.refuse(Refused::Timeout, self.peer, &error),
        }
        None
    }

    /// Says 429 to one request, if that costs no handshake and is not said to too many at a time.
    async fn decline(self, stream: TcpStream, stop: CancellationToken) -> Ended {
        let (None, Ok(_permit)) = (self.identity, self.guard.declining.try_acquire()) else { return Ended::ByItself };
        let too_many = || async {
            (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1"), (CONNECTION, "close")], "too many connections\n")
        };
        let pages = Pages { router: Router::new().fallback(too_many), peer: Peer(self.peer), wire: Wire::Plain };
        answer(stream, pages, DECLINING, stop).await
    }
}

/// One connection, until it ends by itself; or until its life or the door's ends it, after the answer under way.
async fn answer<S>(stream: S, pages: Pages, limits: Limits, stop: CancellationToken) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (router, peer, wire) = (TowerToHyperService::new(pages.router), pages.peer, pages.wire);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(wire);
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
