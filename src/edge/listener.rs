//! The driver that accepts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{Config, Metrics, connection};
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

/// A bound listener that does not accept yet.
pub struct Listener {
    socket: TcpListener,
    house: Arc<House>,
    slots: Arc<Semaphore>,
}

impl Listener {
    /// Takes over a bound socket. Says so, in the log and as a gauge, if it stands open without TLS.
    pub fn new(socket: TcpListener, house: House) -> Self {
        let exposed = is_exposed(house.config.listen);
        if exposed {
            warn!(address = %house.config.listen, "The MQTT listener has no TLS: tokens and readings pass in the clear.");
        }
        house.metrics.plaintext.set(i64::from(exposed));
        let slots = Arc::new(Semaphore::new(house.config.connections_max.min(Semaphore::MAX_PERMITS)));
        Listener { socket, house: Arc::new(house), slots }
    }

    /// Accepts until `stop`, then waits until each connection has given its last answers.
    pub async fn run(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(self.socket.accept()).await {
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer, &connections, &stop),
                Err(error) => self.pause(&error).await,
            }
        }
        let Listener { socket, house: _house, .. } = self;
        // Before the wait, so that nobody waits in vain in the backlog of a door that is closed.
        drop(socket);
        connections.close();
        connections.wait().await;
    }

    fn admit(&self, socket: TcpStream, peer: SocketAddr, connections: &TaskTracker, stop: &CancellationToken) {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return self.house.metrics.turned_away.inc();
        };
        self.house.metrics.accepted.inc();
        let (house, stop) = (self.house.clone(), stop.clone());
        connections.spawn(async move {
            let open = Open::count(&house.metrics);
            // Answers are small and awaited: Nagle's algorithm would hold them back.
            let _ = socket.set_nodelay(true);
            connection::serve(socket, peer, &house, stop).await;
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
