//! Who may come in: devices, services, and the clients that they log in with.
//!
//! Only what is kept of them. Whether a secret fits and what a scope allows is `auth`'s affair; a secret is known here by
//! its hash.

use super::StoreError;
use std::collections::HashSet;
use std::sync::Arc;

/// What stands in the registry under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device.
    Device,
    /// A service.
    Service,
}

/// Whether a device or a service may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It may.
    Enabled,
    /// It may not, and what it sends is refused.
    Disabled,
}

impl State {
    /// As it stands in the database and in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Enabled => "enabled",
            State::Disabled => "disabled",
        }
    }

    /// A state that nobody can read lets nobody in; so does a client whose holder was taken away under it.
    pub(super) fn of_column(text: Option<&str>) -> State {
        if text == Some(State::Enabled.as_str()) { State::Enabled } else { State::Disabled }
    }
}

/// The scopes of a service, as they stand in its column.
pub(super) fn scopes_of_column(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

impl NewDevice {
    /// What it is once it was added, under this number.
    pub(super) fn added(&self, row: i64) -> Device {
        Device {
            row,
            device_id: self.device_id.clone(),
            state: State::Enabled,
            key_version_min: self.key_version_min,
            group: self.group.clone(),
            issuer: self.issuer.clone(),
            created_at_ms: self.created_at_ms,
        }
    }
}

impl NewService {
    /// What it is once it was added.
    pub(super) fn added(&self) -> Service {
        Service {
            name: self.name.clone(),
            client_id: self.client_id.clone(),
            scopes: self.scopes.clone(),
            issuer: self.issuer.clone(),
            state: State::Enabled,
            created_at_ms: self.created_at_ms,
        }
    }
}

impl Found {
    /// By the number of rows that were changed.
    pub(super) fn of_rows(rows: u64) -> Found {
        if rows == 0 { Found::No } else { Found::Yes }
    }
}

/// The first of the names that is not among those that were found.
pub(super) fn first_unknown(asked: &[&str], found: &[String]) -> Option<String> {
    let found: HashSet<&str> = found.iter().map(String::as_str).collect();
    asked.iter().find(|name| !found.contains(*name)).map(|name| (*name).to_owned())
}

impl AddError {
    /// Of an insert that failed.
    pub(super) fn of(error: sqlx::Error) -> AddError {
        match error.as_database_error() {
            Some(database) if database.is_unique_violation() => AddError::Exists,
            _ => AddError::Store(error.into()),
        }
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The number that stands for it in [`super::Seen`]. A device that is deleted and added again has the same one, so that
    /// what it sent before is still known as sent.
    pub row: i64,
    /// Its name.
    pub device_id: Arc<str>,
    /// Whether it may come in.
    pub state: State,
    /// The lowest key version that still opens its envelopes.
    pub key_version_min: u8,
    /// The group whose policy it follows; none: that of all.
    pub group: Option<Arc<str>>,
    /// Whose tokens it logs in with; none: those of this gateway's own issuer.
    pub issuer: Option<Arc<str>>,
    /// When it was added, Unix ms.
    pub created_at_ms: i64,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The client that it logs in with.
    pub client_id: String,
    /// What it may do, as `auth` writes it.
    pub scopes: Vec<String>,
    /// Whose tokens it logs in with; none: those of this gateway's own issuer.
    pub issuer: Option<Arc<str>>,
    /// Whether it may come in.
    pub state: State,
    /// When it was added, Unix ms.
    pub created_at_ms: i64,
}

/// A client of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub client_id: String,
    /// Who it stands for.
    pub holder: Holder,
    /// The SHA-256 of its secret.
    pub secret_sha256: [u8; 32],
    /// The SHA-256 of the secret before it, and until when that is good too, Unix ms.
    pub old_secret: Option<([u8; 32], i64)>,
    /// Its public keys, as `auth` reads them; none: it has a secret alone.
    pub public_keys: Option<String>,
    /// Whether its holder may come in.
    pub state: State,
}

/// Whom a client stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A device.
    Device {
        /// Its name.
        device_id: Arc<str>,
    },
    /// A service.
    Service {
        /// Its name.
        name: String,
        /// What it may do, as `auth` writes it.
        scopes: Vec<String>,
    },
}

/// A device to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its name.
    pub device_id: Arc<str>,
    /// The client that it logs in with.
    pub client_id: String,
    /// The SHA-256 of the client's secret.
    pub secret_sha256: [u8; 32],
    /// The lowest key version that opens its envelopes.
    pub key_version_min: u8,
    /// The group whose policy it follows; none: that of all.
    pub group: Option<Arc<str>>,
    /// Whose tokens it logs in with; none: those of this gateway's own issuer.
    pub issuer: Option<Arc<str>>,
    /// Now, Unix ms.
    pub created_at_ms: i64,
}

/// A service to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewService {
    /// Its name.
    pub name: String,
    /// The client that it logs in with.
    pub client_id: String,
    /// The SHA-256 of the client's secret.
    pub secret_sha256: [u8; 32],
    /// What it may do; an entry holds no blank, for they are kept divided by blanks, as OAuth has them. // [RFC 6749 section
    /// 3.3]
    pub scopes: Vec<String>,
    /// Whose tokens it logs in with; none: those of this gateway's own issuer.
    pub issuer: Option<Arc<str>>,
    /// Now, Unix ms.
    pub created_at_ms: i64,
}

/// Whether what should be changed is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is, and has been changed.
    Yes,
    /// It is not.
    No,
}

/// Why something was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The name or the client id is taken; nothing was changed.
    #[error("it exists already")]
    Exists,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
