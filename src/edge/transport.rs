//! From an accepted socket to a stream of MQTT: behind the header of a proxy, a TLS handshake, both or neither.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connection::serve;
use super::handshake;
use super::listener::House;
use super::metrics::{Refused, TurnedAway};
use super::wire::Wire;
use crate::mqtt::ReasonCode;
use crate::proxy::ProxyProtocol;
use crate::tls::Identity;

/// How long a client that is turned away has for its CONNECT.
const DECLINE_TIMEOUT: Duration = Duration::from_secs(1);

/// What lies between a listener's sockets and MQTT.
#[derive(Clone)]
pub enum Transport {
    /// Nothing.
    Tcp,
    /// TLS.
    Tls(Identity),
}

/// Serves the client of an accepted socket, from its first byte to its last.
pub(super) async fn open(
    mut socket: TcpStream,
    peer: SocketAddr,
    proxy_protocol: ProxyProtocol,
    transport: Transport,
    house: &Arc<House>,
    stop: CancellationToken,
) {
    // Answers are small and awaited: Nagle's algorithm would hold them back.
    let _ = socket.set_nodelay(true);
    let deadline = now() + house.config.connect_timeout;
    let named = Box::pin(named(&mut socket, peer, proxy_protocol, house, deadline));
    let Some(Some(peer)) = stop.run_until_cancelled(named).await else { return };
    let guest = match (house.welcome(peer), &transport) {
        (Ok(guest), _) => guest,
        (Err(why), Transport::Tcp) => return Box::pin(decline(socket, peer, house, why, stop)).await,
        (Err(_), Transport::Tls(_)) => return,
    };
    match transport {
        Transport::Tcp => serve(socket, peer, house, deadline, stop).await,
        // In a box, so that a connection without TLS does not hold room for it.
        Transport::Tls(identity) => Box::pin(open_tls(socket, peer, identity, house, deadline, stop)).await,
    }
    drop(guest);
}

/// Tells a client that is turned away why, if it brings its CONNECT at once and not too many others are told meanwhile.
pub(super) async fn decline(
    socket: TcpStream,
    peer: SocketAddr,
    house: &Arc<House>,
    why: TurnedAway,
    stop: CancellationToken,
) {
    let Some(_permit) = house.declining() else { return };
    let code = match why {
        TurnedAway::Full => ReasonCode::ServerBusy,
        TurnedAway::AddressFull => ReasonCode::QuotaExceeded,
        TurnedAway::AddressRate => ReasonCode::ConnectionRateExceeded,
    };
    let mut wire = Wire::new(socket, &house.config);
    let declined = timeout(DECLINE_TIMEOUT, handshake::decline(&mut wire, peer, house, code));
    if let Some(Ok(())) = stop.run_until_cancelled(declined).await {
        wire.close().await;
    }
}

/// Serves the client of a stream that carries MQTT already, from its first byte to its last.
pub(super) async fn serve_stream<S>(stream: S, peer: SocketAddr, house: &Arc<House>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite,
{
    serve(stream, peer, house, now() + house.config.connect_timeout, stop).await;
}

/// Who the client is, as its proxy says; none: the proxy does not, and the client is turned away.
async fn named(
    socket: &mut TcpStream,
    peer: SocketAddr,
    proxy_protocol: ProxyProtocol,
    house: &Arc<House>,
    deadline: Instant,
) -> Option<SocketAddr> {
    match timeout_at(deadline, proxy_protocol.source(socket, peer)).await {
        Ok(Ok(source)) => Some(source),
        Ok(Err(error)) => {
            house.metrics.refused.inc(Refused::Proxy);
            debug!(proxy = %peer, %error, "A proxy did not say for whom it speaks.");
            None
        }
        Err(_) => {
            house.metrics.refused.inc(Refused::Timeout);
            debug!(proxy = %peer, "A proxy's header took too long.");
            None
        }
    }
}

async fn open_tls(
    socket: TcpStream,
    peer: SocketAddr,
    identity: Identity,
    house: &Arc<House>,
    deadline: Instant,
    stop: CancellationToken,
) {
    let handshake = timeout_at(deadline, identity.accept(socket));
    match stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => serve(stream, peer, house, deadline, stop).await,
        Some(Ok(Err(error))) => {
            house.metrics.refused.inc(Refused::Tls);
            debug!(%peer, %error, "A TLS handshake has failed.");
        }
        Some(Err(_)) => {
            house.metrics.refused.inc(Refused::Timeout);
            debug!(%peer, "A TLS handshake took too long.");
        }
        None => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver")]
fn now() -> Instant {
    Instant::now()
}
