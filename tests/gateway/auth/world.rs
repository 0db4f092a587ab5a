//! A guard of identities in this process, on a database of its own, with devices and services that come as a test
//! wants them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealgate::auth::{self, Asker, Auth, Config, Foreign, Grant, JournalWriter, LoginRefused, OpenError, secret};
use sealgate::metrics::Registry;
use sealgate::store::{self, NewDevice, NewService, Store};

use crate::harness::Scratch;

pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

const STORAGE_KEY: [u8; 32] = [7; 32];

/// An id and a secret.
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Credentials {
    pub(crate) fn form(&self) -> String {
        format!("grant_type=client_credentials&client_id={}&client_secret={}", self.id, self.secret)
    }

    pub(crate) fn basic(&self) -> String {
        let both = format!("{}:{}", self.id, self.secret);
        format!("Basic {}", STANDARD.encode(both))
    }
}

/// A guard, its database and its metrics.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) auth: Auth,
    /// What writes the audit log, for whoever lets it.
    pub(crate) journal: Option<JournalWriter>,
}

/// The database in `scratch`, opened once more.
pub(crate) async fn store_in(scratch: &Scratch) -> Store {
    Store::open(
        &store::Config { data_dir: scratch.join("data"), ..store::Config::default() },
        &store::DatabaseConfig::default(),
    )
    .await
    .unwrap()
}

pub(crate) async fn open(store: &Store, config: &Config, registry: &Registry) -> Result<Auth, OpenError> {
    open_with_journal(store, config, registry).await.map(|(auth, _)| auth)
}

async fn open_with_journal(
    store: &Store,
    config: &Config,
    registry: &Registry,
) -> Result<(Auth, JournalWriter), OpenError> {
    Auth::open(config, store.clone(), &STORAGE_KEY, Foreign::default(), auth::Metrics::new(registry), NOW_MS).await
}

pub(crate) async fn world() -> World {
    world_of(&Config::default()).await
}

pub(crate) async fn world_of(config: &Config) -> World {
    let (scratch, registry) = (Scratch::new("auth"), Registry::default());
    let store = store_in(&scratch).await;
    let (auth, journal) = open_with_journal(&store, config, &registry).await.unwrap();
    World { scratch, store, registry, auth, journal: Some(journal) }
}

impl World {
    pub(crate) async fn device(&self, device_id: &str) -> Credentials {
        let (client_secret, secret_sha256) = secret::new_client_secret().unwrap();
        let device = NewDevice {
            device_id: device_id.into(),
            client_id: secret::new_client_id().unwrap(),
            secret_sha256,
            key_version_min: 1,
            group: None,
            issuer: None,
            created_at_ms: NOW_MS,
        };
        self.store.add_device(&device).await.unwrap();
        Credentials { id: device.client_id, secret: client_secret.expose().to_owned() }
    }

    pub(crate) async fn service(&self, name: &str, scopes: &[&str]) -> Credentials {
        let (client_secret, secret_sha256) = secret::new_client_secret().unwrap();
        let service = NewService {
            name: name.to_owned(),
            client_id: secret::new_client_id().unwrap(),
            secret_sha256,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            issuer: None,
            created_at_ms: NOW_MS,
        };
        self.store.add_service(&service).await.unwrap();
        Credentials { id: service.client_id, secret: client_secret.expose().to_owned() }
    }

    pub(crate) async fn token(&self, credentials: &Credentials) -> String {
        self.auth.answer(None, credentials.form().as_bytes(), asker(), NOW_MS).await.unwrap().expose().to_owned()
    }

    pub(crate) async fn login(
        &self,
        user_name: &str,
        token: &str,
        client_id: &str,
    ) -> Result<Arc<Grant>, LoginRefused> {
        self.auth.login(user_name, token, client_id, asker(), NOW_MS).await.map_err(|refused| refused.reason)
    }

    pub(crate) async fn refusal(&self, user_name: &str, token: &str, client_id: &str) -> LoginRefused {
        self.login(user_name, token, client_id).await.expect_err("the login should be refused")
    }

    /// The value of a series.
    pub(crate) fn count(&self, series: &str) -> u64 {
        let text = String::from_utf8(self.registry.render()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in {text}")).parse().unwrap()
    }

    pub(crate) fn signature_checks(&self) -> u64 {
        self.count("sealgate_auth_signature_checks_total")
    }
}

/// Who asks where it does not matter.
#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
pub(crate) fn asker() -> Asker {
    Asker { from: Ipv4Addr::LOCALHOST.into(), now: Instant::now() }
}
