//! How a device or a service comes into the registry, with what it needs to log in and to seal: for the command line and for the operators' API
//! alike.
//!
//! Credentials are made here and given back once; the registry keeps their hashes.

use std::sync::Arc;

use thiserror::Error;

use crate::auth::IssuerUrl;
use crate::auth::secret::{ClientSecret, new_client_id, new_client_secret};
use crate::seal::{DeviceId, DeviceKey, GroupName, MasterKeys};
use crate::store::{AddError, NewDevice, NewService, Store};

/// A device that is to be added.
#[derive(Clone, Copy, Debug)]
pub struct DeviceWish<'a> {
    /// Its name.
    pub id: &'a DeviceId,
    /// Its group.
    pub group: Option<&'a GroupName>,
    /// Whose tokens it logs in with; none: ours.
    pub issuer: Option<&'a IssuerUrl>,
}

/// What a new device logs in and seals with.
pub struct Enrolled {
    /// Its client.
    pub client_id: String,
    /// The secret of that.
    pub client_secret: ClientSecret,
    /// Its seal key.
    pub key: DeviceKey,
    /// The version of that.
    pub key_version: u8,
}

/// What a new service logs in with.
pub struct Admitted {
    /// Its client.
    pub client_id: String,
    /// The secret of that.
    pub client_secret: ClientSecret,
}

/// Why nothing was added.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// It exists, or the database failed.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(#[from] getrandom::Error),
}

/// What a device is to have, and what of it the registry keeps. Nothing is added yet.
pub fn prepare(
    masters: &MasterKeys,
    wish: DeviceWish<'_>,
    now_ms: i64,
) -> Result<(NewDevice, Enrolled), ProvisionError> {
    let key_version = masters.newest();
    let key = masters.device_key(key_version, wish.id).expect("the newest version is one that is held");
    let (client_secret, secret_sha256) = new_client_secret()?;
    let device = NewDevice {
        device_id: wish.id.as_str().into(),
        client_id: new_client_id()?,
        secret_sha256,
        key_version_min: key_version,
        group: wish.group.map(|group| group.as_str().into()),
        issuer: wish.issuer.map(|issuer| issuer.as_str().into()),
        created_at_ms: now_ms,
    };
    let enrolled = Enrolled { client_id: device.client_id.clone(), client_secret, key, key_version };
    Ok((device, enrolled))
}

/// Adds a device.
pub async fn enrol(
    store: &Store,
    masters: &MasterKeys,
    wish: DeviceWish<'_>,
    now_ms: i64,
) -> Result<Enrolled, ProvisionError> {
    let (device, enrolled) = prepare(masters, wish, now_ms)?;
    store.add_device(&device).await?;
    Ok(enrolled)
}

/// Adds a service that may do what `scopes` say, as `auth` writes them.
pub async fn admit(
    store: &Store,
    name: &DeviceId,
    scopes: Vec<String>,
    issuer: Option<&IssuerUrl>,
    now_ms: i64,
) -> Result<Admitted, ProvisionError> {
    let (client_secret, secret_sha256) = new_client_secret()?;
    let service = NewService {
        name: name.as_str().to_owned(),
        client_id: new_client_id()?,
        secret_sha256,
        scopes,
        issuer: issuer.map(|issuer| Arc::from(issuer.as_str())),
        created_at_ms: now_ms,
    };
    store.add_service(&service).await?;
    Ok(Admitted { client_id: service.client_id, client_secret })
}
