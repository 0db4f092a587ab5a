//! The drivers that accept, one for each bound socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
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

/// Bound sockets that do not accept yet. What they let in counts against common bounds.
pub struct Listener {
    sockets: Vec<Socket>,
    house: Arc<House>,
    slots: Arc<Semaphore>,
}

/// One socket that accepts.
struct Accepting {
    socket: Socket,
    house: Arc<House>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
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
        Listener { sockets, house: Arc::new(house), slots }
    }

    /// Accepts until `stop`, then waits until each connection has given its last answers.
    pub async fn run(self, stop: CancellationToken) {
        let Listener { sockets, house, slots } = self;
        let (accepting, connections) = (TaskTracker::new(), TaskTracker::new());
        for socket in sockets {
            let (house, slots, connections, stop) = (house.clone(), slots.clone(), connections.clone(), stop.clone());
            accepting.spawn(Accepting { socket, house, slots, connections, stop }.run());
        }
        // The house goes when the last connection does, and with it the way to the writer.
        drop(house);
        accepting.close();
        accepting.wait().await;
        connections.close();
        connections.wait().await;
    }
}

impl Accepting {
    /// Ends with the socket closed, so that nobody waits in vain in the backlog of a door that is.
    async fn run(self) {
        while let Some(accepted) = self.stop.run_until_cancelled(self.socket.listener.accept()).await {
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) => self.pause(&error).await,
            }
        }
    }

    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return self.house.metrics.turned_away.inc();
        };
        self.house.metrics.accepted.inc();
        let (house, stop) = (self.house.clone(), self.stop.clone());
        let (transport, proxy_protocol) = (self.socket.transport.clone(), self.socket.proxy_protocol);
        self.connections.spawn(async move {
            let open = Open::count(&house.metrics);
            transport::open(socket, peer, proxy_protocol, transport, &house, stop).await;
            drop((open, slot));
        });
    }

    async fn pause(&self, error: &io::Error) {
        warn!(%error, "A connection could not be accepted.");
        tokio::time::sleep(ACCEPT_PAUSE).await;
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
