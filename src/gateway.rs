//! The house, built from a [`Config`]: store first, doors last; taken down in reverse.
//!
//! Nothing is decided here and nothing is computed; this file is the list of what there is and of what needs what. Every
//! listener is bound before the first client is served, so a port in use ends the start and changes nothing else.

mod cellar;
mod doors;
mod masters;
mod origin;
mod tasks;
mod watch;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use crate::admin::LogLevel;
use crate::auth::{self, Auth, Foreign, JournalWriter, TokenMark};
use crate::broker::{self, Broker, Hub, Presence};
use crate::config::Config;
use crate::ingest::{Budget, Outlets, Source, Wanted, Writer};
use crate::metrics::Registry;
use crate::proof::{self, Checkpointer};
use crate::ready::{Part, Ready};
use crate::seal::{Guard, MasterKeySource};
use crate::shutdown::{FAREWELL, Shutdown};
#[cfg(feature = "rumqttd")]
use crate::source;
use crate::store::{self, Spool, Store, Upkeep};
use crate::{admin, edge, public, seal, tls};
pub use cellar::{Cellar, StartError};
use doors::{Doors, bind};
use masters::Masters;
use origin::Origin;
use tasks::Tasks;
use watch::{Known, Watch};

/// Where the doors are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    /// MQTT; none: messages come from another broker.
    pub mqtt: Option<SocketAddr>,
    /// MQTT 5, where that has an address of its own.
    pub mqtt_v5: Option<SocketAddr>,
    /// MQTT over TLS, where there is a listener for it.
    pub mqtts: Option<SocketAddr>,
    /// The public HTTP listener; none: this process only takes messages in.
    pub public: Option<SocketAddr>,
    /// The same over TLS, where there is a listener for it.
    pub public_tls: Option<SocketAddr>,
    /// The admin HTTP listener.
    pub admin: Option<SocketAddr>,
}

/// A gateway whose doors are bound and not open yet.
pub struct Gateway {
    addresses: Addresses,
    store: Store,
    spool: Option<Spool>,
    known: Known,
    upkeep: Upkeep,
    checkpointer: Checkpointer,
    guard: Arc<Guard>,
    master_keys: MasterKeySource,
    origin: Origin,
    writer: Writer,
    outlets: Outlets,
    identities: Vec<(&'static str, tls::Identity)>,
    tls_metrics: tls::Metrics,
    ready: Ready,
    /// None where nobody comes to us for a token.
    public: Option<(Auth, public::Door)>,
    foreign: Foreign,
    journal: Option<JournalWriter>,
    admin: admin::Door,
}

/// The tasks of a gateway whose doors are open, and what ends them.
struct Running {
    ready: Ready,
    /// What takes messages in.
    intake: Tasks,
    /// What becomes of them.
    pipeline: Tasks,
    /// The rest.
    background: Tasks,
    store: Store,
    spool: Option<Spool>,
    doors_close: CancellationToken,
    give_up: CancellationToken,
    background_ends: CancellationToken,
}

/// What a process of ours is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Everything.
    Whole,
    /// To take messages of another broker in, beside others of its kind.
    Ingest,
}

/// A part of the gateway has ended although nobody asked it to; the log says why.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the gateway's task `{0}` ended by itself")]
pub struct TaskEnded(&'static str);

impl Gateway {
    /// Builds everything and binds the doors.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Gateway::build(config, Role::Whole).await
    }

    /// Builds what takes messages of another broker in, and the operators' door.
    pub async fn start_ingest(config: Config) -> Result<Self, StartError> {
        match config.ingest.source {
            Source::Mqtt => Gateway::build(config, Role::Ingest).await,
            Source::Edge | Source::Rumqttd => Err(StartError::NoBroker),
        }
    }

    async fn build(config: Config, role: Role) -> Result<Self, StartError> {
        let Doors { mut addresses, edge, public, identities } = Doors::bind(&config, role).await?;
        let admin = bind("admin.listen", config.admin.listen).await?;
        addresses.admin = Some(admin.1);
        let hooks = config.hooks.secret_file.as_deref().map(public::Secrets::load).transpose()?;

        let Cellar { store, masters } = Cellar::open(&config).await?;
        let known = Known::ask(&store).await?;
        let spool = Spool::open(&config.store, &store, Writer::words()).await?;
        let registry = Registry::default();
        let ready = Ready::new(&registry);
        ready.set(Part::Store, true);
        // What there is none of here is in nobody's way.
        ready.set(Part::Issuer, true);
        ready.set(Part::Source, true);
        let foreign = Foreign::new(&config.auth, &registry, masters.newest()).map_err(StartError::IssuerTls)?;
        let (auth, journal) = match role {
            Role::Whole => {
                auth::Metrics::issuer(&registry, config.auth.identifier.as_str()).set(1);
                let metrics = auth::Metrics::new(&registry);
                let foreign = foreign.clone();
                Auth::open(&config.auth, store.clone(), &masters.storage_key(), foreign, metrics, now_ms())
                    .await
                    .map(|(auth, journal)| (Some(auth), Some(journal)))?
            }
            Role::Ingest => (None, None),
        };
        if let Some(auth) = &auth {
            auth.look_again(now_ms()).await?;
        }
        let proof_key = masters.proof_key();
        let guard = Guard::new(&config.seal, masters, store.clone()).counting(seal::Metrics::new(&registry));
        let guard = Arc::new(guard);
        let budget = Budget::new(config.ingest.in_flight_bytes_max);
        let broker_metrics = broker::Metrics::new(&registry);
        let hub = Hub::new(&config.broker, broker_metrics.clone());
        let wanted = if edge.is_some() { hub.wanted() } else { Wanted::always(config.source.publish) };
        let (ingest, writer, outlets) =
            Writer::open(&config.ingest, guard.clone(), store.clone(), spool.clone(), &registry, &ready, wanted);
        let origin = match (edge, &auth) {
            (Some(sockets), Some(auth)) => {
                let presence = Presence::open(&config.broker, &store, &hub, broker_metrics.clone()).await?;
                let retry_window = config.ingest.retry_window;
                let broker =
                    Broker::new(config.broker.clone(), hub, presence, broker_metrics, ingest, budget, retry_window);
                let metrics = edge::Metrics::new(&registry);
                let house = edge::House::new(config.edge.clone(), auth.clone(), broker.clone(), metrics);
                let listener = Box::new(edge::Listener::new(sockets, house));
                Origin::Edge { listener, broker, store: store.clone() }
            }
            #[cfg(feature = "rumqttd")]
            (None, Some(auth)) if config.ingest.source == Source::Rumqttd => {
                let (embedded, publications, v4, v5) =
                    source::Embedded::start(&config.rumqttd, auth.clone(), ingest, &budget, &registry, ready.clone())
                        .await?;
                (addresses.mqtt, addresses.mqtt_v5) = (Some(v4), v5);
                Origin::Embedded { embedded: Box::new(embedded), publications }
            }
            _ => Origin::broker(&config, ingest, budget, &registry, &ready)?,
        };
        let api = auth.clone().map(|auth| admin::Api { auth, store: store.clone(), guard: guard.clone() });
        let public = auth.zip(public).map(|(auth, sockets)| {
            let door = public::Door::new(sockets, auth.clone(), &config.public, &registry).with_hooks(
                auth.clone(),
                hooks,
                &config.hooks,
                &registry,
            );
            let door = door.with_seal_keys(auth.clone(), guard.clone(), &config.public);
            let door = match origin.entrance() {
                Some(entrance) => door.with_mqtt(entrance),
                None => door,
            };
            (auth, door)
        });
        Ok(Gateway {
            addresses,
            upkeep: Upkeep::new(store.clone(), store::Metrics::new(&registry), &config.database),
            checkpointer: Checkpointer::new(store.clone(), proof_key, &config.proof, proof::Metrics::new(&registry)),
            store,
            spool,
            known,
            guard,
            master_keys: config.seal.master_keys(&config.store.data_dir),
            identities,
            tls_metrics: tls::Metrics::new(&registry),
            public,
            foreign,
            journal,
            origin,
            admin: match api {
                Some(api) => admin::Door::new(admin.0, &config.admin, registry, ready.clone()).with_api(api),
                None => admin::Door::new(admin.0, &config.admin, registry, ready.clone()),
            },
            ready,
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

    /// What it promises less than its own door does.
    pub fn caveats(&self) -> &'static [&'static str] {
        self.origin.caveats()
    }

    /// The way in for streams that did not come through a door, where clients come to us.
    pub fn entrance(&self) -> Option<edge::Entrance> {
        self.origin.entrance()
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
        let (mut intake, mut pipeline, mut background) = (Tasks::default(), Tasks::default(), Tasks::default());
        let groups = (&mut intake, &mut pipeline, &mut background);
        let hub = self.origin.hub();
        self.origin.open(self.outlets, groups, &doors_close, &background_ends);
        pipeline.spawn("writer", self.writer.run(give_up.clone()));
        let (store, ready, auth) =
            (self.store.clone(), self.ready.clone(), self.public.as_ref().map(|(auth, _)| auth.clone()));
        let masters = Masters::new(self.master_keys, self.guard.clone());
        let watch = Watch { store, known: self.known, guard: self.guard, masters, auth, hub: hub.clone(), ready };
        background.spawn("registry", watch.run(background_ends.clone()));
        if let Some((_, door)) = self.public {
            background.spawn("public", door.serve(doors_close.clone()));
        }
        if let Some(journal) = self.journal {
            let ended = move |tokens: &HashSet<TokenMark>| {
                if let Some(hub) = &hub {
                    hub.revoke(|_, token| tokens.contains(token));
                }
            };
            background.spawn("issuers", self.foreign.run(background_ends.clone(), self.ready.clone(), ended));
            background.spawn("audit", journal.run(background_ends.clone()));
        }
        // Before somebody can ask.
        self.ready.set(Part::Doors, true);
        background.spawn("admin", self.admin.serve(background_ends.clone()));
        background.spawn("checkpoints", self.checkpointer.run(background_ends.clone()));
        Running {
            ready: self.ready,
            intake,
            pipeline,
            background,
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
            name = self.intake.next_end() => name,
            name = self.pipeline.next_end() => name,
            name = self.background.next_end() => name,
        }
    }

    /// The doors for clients are closing: what is in flight is committed and acknowledged; then the writer ends, since nobody
    /// has anything for it any more; who was there is saved; the operators' door closes last, so that they can watch.
    async fn descend(&mut self) {
        self.intake.all_ended().await;
        self.pipeline.all_ended().await;
        info!("Everything in flight is acknowledged, and committed or in the spool.");
        self.background_ends.cancel();
        self.background.all_ended().await;
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
        let _ = tokio::time::timeout(FAREWELL, self.intake.all_ended()).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the composition is a driver")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
