//! The house, built from a [`Config`]: store first, doors last; taken down in reverse.
//!
//! Nothing is decided here and nothing is computed; this file is the list of what there is and of what needs what. Every
//! listener is bound before the first client is served, so a port in use ends the start and changes nothing else.

mod doors;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use crate::admin::LogLevel;
use crate::auth::{self, Auth};
use crate::broker::{self, Broker, Hub, Presence};
use crate::config::Config;
use crate::ingest::{Budget, Outlets, Writer};
use crate::metrics::Registry;
use crate::proof::{self, Checkpointer};
use crate::ready::{Part, Ready};
use crate::seal::{Guard, MasterKeys, MasterKeysError};
use crate::shutdown::{FAREWELL, Shutdown};
use crate::store::{self, OpenError, Spool, Store, StoreError, Upkeep};
use crate::{admin, edge, public, tls};
use doors::{EdgeDoors, PublicDoors, bind};
use watch::Watch;

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
    /// MQTT over TLS, where there is a listener for it.
    pub mqtts: Option<SocketAddr>,
    /// The public HTTP listener.
    pub public: SocketAddr,
    /// The same over TLS, where there is a listener for it.
    pub public_tls: Option<SocketAddr>,
    /// The admin HTTP listener.
    pub admin: SocketAddr,
}

/// A gateway whose doors are bound and not open yet.
pub struct Gateway {
    addresses: Addresses,
    store: Store,
    spool: Option<Spool>,
    registry_version: i64,
    upkeep: Upkeep,
    checkpointer: Checkpointer,
    guard: Arc<Guard>,
    auth: Auth,
    broker: Broker,
    writer: Writer,
    outlets: Outlets,
    edge: edge::Listener,
    identities: Vec<(&'static str, tls::Identity)>,
    tls_metrics: tls::Metrics,
    ready: Ready,
    public: public::Door,
    admin: admin::Door,
}

/// The tasks of a gateway whose doors are open, and what ends them.
struct Running {
    ready: Ready,
    edge: JoinHandle<()>,
    public: JoinHandle<()>,
    wills: JoinHandle<()>,
    writer: JoinHandle<()>,
    publisher: JoinHandle<()>,
    presence: JoinHandle<()>,
    admin: JoinHandle<()>,
    watcher: JoinHandle<()>,
    checkpoints: JoinHandle<()>,
    store: Store,
    spool: Option<Spool>,
    doors_close: CancellationToken,
    give_up: CancellationToken,
    background_ends: CancellationToken,
}

/// A part of the gateway has ended although nobody asked it to; the log says why.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the gateway's task `{0}` ended by itself")]
pub struct TaskEnded(&'static str);

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
    #[error("the database was made with another master key than the one in {0}/master.keys")]
    ForeignMasterKeys(String),
    /// A certificate cannot be used.
    #[error("[{section}] tls_certificate, tls_key or tls_client_ca: {source}")]
    Tls {
        /// Where the keys stand.
        section: &'static str,
        /// Which file, and why.
        source: tls::LoadError,
    },
    /// The secret of the hooks cannot be used.
    #[error(transparent)]
    Hooks(#[from] public::SecretError),
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
        let store = Store::open(&config.store, &config.database).await?;
        let masters = match store.master_key_check().await? {
            Some(_) => MasterKeys::open(data_dir)?,
            None => MasterKeys::open_or_make(data_dir)?,
        };
        // Of two first starts at once one is faster; its check is the one that counts.
        store.set_master_key_check(&masters.fingerprint()).await?;
        if store.master_key_check().await? != Some(masters.fingerprint()) {
            return Err(StartError::ForeignMasterKeys(data_dir.display().to_string()));
        }
        Ok(Cellar { store, masters })
    }
}

impl Gateway {
    /// Builds everything and binds the doors.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let edge_doors = EdgeDoors::bind(&config.edge).await?;
        let public_doors = PublicDoors::bind(&config.public).await?;
        let admin = bind("admin.listen", config.admin.listen).await?;
        let hooks = config.hooks.secret_file.as_deref().map(public::Secrets::load).transpose()?;
        let EdgeDoors { sockets, mqtt, mqtts, mut identities } = edge_doors;
        identities.extend(public_doors.identity);
        let (public, public_tls) = (public_doors.address, public_doors.tls_address);
        let addresses = Addresses { mqtt, mqtts, public, public_tls, admin: admin.1 };

        let Cellar { store, masters } = Cellar::open(&config).await?;
        let registry_version = store.registry_version().await?;
        let spool = Spool::open(&config.store, &store, Writer::words()).await?;
        let registry = Registry::default();
        let ready = Ready::new(&registry);
        auth::Metrics::issuer(&registry, config.auth.issuer.as_str()).set(1);
        let auth_metrics = auth::Metrics::new(&registry);
        let auth = Auth::open(&config.auth, store.clone(), &masters.storage_key(), auth_metrics, now_ms()).await?;
        ready.set(Part::Store, true);
        ready.set(Part::Issuer, true);
        let broker_metrics = broker::Metrics::new(&registry);
        let hub = Hub::new(&config.broker, broker_metrics.clone());
        let presence = Presence::open(&config.broker, &store, &hub, broker_metrics.clone()).await?;
        let proof_key = masters.proof_key();
        let guard = Arc::new(Guard::new(&config.seal, masters, store.clone()));
        let budget = Budget::new(config.ingest.in_flight_bytes_max);
        let (ingest, writer, outlets) =
            Writer::open(&config.ingest, guard.clone(), store.clone(), spool.clone(), &registry, &ready, hub.wanted());
        let retry_window = config.ingest.retry_window;
        let broker = Broker::new(config.broker, hub, presence, broker_metrics, ingest, budget, retry_window);
        let house = edge::House::new(config.edge, auth.clone(), broker.clone(), edge::Metrics::new(&registry));
        let edge = edge::Listener::new(sockets, house);
        Ok(Gateway {
            addresses,
            upkeep: Upkeep::new(store.clone(), store::Metrics::new(&registry), &config.database),
            checkpointer: Checkpointer::new(store.clone(), proof_key, &config.proof, proof::Metrics::new(&registry)),
            store,
            spool,
            registry_version,
            guard,
            identities,
            tls_metrics: tls::Metrics::new(&registry),
            public: public::Door::new(public_doors.sockets, auth.clone(), &config.public, &registry)
                .with_hooks(auth.clone(), hooks, &config.hooks, &registry)
                .with_mqtt(edge.entrance()),
            edge,
            admin: admin::Door::new(admin.0, &config.admin, registry, ready.clone()),
            ready,
            auth,
            broker,
            writer,
            outlets,
        })
    }

    /// Lets operators change the level of the log.
    pub fn with_log_level(self, level: LogLevel) -> Self {
        Gateway { admin: self.admin.with_log_level(level), ..self }
    }

    /// Where the doors are.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The way in for streams that did not come through a door.
    pub fn entrance(&self) -> edge::Entrance {
        self.edge.entrance()
    }

    /// Opens the doors, and returns when the gateway has been taken down: because it was asked to, or because a part of it
    /// ended by itself, which is an error.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TaskEnded> {
        let mut running = self.open_doors();
        let result = tokio::select! {
            () = shutdown.draining() => Ok(()),
            task = running.first_end() => Err(TaskEnded(task)),
        };
        if let Err(TaskEnded(task)) = result {
            error!(task, "A part of the gateway has ended by itself; the rest is taken down.");
            shutdown.drain();
        }
        running.ready.set(Part::Doors, false);
        running.doors_close.cancel();
        tokio::select! {
            () = running.descend() => {}
            () = shutdown.stopped() => running.give_up().await,
        }
        shutdown.stop();
        result
    }

    fn open_doors(self) -> Running {
        let (doors_close, give_up, background_ends) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        for (listener, identity) in self.identities {
            tokio::spawn(identity.keep_fresh(listener, self.tls_metrics.clone(), background_ends.clone()));
        }
        tokio::spawn(self.upkeep.run(background_ends.clone()));
        let ends = background_ends.clone();
        let (store, ready) = (self.store.clone(), self.ready.clone());
        let watch = Watch { store, known: self.registry_version, guard: self.guard, auth: self.auth, ready };
        let Broker { hub, presence, .. } = self.broker.clone();
        let publisher = broker::publish_outlets(hub.clone(), self.outlets);
        let presence = broker::keep_presence(presence, hub, self.store.clone(), background_ends.clone());
        self.ready.set(Part::Doors, true);
        Running {
            ready: self.ready,
            edge: tokio::spawn(self.edge.run(doors_close.clone())),
            public: tokio::spawn(self.public.serve(doors_close.clone())),
            wills: tokio::spawn(broker::publish_wills(self.broker, doors_close.clone())),
            writer: tokio::spawn(self.writer.run(give_up.clone())),
            publisher: tokio::spawn(publisher),
            presence: tokio::spawn(presence),
            admin: tokio::spawn(self.admin.serve(background_ends.clone())),
            watcher: tokio::spawn(watch.run(ends)),
            checkpoints: tokio::spawn(self.checkpointer.run(background_ends.clone())),
            store: self.store,
            spool: self.spool,
            doors_close,
            give_up,
            background_ends,
        }
    }
}

impl Running {
    /// The name of the first task that ends, though none should.
    async fn first_end(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.edge => "edge",
            _ = &mut self.public => "public",
            _ = &mut self.wills => "wills",
            _ = &mut self.writer => "writer",
            _ = &mut self.publisher => "outlets",
            _ = &mut self.presence => "presence",
            _ = &mut self.admin => "admin",
            _ = &mut self.watcher => "registry",
            _ = &mut self.checkpoints => "checkpoints",
        }
    }

    /// The doors for clients are closing: what is in flight is committed and acknowledged; then the writer ends, since nobody
    /// has anything for it any more; who was there is saved; the operators' door closes last, so that they can watch.
    async fn descend(&mut self) {
        finished(&mut self.edge).await;
        finished(&mut self.wills).await;
        finished(&mut self.writer).await;
        finished(&mut self.publisher).await;
        info!("Everything in flight is acknowledged, and committed or in the spool.");
        self.background_ends.cancel();
        finished(&mut self.presence).await;
        finished(&mut self.public).await;
        finished(&mut self.admin).await;
        finished(&mut self.watcher).await;
        finished(&mut self.checkpoints).await;
        self.store.clone().close().await;
        if let Some(spool) = self.spool.take() {
            spool.close().await;
        }
    }

    /// Time is up. What the writer still holds is given up, and its clients are told so, as far as they listen; a commit that
    /// waits for a lock is not waited for.
    async fn give_up(&mut self) {
        warn!("The gateway ends before everything is finished; what was not committed was not acknowledged.");
        self.give_up.cancel();
        let _ = tokio::time::timeout(FAREWELL, finished(&mut self.edge)).await;
    }
}

/// Waits for a task; asking again after its end is no error.
async fn finished(task: &mut JoinHandle<()>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the composition is a driver")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
