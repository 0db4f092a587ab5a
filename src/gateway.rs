//! The house, built from a [`Config`]: store first, doors last; taken down in reverse.
//!
//! Nothing is decided here and nothing is computed; this file is the list of what there is and of what needs what. Every
//! listener is bound before the first client is served, so a port in use ends the start and changes nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::auth::{self, Auth};
use crate::broker::{self, Broker, Hub};
use crate::config::Config;
use crate::ingest::{Budget, Verified, Writer};
use crate::metrics::Registry;
use crate::seal::{Guard, MasterKeys, MasterKeysError};
use crate::shutdown::Shutdown;
use crate::store::{Added, OpenError, Store, StoreError};
use crate::{admin, edge, public};

/// How often the registry is asked whether another process has changed it.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(500);

/// How long the database may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What rests on disk: the database, and the master keys that it belongs to. Commands that change devices need no more.
pub struct Cellar {
    /// The database.
    pub store: Store,
    /// The keys.
    pub masters: MasterKeys,
}

/// Where the doors are.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// MQTT.
    pub mqtt: SocketAddr,
    /// The public HTTP listener.
    pub public: SocketAddr,
    /// The admin HTTP listener.
    pub admin: SocketAddr,
}

/// A gateway whose doors are bound and not open yet.
pub struct Gateway {
    addresses: Addresses,
    store: Store,
    guard: Arc<Guard>,
    auth: Auth,
    broker: Broker,
    writer: Writer,
    verified: mpsc::Receiver<Vec<Verified>>,
    edge: edge::Listener,
    public: public::Door,
    admin: admin::Door,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no master keys.
    #[error(transparent)]
    MasterKeys(#[from] MasterKeysError),
    /// The database was made with other keys.
    #[error("the database in {0} was made with another master key than the one in {0}/master.keys")]
    ForeignMasterKeys(String),
    /// Tokens cannot be issued.
    #[error(transparent)]
    Auth(#[from] auth::OpenError),
    /// A door cannot be bound.
    #[error("{key} = \"{address}\": {source}")]
    Bind {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Cellar {
    /// Opens what is there, and makes what is not: but never new master keys for a database that belongs to others.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let data_dir = &config.store.data_dir;
        let store = Store::open(&config.store).await?;
        let Some(check) = store.master_key_check().await? else {
            let masters = MasterKeys::open_or_make(data_dir)?;
            return match store.set_master_key_check(&masters.fingerprint()).await? {
                Added::Now => Ok(Cellar { store, masters }),
                // Another process was faster; its check is the one that counts.
                Added::AlreadyThere => Box::pin(Cellar::open(config)).await,
            };
        };
        let masters = MasterKeys::open(data_dir)?;
        if masters.fingerprint() != check {
            return Err(StartError::ForeignMasterKeys(data_dir.display().to_string()));
        }
        Ok(Cellar { store, masters })
    }
}

impl Gateway {
    /// Builds everything and binds the doors.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mqtt = bind("edge.listen", config.edge.listen).await?;
        let public = bind("public.listen", config.public.listen).await?;
        let admin = bind("admin.listen", config.admin.listen).await?;
        let addresses = Addresses { mqtt: mqtt.1, public: public.1, admin: admin.1 };

        let Cellar { store, masters } = Cellar::open(&config).await?;
        let registry = Registry::default();
        let auth_metrics = auth::Metrics::new(&registry);
        let auth = Auth::open(&config.auth, store.clone(), &masters.storage_key(), auth_metrics, now_ms()).await?;
        let broker_metrics = broker::Metrics::new(&registry);
        let hub = Hub::new(&config.broker, broker_metrics.clone());
        let guard = Arc::new(Guard::new(&config.seal, masters, store.clone()));
        let budget = Budget::new(config.ingest.in_flight_bytes_max);
        let (ingest, writer, verified) =
            Writer::open(&config.ingest, guard.clone(), store.clone(), &registry, hub.readings_wanted());
        let retry_window = config.ingest.retry_window;
        let broker = Broker::new(config.broker, hub, broker_metrics, ingest, budget, retry_window);
        let house = edge::House {
            auth: auth.clone(),
            broker: broker.clone(),
            metrics: edge::Metrics::new(&registry),
            config: config.edge,
        };
        Ok(Gateway {
            addresses,
            store,
            guard,
            edge: edge::Listener::new(mqtt.0, house),
            public: public::Door::new(public.0, auth.clone(), &config.public, &registry),
            admin: admin::Door::new(admin.0, &config.admin, registry),
            auth,
            broker,
            writer,
            verified,
        })
    }

    /// Where the doors are.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Opens the doors, and returns when the gateway has been taken down.
    ///
    /// Draining: the door for clients closes and what is in flight is committed and acknowledged; then the writer ends, since
    /// nobody has anything for it any more; the HTTP doors close last, so that an operator can watch.
    pub async fn run(self, shutdown: Shutdown) {
        let (doors_close, give_up, background_ends) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let public = tokio::spawn(self.public.serve(background_ends.clone()));
        let admin = tokio::spawn(self.admin.serve(background_ends.clone()));
        let watcher = tokio::spawn(watch_registry(self.store.clone(), self.guard, self.auth, background_ends.clone()));
        let publisher = tokio::spawn(broker::publish_readings(self.broker.hub.clone(), self.verified));
        let wills = broker::publish_wills(self.broker, doors_close.clone());
        let wills = tokio::spawn(wills);
        let writer = tokio::spawn(self.writer.run(give_up.clone()));
        let edge = tokio::spawn(self.edge.run(doors_close.clone()));

        shutdown.draining().await;
        doors_close.cancel();
        let drained = async {
            finished("edge", edge).await;
            finished("wills", wills).await;
            finished("writer", writer).await;
            finished("readings", publisher).await;
        };
        tokio::select! {
            () = drained => info!("Everything in flight is committed and acknowledged."),
            () = shutdown.stopped() => {
                warn!("The gateway ends with messages in flight; they were not acknowledged.");
                give_up.cancel();
            }
        }
        background_ends.cancel();
        finished("public", public).await;
        finished("admin", admin).await;
        finished("registry", watcher).await;
        // A commit that still waits for a lock is not waited for: what it holds was not acknowledged.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.store.close()).await;
        shutdown.stop();
    }
}

/// Waits for a task; one that has panicked is told of, and the others still end in order.
async fn finished(name: &'static str, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        warn!(task = name, %error, "A task did not end by itself.");
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { key, address, source };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

/// The driver that notices what commands beside this process have changed.
async fn watch_registry(store: Store, guard: Arc<Guard>, auth: Auth, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(REGISTRY_INTERVAL);
    let mut known = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let version = store.registry_version().await.inspect_err(|error| warn!(%error, "The registry cannot be read."));
        let Ok(version) = version else { continue };
        if known.replace(version).is_some_and(|before| before != version) {
            guard.registry_changed();
            auth.registry_changed();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the composition is a driver")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
