//! What a gateway rests on, and why it may not start.

use std::io;
use std::net::SocketAddr;

use crate::config::Config;
use crate::seal::{MasterKeys, MasterKeysError};
use crate::store::{OpenError, Store, StoreError};
use crate::{auth, public, source, tls};

/// What rests on disk: the database, and the master keys that it belongs to. Commands that change devices need no more.
pub struct Cellar {
    /// The database.
    pub store: Store,
    /// The keys.
    pub masters: MasterKeys,
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
    #[error("the database was made with another master key than that in {0}")]
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
    /// What an issuer's certificate is checked with cannot be used.
    #[error("[[auth.issuer]] tls_ca: {0}")]
    IssuerTls(tls::LoadError),
    /// Tokens cannot be issued.
    #[error(transparent)]
    Auth(#[from] auth::OpenError),
    /// A broker cannot be logged in to.
    #[error(transparent)]
    Login(#[from] source::LoginError),
    /// What a broker's certificate is checked with cannot be used.
    #[error("[source] tls_ca, tls_certificate or tls_key: {0}")]
    SourceTls(tls::LoadError),
    /// The embedded broker does not start.
    #[cfg(feature = "rumqttd")]
    #[error(transparent)]
    Embedded(#[from] source::EmbeddedError),
    /// `sealgate ingest` without a broker.
    #[error(
        "ingest.source is \"edge\": devices come to `sealgate serve` itself; set ingest.source = \"mqtt\" and [source] for a broker of your own"
    )]
    NoBroker,
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
        let source = config.seal.master_keys(data_dir);
        let masters = match store.master_key_check().await? {
            Some(_) => source.open()?,
            None => source.open_or_make()?,
        };
        // Of two first starts at once one is faster; its check is the one that counts.
        store.set_master_key_check(&masters.fingerprint()).await?;
        if store.master_key_check().await? != Some(masters.fingerprint()) {
            return Err(StartError::ForeignMasterKeys(source.place()));
        }
        Ok(Cellar { store, masters })
    }
}
