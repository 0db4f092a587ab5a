//! The drivers that accept, one for each bound socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::transport::{self, Transport};
use super::{Config, Metrics, ProxyProtocol};
use crate::auth::Auth;
use crate::broker::Broker;
use crate::metrics::IntGauge;
use crate::setting::is_exposed;

/// After a failed accept (no file descriptors left, as a rule) the next try waits this long instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs of the house behind the door.
pub struct House {
    /// The door's own settings.
    pub config: Config,
    /// Judges tokens.
    pub auth: Auth,
    /// Holds sessions, and takes what they bring.
    pub broker: Broker,
    /// What the door counts.
    pub metrics: Metrics,
}

/// A bound socket, and what its clients speak below MQTT.
pub struct Socket {
    /// Bound, and not accepting yet.
    pub listener: TcpListener,
    /// What lies between.
    pub transport: Transport,
    /// Whether a proxy says who its clients are.
    pub proxy_protocol: ProxyProtocol,
}

/// Bound sockets that do not accept yet, and the way in behind them.
pub struct Listener {
    sockets: Vec<Socket>,
    entrance: Entrance,
}

/// The way in, for a stream that somebody has accepted; all clients count against common bounds, whichever way they came. Clones
/// lead to the same house.
#[derive(Clone)]
pub struct Entrance {
    house: Arc<House>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    closing: CancellationToken,
}

/// A place for one client. Dropped, it is another's.
pub struct Place {
    entrance: Entrance,
    slot: OwnedSemaphorePermit,
}

impl Listener {
    /// Takes over bound sockets. Says so, in the log and as a gauge, if one stands open without TLS.
    pub fn new(sockets: Vec<Socket>, house: House) -> Self {
        let exposed = is_exposed(house.config.listen);
        if exposed {
            warn!(address = %house.config.listen, "The MQTT listener has no TLS: tokens and readings pass in the clear.");
        }
        house.metrics.plaintext.set(i64::from(exposed));
        let slots = Arc::new(Semaphore::new(house.config.connections_max.min(Semaphore::MAX_PERMITS)));
        let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
        Listener { sockets, entrance: Entrance { house: Arc::new(house), slots, connections, closing } }
    }

    /// The way in for clients of another listener.
    pub fn entrance(&self) -> Entrance {
        self.entrance.clone()
    }

    /// Accepts until `stop`, then waits until each connection has given its last answers.
    pub async fn run(self, stop: CancellationToken) {
        let Listener { sockets, entrance } = self;
        let accepting = TaskTracker::new();
        for socket in sockets {
            accepting.spawn(accept(socket, entrance.clone(), stop.clone()));
        }
        accepting.close();
        accepting.wait().await;
        let Entrance { connections, closing, .. } = entrance;
        closing.cancel();
        connections.close();
        connections.wait().await;
    }
}

/// Ends with the socket closed, so that nobody waits in vain in the backlog of a door that is.
async fn accept(Socket { listener, transport, proxy_protocol }: Socket, entrance: Entrance, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, peer)) => {
                let Some(place) = entrance.reserve() else { continue };
                let transport = transport.clone();
                place.spawn(move |house, closing| async move {
                    transport::open(socket, peer, proxy_protocol, transport, &house, closing).await;
                });
            }
            Err(error) => {
                warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Entrance {
    /// A place, or none: as many clients are connected as may be.
    pub fn reserve(&self) -> Option<Place> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            self.house.metrics.turned_away.inc();
            return None;
        };
        self.house.metrics.accepted.inc();
        Some(Place { entrance: self.clone(), slot })
    }

    /// The largest packet that is taken.
    pub fn packet_bytes_max(&self) -> u32 {
        self.house.config.packet_bytes_max
    }
}

impl Place {
    /// Serves a client whose stream is open already, in a task of its own.
    pub fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static, peer: SocketAddr) {
        self.spawn(move |house, closing| async move {
            transport::serve_stream(stream, peer, &house, closing).await;
        });
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(self, client: impl FnOnce(Arc<House>, CancellationToken) -> F) {
        let Place { entrance: Entrance { house, connections, closing, .. }, slot } = self;
        let open = Open::count(&house.metrics);
        // In a box, since the task below would hold room for it twice: as what it was given and as what it awaits.
        let served = Box::pin(client(house, closing));
        connections.spawn(async move {
            served.await;
            drop((open, slot));
        });
    }
}

/// A connection in the gauge; it goes from there however its task ends.
struct Open(IntGauge);

impl Open {
    fn count(metrics: &Metrics) -> Self {
        metrics.connections.inc();
        Open(metrics.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
