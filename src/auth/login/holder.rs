//! Whether the holder of a good token may come in: the registry's word, for our tokens by the client that they were issued to, for those of
//! another issuer by the name that they bear.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::{Elsewhere, Logins, NAME_BYTES_MAX, Verified, enabled, may_be_name, unavailable};
use crate::auth::foreign::Registration;
use crate::auth::grant::{Grant, Principal};
use crate::auth::refusal::LoginRefused;
use crate::auth::{scope, secret};
use crate::store::{Actor, AddError, Device, Holder, NewDevice};

impl Logins {
    /// What the token's holder may do, if it may come in now. A device's client is disabled when the device is.
    pub(super) async fn look_up(
        &self,
        verified: &Verified,
        now: Instant,
        now_ms: i64,
    ) -> Result<Arc<Grant>, LoginRefused> {
        let taken_back = Arc::clone(&self.taken_back.read().unwrap_or_else(PoisonError::into_inner));
        if taken_back.covers(&verified.grant.token()) {
            return Err(LoginRefused::Revoked);
        }
        if let Some(elsewhere) = &verified.elsewhere {
            return match verified.grant.principal() {
                Principal::Device(id) => {
                    self.look_up_device(id, elsewhere, now, now_ms).await.map(|()| Arc::clone(&verified.grant))
                }
                Principal::Service(name) => self.look_up_service(name, elsewhere, &verified.grant).await,
            };
        }
        let client = self.store.client(&verified.oauth_client).await.map_err(unavailable)?;
        let client = client.ok_or(LoginRefused::UnknownPrincipal)?;
        let same = match (&client.holder, verified.grant.principal()) {
            (Holder::Device { device_id }, Principal::Device(name)) => device_id == name,
            (Holder::Service { name, .. }, Principal::Service(other)) => **name == **other,
            _ => false,
        };
        if !same {
            return Err(LoginRefused::UnknownPrincipal);
        }
        enabled(client.state).map(|()| Arc::clone(&verified.grant))
    }

    /// A device of another issuer: it has to be in the registry for that issuer, or is added now if the settings let it.
    async fn look_up_device(
        &self,
        id: &str,
        elsewhere: &Elsewhere,
        now: Instant,
        now_ms: i64,
    ) -> Result<(), LoginRefused> {
        let device = match self.store.device(id).await.map_err(unavailable)? {
            Some(device) => Some(device),
            None if !is_name(id) => None,
            None => match self.foreign.registration(&elsewhere.issuer, now) {
                Registration::Now => Some(self.register(id, elsewhere, now_ms).await?),
                Registration::Later => return Err(LoginRefused::TooManyNew),
                Registration::Never => {
                    let issuer = &*elsewhere.issuer;
                    tracing::warn!(
                        "To let it in: `sealgate device add {id} --issuer {issuer}`, or register = \"on_login\"."
                    );
                    None
                }
            },
        };
        let device = device.filter(|device| device.issuer.as_deref() == Some(&*elsewhere.issuer));
        enabled(device.ok_or(LoginRefused::NotRegistered)?.state)
    }

    async fn register(&self, id: &str, elsewhere: &Elsewhere, now_ms: i64) -> Result<Device, LoginRefused> {
        // Its client has a secret that nobody knows: our own issuer gives it no token.
        let client = || Ok::<_, getrandom::Error>((secret::new_client_id()?, secret::new_client_secret()?.1));
        let (client_id, secret_sha256) = client().map_err(|_| LoginRefused::StoreUnavailable)?;
        let device = NewDevice {
            device_id: id.into(),
            client_id,
            secret_sha256,
            key_version_min: self.foreign.key_version(),
            group: elsewhere.group.clone().or_else(|| self.foreign.group(&elsewhere.issuer)),
            issuer: Some(Arc::clone(&elsewhere.issuer)),
            created_at_ms: now_ms,
        };
        let actor = Actor { who: Arc::clone(&elsewhere.issuer), origin: "login".into() };
        match self.store.acting_as(actor).add_device(&device).await {
            Ok(added) => {
                tracing::info!(device = id, issuer = &*elsewhere.issuer, "A device was added at its first login.");
                Ok(added)
            }
            // Another login of it was faster.
            Err(AddError::Exists) => {
                self.store.device(id).await.map_err(unavailable)?.ok_or(LoginRefused::StoreUnavailable)
            }
            Err(AddError::Store(error)) => Err(unavailable(error)),
        }
    }

    /// A service of another issuer has of its token what the registry lets it have.
    async fn look_up_service(
        &self,
        name: &str,
        elsewhere: &Elsewhere,
        grant: &Grant,
    ) -> Result<Arc<Grant>, LoginRefused> {
        let service = if may_be_name(name) { self.store.service(name).await.map_err(unavailable)? } else { None };
        if service.is_none() && is_name(name) {
            let issuer = &*elsewhere.issuer;
            tracing::warn!("To let it in: `sealgate client add {name} --issuer {issuer} --scope SCOPE`.");
        }
        let service = service.filter(|service| service.issuer.as_deref() == Some(&*elsewhere.issuer));
        let service = service.ok_or(LoginRefused::NotRegistered)?;
        enabled(service.state)?;
        let allowed = scope::parse_all(&service.scopes.join(" ")).map_err(|_| LoginRefused::Malformed)?;
        let wanted = scope::parse_all(&elsewhere.scope).map_err(|_| LoginRefused::Malformed)?;
        let scopes = wanted.into_iter().filter(|wanted| allowed.iter().any(|allowed| allowed.covers(wanted))).collect();
        Ok(Arc::new(Grant::service(name, scopes, grant.expires_at_ms()).by_token(grant.token())))
    }
}

/// Whether a device or a service can be added under this name: 1 to 64 of `A-Z a-z 0-9 . _ : -`. Such a name is none that a shell would take
/// for more, so it may stand in a command that the log proposes.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}
