//! Who stands behind an MQTT login: the token's subject, if it is who the client says and may still come in.
//!
//! Verified tokens are remembered by their SHA-256, so that a fleet that reconnects costs no signature check twice;
//! refused ones are not. A change in the registry makes none of them forgotten but all of them asked about again:
//! what a signature proves does not change, whether its holder may come in does. An entry answers for the state of
//! the registry that it was asked about, so a login that overlaps a change cannot bring back what the change took
//! away.

mod holder;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::claims::Claims;
use super::foreign::Foreign;
use super::grant::{Grant, Principal, held_name};
use super::jose::Compact;
use super::refusal::LoginRefused;
use super::scope;
use super::taken_back::{TakenBack, TokenMark};
use super::validator::{TOKEN_BYTES_MAX, Validator, valid_from_ms};
use crate::metrics::IntCounter;
use crate::store::{State, Store, StoreError};

/// The longest name of a device or a service.
const NAME_BYTES_MAX: usize = 64;

/// Answers logins.
pub(crate) struct Logins {
    store: Store,
    validator: Validator,
    foreign: Foreign,
    verified: Cache<[u8; 32], Verified>,
    /// By the name, or by the name and `@` where a device of that name is not meant.
    standings: Cache<Box<str>, Standing>,
    registry: AtomicU64,
    taken_back: RwLock<Arc<TakenBack>>,
    cache_hits: IntCounter,
}

/// A token whose signature was checked.
#[derive(Clone)]
struct Verified {
    grant: Arc<Grant>,
    /// The OAuth client that the token was issued to.
    oauth_client: Arc<str>,
    valid_from_ms: i64,
    /// Where the token is another issuer's.
    elsewhere: Option<Elsewhere>,
    /// The state of the registry in which the holder might come in.
    registry: u64,
}

/// What is known of a token of another issuer.
#[derive(Clone)]
struct Elsewhere {
    issuer: Arc<str>,
    /// The key that verified it; empty where its issuer was asked instead.
    key_id: Arc<str>,
    /// What the token grants, before the registry has its say.
    scope: Arc<str>,
    group: Option<Arc<str>>,
}

/// What a name may do without a token.
#[derive(Clone)]
struct Standing {
    grant: Arc<Grant>,
    /// The state of the registry in which it might.
    registry: u64,
}

impl Logins {
    /// Remembers `entries_max` tokens, and as many standings.
    pub(crate) fn new(
        store: Store,
        validator: Validator,
        foreign: Foreign,
        entries_max: usize,
        cache_hits: IntCounter,
    ) -> Self {
        let (verified, standings) = (Cache::new(entries_max), Cache::new(entries_max));
        let (registry, taken_back) = (AtomicU64::new(0), RwLock::default());
        Logins { store, validator, foreign, verified, standings, registry, taken_back, cache_hits }
    }

    /// From now on it is these tokens that are no longer good. Whoever came in before is looked up again if they are others than before.
    pub(crate) fn take_back(&self, taken_back: TakenBack) -> Arc<TakenBack> {
        let mut known = self.taken_back.write().unwrap_or_else(PoisonError::into_inner);
        if **known != taken_back {
            *known = Arc::new(taken_back);
            self.registry_changed();
        }
        Arc::clone(&known)
    }

    /// What a token says whose holder may come in now, whoever shows it.
    pub(crate) async fn introspect(&self, token: &str, now: Instant, now_ms: i64) -> Result<Claims, LoginRefused> {
        check_length(token)?;
        let claims = self.check(token, now_ms).await?;
        self.look_up(&self.verified(claims.clone())?, now, now_ms).await?;
        Ok(claims)
    }

    /// Whether the token was taken back before.
    pub(crate) fn is_taken_back(&self, claims: &Claims) -> bool {
        let token = TokenMark::new(&claims.issuer, &claims.token_id, &claims.key_id);
        self.taken_back.read().unwrap_or_else(PoisonError::into_inner).covers(&token)
    }

    /// What a token says whose signature and time are good.
    pub(crate) fn claims(&self, token: &str, now_ms: i64) -> Result<Claims, LoginRefused> {
        check_length(token)?;
        self.validator.check(token, now_ms)
    }

    /// What the bearer of `token` may do, whoever that is, if it is in the registry.
    pub(crate) async fn any(&self, token: &str, now: Instant, now_ms: i64) -> Result<Arc<Grant>, LoginRefused> {
        self.grant_of(token, now, now_ms, |_| Ok(())).await
    }

    /// What the bearer of `token` may do, whoever that is. People are not in the registry: if their issuer is another one, its word is enough.
    pub(crate) async fn bearer(&self, token: &str, now: Instant, now_ms: i64) -> Result<Arc<Grant>, LoginRefused> {
        check_length(token)?;
        let is_foreign = match Compact::parse(token) {
            Some(token) => token.claims.text("iss").is_some_and(|issuer| self.foreign.knows(issuer)),
            None => true,
        };
        match is_foreign {
            true => Ok(Arc::new(grant(&self.check(token, now_ms).await?)?)),
            false => self.any(token, now, now_ms).await,
        }
    }

    /// What a good token says. Of one whose key is not there, its issuer is asked for its keys once more; of one that is no JWT, what it is
    /// worth.
    async fn check(&self, token: &str, now_ms: i64) -> Result<Claims, LoginRefused> {
        if is_opaque(token) {
            return Box::pin(self.foreign.introspect(token, now_ms)).await;
        }
        match self.validator.check(token, now_ms) {
            Err(LoginRefused::UnknownKey) => {
                let token_of = Compact::parse(token);
                let issuer = token_of.as_ref().and_then(|token| token.claims.text("iss")).unwrap_or_default();
                let checked = match Box::pin(self.foreign.look_again(issuer)).await {
                    true => self.validator.check(token, now_ms),
                    false => Err(LoginRefused::UnknownKey),
                };
                match checked {
                    // Without any key nobody can say that this one is not its issuer's.
                    Err(LoginRefused::UnknownKey) if self.foreign.is_without_keys(issuer) => {
                        Err(LoginRefused::IssuerUnavailable)
                    }
                    checked => checked,
                }
            }
            checked => checked,
        }
    }

    /// How often it has changed.
    pub(crate) fn registry(&self) -> u64 {
        self.registry.load(Ordering::SeqCst)
    }

    /// From now on every holder is looked up again.
    pub(crate) fn registry_changed(&self) {
        self.registry.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) async fn login(
        &self,
        user_name: &str,
        token: &str,
        client_id: &str,
        now: Instant,
        now_ms: i64,
    ) -> Result<Arc<Grant>, LoginRefused> {
        self.grant_of(token, now, now_ms, |verified| verified.speaks_for(user_name, client_id)).await
    }

    /// The grant of a token whose holder may come in, and with which `fits` is content.
    async fn grant_of(
        &self,
        token: &str,
        now: Instant,
        now_ms: i64,
        fits: impl Fn(&Verified) -> Result<(), LoginRefused>,
    ) -> Result<Arc<Grant>, LoginRefused> {
        check_length(token)?;
        let registry = self.registry.load(Ordering::SeqCst); // Before the store is read: see the head of this file.
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.known(&hash, now_ms);
        if let Some(known) = known.as_ref().filter(|known| known.registry == registry) {
            fits(known)?;
            return Ok(Arc::clone(&known.grant));
        }
        let verified = match known {
            Some(known) => known,
            None => self.verified(self.check(token, now_ms).await?)?,
        };
        fits(&verified)?;
        let grant = self.look_up(&verified, now, now_ms).await?;
        // What is no JWT is remembered where it was asked about, and for a shorter time.
        if let (true, Some(elsewhere)) = (is_opaque(token), &verified.elsewhere) {
            return Ok(Arc::new(self.foreign.watched(&elsewhere.issuer, token, &grant)));
        }
        self.verified.insert(hash, Verified { registry, grant: Arc::clone(&grant), ..verified });
        Ok(grant)
    }

    /// A login at another broker, where the client id has to be the principal's own, too.
    pub(crate) async fn login_elsewhere(
        &self,
        user_name: &str,
        token: &str,
        client_id: &str,
        now: Instant,
        now_ms: i64,
    ) -> Result<Arc<Grant>, LoginRefused> {
        let grant = self.login(user_name, token, client_id, now, now_ms).await?;
        if !grant.principal().owns_client_id(client_id) {
            return Err(LoginRefused::WrongClientId);
        }
        // The bare name is the device's, if there is one.
        let bare_service = client_id == user_name && matches!(grant.principal(), Principal::Service(_));
        if bare_service && self.store.device(user_name).await.map_err(unavailable)?.is_some() {
            return Err(LoginRefused::WrongClientId);
        }
        Ok(grant)
    }

    /// What the one who has logged in under these names at another broker may do now.
    pub(crate) async fn standing(&self, user_name: &str, client_id: &str) -> Result<Arc<Grant>, LoginRefused> {
        if !may_be_name(user_name) {
            return Err(LoginRefused::UnknownPrincipal);
        }
        if held_name(client_id) != user_name {
            return Err(LoginRefused::WrongClientId);
        }
        let registry = self.registry.load(Ordering::SeqCst); // Before the store is read: see the head of this file.
        let is_bare = client_id == user_name;
        let key = &client_id[..user_name.len() + usize::from(!is_bare)];
        if let Some(known) = self.standings.get(key).filter(|known| known.registry == registry) {
            return Ok(known.grant);
        }
        let device = if is_bare { self.standing_of_device(user_name).await? } else { None };
        let grant = match device {
            Some(grant) => grant,
            None => self.standing_of_service(user_name).await?,
        };
        let grant = Arc::new(grant);
        self.standings.insert(key.into(), Standing { grant: Arc::clone(&grant), registry });
        Ok(grant)
    }

    /// None if there is no such device.
    async fn standing_of_device(&self, device_id: &str) -> Result<Option<Grant>, LoginRefused> {
        let Some(device) = self.store.device(device_id).await.map_err(unavailable)? else { return Ok(None) };
        enabled(device.state)?;
        Grant::device(device_id, i64::MAX).map(Some).ok_or(LoginRefused::Malformed)
    }

    async fn standing_of_service(&self, name: &str) -> Result<Grant, LoginRefused> {
        let service = self.store.service(name).await.map_err(unavailable)?.ok_or(LoginRefused::UnknownPrincipal)?;
        enabled(service.state)?;
        let scopes = scope::parse_all(&service.scopes.join(" ")).map_err(|_| LoginRefused::Malformed)?;
        Ok(Grant::service(name, scopes, i64::MAX).elsewhere())
    }

    /// What is known of the token of this hash, if its time is not over and its key not withdrawn. The clock may have been
    /// set since, so both ends count.
    fn known(&self, hash: &[u8; 32], now_ms: i64) -> Option<Verified> {
        let known = self.verified.get(hash)?;
        let is_timely = (known.valid_from_ms..known.grant.expires_at_ms()).contains(&now_ms);
        // A key that its issuer shows no longer, or that has become too old, verifies nothing: nor what it once has.
        let has_key = |of: &Elsewhere| self.foreign.has_key(&of.issuer, &of.key_id, now_ms);
        if !is_timely || !known.elsewhere.as_ref().is_none_or(has_key) {
            self.verified.remove(hash);
            return None;
        }
        self.cache_hits.inc();
        Some(known)
    }

    fn verified(&self, claims: Claims) -> Result<Verified, LoginRefused> {
        let (grant, valid_from_ms) = (Arc::new(grant(&claims)?), valid_from_ms(&claims));
        let elsewhere = self.foreign.knows(&claims.issuer).then(|| Elsewhere {
            issuer: claims.issuer.into(),
            key_id: claims.key_id.into(),
            scope: claims.scope.into(),
            group: claims.group.map(Arc::from),
        });
        Ok(Verified { grant, oauth_client: claims.client_id.into(), valid_from_ms, elsewhere, registry: 0 })
    }
}

impl Verified {
    /// The user name is the subject. A device's MQTT client id is its device id, or is left to us; a service may have
    /// several connections, and names them as it likes.
    fn speaks_for(&self, user_name: &str, client_id: &str) -> Result<(), LoginRefused> {
        let principal = self.grant.principal();
        if **principal.name() != *user_name {
            return Err(LoginRefused::WrongUserName);
        }
        match principal {
            Principal::Device(device_id) if !client_id.is_empty() && **device_id != *client_id => {
                Err(LoginRefused::WrongClientId)
            }
            _ => Ok(()),
        }
    }
}

fn unavailable(error: StoreError) -> LoginRefused {
    tracing::error!(%error, "A login cannot be looked up.");
    LoginRefused::StoreUnavailable
}

fn enabled(state: State) -> Result<(), LoginRefused> {
    match state {
        State::Disabled => Err(LoginRefused::Disabled),
        State::Enabled => Ok(()),
    }
}

/// Whether it is worth a look into the registry. A text with a zero, say, PostgreSQL does not take.
fn may_be_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What the token grants. The scope `device` alone makes a device of its subject.
fn grant(claims: &Claims) -> Result<Grant, LoginRefused> {
    let token = TokenMark::new(&claims.issuer, &claims.token_id, &claims.key_id);
    if claims.scope == scope::DEVICE {
        let grant = Grant::device(&claims.subject, claims.expires_at_ms).ok_or(LoginRefused::Malformed)?;
        return Ok(grant.by_token(token));
    }
    let scopes = scope::parse_all(&claims.scope).map_err(|_| LoginRefused::Malformed)?;
    Ok(Grant::service(&claims.subject, scopes, claims.expires_at_ms).by_token(token))
}

/// No JWT (RFC 7519 section 3).
fn is_opaque(token: &str) -> bool {
    token.matches('.').count() != 2
}

/// Before any work is done for it.
fn check_length(token: &str) -> Result<(), LoginRefused> {
    match token.len() {
        0 => Err(LoginRefused::MissingToken),
        1..=TOKEN_BYTES_MAX => Ok(()),
        _ => Err(LoginRefused::Malformed),
    }
}
