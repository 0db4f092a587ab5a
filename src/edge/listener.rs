//! The drivers that accept, one for each bound socket.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::metrics::TurnedAway;
use super::room::Room;
use super::transport::{self, Transport};
use super::{Config, Metrics};
use crate::auth::Auth;
use crate::broker::Broker;
use crate::limit::{Crowd, CrowdBounds, Guest, Pace, Rate, TooMany};
use crate::metrics::IntGauge;
use crate::proxy::ProxyProtocol;
use crate::setting::is_exposed;

/// After a failed accept (no file descriptors left, as a rule) the next try waits this long instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many of those who are turned away are told so at a time; the others are closed without a word.
const DECLINED_AT_A_TIME: usize = 64;

/// What every connection needs of the house behind the door.
pub struct House {
    /// The door's own settings.
    pub(super) config: Config,
    /// Judges tokens.
    pub(super) auth: Auth,
    /// Holds sessions, and takes what they bring.
    pub(super) broker: Broker,
    /// What the door counts.
    pub(super) metrics: Metrics,
    /// Room for what is large.
    pub(super) room: Room,
    crowd: Crowd,
    declining: Semaphore,
    warnings: Mutex<Pace>,
}

impl House {
    /// Puts together what the door leads to.
    pub fn new(config: Config, auth: Auth, broker: Broker, metrics: Metrics) -> Self {
        let crowd = Crowd::new(CrowdBounds {
            open_max: config.connections_per_address_max,
            per_second_max: config.connection_rate_per_address_max,
        });
        let declining = Semaphore::new(DECLINED_AT_A_TIME);
        let room = Room::new(&config);
        House { config, auth, broker, metrics, room, crowd, declining, warnings: Mutex::new(Pace::new(now())) }
    }

    /// Whether one more client of this address may come, which is counted if not.
    pub(super) fn welcome(&self, peer: SocketAddr) -> Result<Guest, TurnedAway> {
        self.crowd.enter(peer.ip(), now()).map_err(|too_many| match too_many {
            TooMany::Open => self.turn_away(TurnedAway::AddressFull, peer),
            TooMany::PerSecond => self.turn_away(TurnedAway::AddressRate, peer),
        })
    }

    /// The right to tell somebody that he is turned away; none: as many are told already as may be.
    pub(super) fn declining(&self) -> Option<SemaphorePermit<'_>> {
        self.declining.try_acquire().ok()
    }

    /// Counts it, and says which setting it is; once a second at most, or a flood would fill the log.
    fn turn_away(&self, why: TurnedAway, peer: SocketAddr) -> TurnedAway {
        self.metrics.turned_away.inc(why);
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.try_take(Rate::per_second(1), now()) {
            warn!(%peer, bound = why.setting(), "A client is turned away.");
        } else {
            debug!(%peer, bound = why.setting(), "A client is turned away.");
        }
        why
    }
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
    guest: Option<Guest>,
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
            Ok((socket, peer)) => entrance.take_in(socket, peer, proxy_protocol, transport.clone()),
            Err(error) => {
                warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Entrance {
    /// A place for a client of this address.
    ///
    /// # Errors
    /// Why there is none. It is counted.
    pub fn reserve(&self, peer: SocketAddr) -> Result<Place, TurnedAway> {
        let place = self.slot(peer)?;
        let guest = self.house.welcome(peer)?;
        Ok(Place { guest: Some(guest), ..place })
    }

    /// The largest packet that is taken.
    pub fn packet_bytes_max(&self) -> u32 {
        self.house.config.packet_bytes_max
    }

    /// Who the client of an accepted socket is may not be known yet: its proxy has to say so first.
    fn take_in(&self, socket: TcpStream, peer: SocketAddr, proxy_protocol: ProxyProtocol, transport: Transport) {
        match self.slot(peer) {
            Ok(place) => place.spawn(move |house, closing| async move {
                transport::open(socket, peer, proxy_protocol, transport, &house, closing).await;
            }),
            Err(why) => {
                let (house, closing) = (self.house.clone(), self.closing.clone());
                if matches!((proxy_protocol, transport), (ProxyProtocol::Off, Transport::Tcp)) {
                    self.connections.spawn(async move { transport::decline(socket, peer, &house, why, closing).await });
                }
            }
        }
    }

    fn slot(&self, peer: SocketAddr) -> Result<Place, TurnedAway> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(self.house.turn_away(TurnedAway::Full, peer));
        };
        self.house.metrics.accepted.inc();
        Ok(Place { entrance: self.clone(), slot, guest: None })
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
        let Place { entrance: Entrance { house, connections, closing, .. }, slot, guest } = self;
        let open = Open::count(&house.metrics);
        // In a box, since the task below would hold room for it twice: as what it was given and as what it awaits.
        let served = Box::pin(client(house, closing));
        connections.spawn(async move {
            served.await;
            drop((open, guest, slot));
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

#[expect(clippy::disallowed_methods, reason = "a driver")]
fn now() -> Instant {
    Instant::now()
}
