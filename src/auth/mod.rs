//! The guard of identities: who may come in, and which topics are theirs.
//!
//! Two doors ask here. The public HTTP listener hands in requests for tokens ([`Auth::answer`]), and gets tokens that
//! our own issuer signs; and it hands in what other brokers ask about their clients ([`Auth::login_elsewhere`],
//! [`Auth::standing`]). The MQTT listener hands in a login ([`Auth::login`]), and gets a [`Grant`]: who it is, what
//! they may publish and subscribe to, and until when. A token is judged offline; the registry is asked whether its
//! holder may still come in.
//!
//! A token says *where* a message may go. What a message is worth, only its seal says, and that is not known here.

mod claims;
mod config;
mod endpoint;
mod failed;
mod grant;
mod issuer;
mod jose;
mod keys;
mod login;
mod metrics;
mod refusal;
mod request;
pub mod scope;
pub mod secret;
pub mod validator;

pub use claims::Claims;
pub use config::{Config, IssuerUrl, IssuerUrlError};
pub use grant::{Grant, Principal};
pub use issuer::{JWKS_PATH, JwkSet, METADATA_PATH, Metadata, TOKEN_PATH, TokenAnswer};
pub use keys::{Jwk, KeyError};
pub use metrics::Metrics;
pub use refusal::LoginRefused;
pub use request::TokenRefused;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::store::{Store, StoreError};
use endpoint::Endpoint;
use failed::FailedLogins;
use issuer::Issuer;
use login::Logins;
use metrics::{LoginResult, TokenResult};
use request::TokenRequest;
use validator::Validator;

/// The guard. Clones are one.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    logins: Logins,
    failed: FailedLogins,
    metrics: Metrics,
}

/// A login or a token that is refused: why, and how long the answer has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<R> {
    /// Why.
    pub reason: R,
    /// Before that, the answer must not go out.
    pub pause: Duration,
}

/// From where a request comes, and when by the clock that is never set.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The address.
    pub from: IpAddr,
    /// The moment.
    pub now: Instant,
}

/// Why the guard cannot take up its post.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The signing keys cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A signing key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No signing key can be made.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(#[from] getrandom::Error),
    /// The store took a key and does not have it.
    #[error("the database has no key that signs tokens")]
    NoKey,
}

impl Auth {
    /// Loads the keys that sign tokens, which are sealed under `storage_key`, or makes the first.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        config: &Config,
        store: Store,
        storage_key: &[u8; 32],
        metrics: Metrics,
        now_ms: i64,
    ) -> Result<Auth, OpenError> {
        let (issuer, trusted) = Issuer::open(config, &store, storage_key, now_ms).await?;
        let validator = Validator::new(&config.audience, vec![trusted], metrics.signature_checks.clone());
        let hits = metrics.cache_hits.clone();
        let logins = Logins::new(store.clone(), validator, config.token_cache_entries, hits);
        let endpoint = Endpoint::new(store, issuer);
        let failed = FailedLogins::new(config, metrics.paused.clone());
        Ok(Auth(Arc::new(Inner { endpoint, logins, failed, metrics })))
    }

    /// What the bearer of `token` may do, if it is who CONNECT says: `user_name` is the device id or the service's
    /// name, `client_id` is that of MQTT. For a device it may be empty; the device id stands for it then.
    ///
    /// # Errors
    /// The first reason against it. It is logged and counted here; the client should not learn it.
    pub async fn login(
        &self,
        user_name: &str,
        token: &str,
        client_id: &str,
        asker: Asker,
        now_ms: i64,
    ) -> Result<Arc<Grant>, Refused<LoginRefused>> {
        let result = self.0.logins.login(user_name, token, client_id, now_ms).await;
        self.note_login(&result, user_name, client_id);
        self.paused(result, user_name, asker, is_failure)
    }

    /// The same for a client of another broker, which asks us. Client ids are global there, so the client id has to be
    /// the principal's own, too ([`Principal::owns_client_id`]), and is never empty.
    ///
    /// A failure is entered into the account and does not wait: the broker's connection is shared by all of its
    /// clients, and a pause on it would be theirs.
    ///
    /// # Errors
    /// As [`Auth::login`].
    pub async fn login_elsewhere(
        &self,
        user_name: &str,
        token: &str,
        client_id: &str,
        asker: Asker,
        now_ms: i64,
    ) -> Result<Arc<Grant>, LoginRefused> {
        let result = self.0.logins.login_elsewhere(user_name, token, client_id, now_ms).await;
        self.note_login(&result, user_name, client_id);
        match &result {
            Ok(_) => self.0.failed.succeeded(user_name, asker.from, asker.now),
            Err(reason) if is_failure(*reason) => drop(self.0.failed.entered(user_name, asker.from, asker.now)),
            Err(_) => {}
        }
        result
    }

    /// What a client of another broker may do now, of whom that broker knows the names alone, since it asked about the
    /// token when the client came: a device what every device may, a service what it was granted.
    ///
    /// It is the registry that answers, remembered until it changes, as for logins. Two things it does not know: when
    /// the token ends (the grant has no end), and that the token was given less scope than its service has. So the
    /// broker has to end the connection with the token.
    ///
    /// # Errors
    /// Why nothing is granted. It is not counted as a login.
    pub async fn standing(&self, user_name: &str, client_id: &str) -> Result<Arc<Grant>, LoginRefused> {
        self.0.logins.standing(user_name, client_id).await
    }

    fn note_login(&self, result: &Result<Arc<Grant>, LoginRefused>, user_name: &str, client_id: &str) {
        self.0.metrics.logins.inc(LoginResult::of(result));
        if let Err(reason) = result {
            let (user_name, client_id) = (clipped(user_name), clipped(client_id));
            tracing::warn!(?user_name, ?client_id, reason = reason.as_str(), "A login is refused: {reason}.");
        }
    }

    /// The state of the registry that logins are judged by now: another number after each change that is known of.
    pub fn registry(&self) -> u64 {
        self.0.logins.registry()
    }

    /// Tells that devices or clients have changed. Every token is asked about again at its next login.
    pub fn registry_changed(&self) {
        self.0.logins.registry_changed();
    }

    /// Answers the token endpoint: `authorization` is the header of that name, `body` the form.
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for it. It is logged and counted here.
    pub async fn answer(
        &self,
        authorization: Option<&str>,
        body: &[u8],
        asker: Asker,
        now_ms: i64,
    ) -> Result<TokenAnswer, Refused<TokenRefused>> {
        let request = TokenRequest::parse(authorization, body);
        let result = match &request {
            Ok(request) => self.0.endpoint.answer(request, now_ms).await,
            Err(refused) => Err(*refused),
        };
        self.0.metrics.tokens.inc(TokenResult::of(&result));
        let client_id = request.as_ref().map_or("", TokenRequest::client_id);
        if let Err(reason) = &result {
            tracing::warn!(client_id = clipped(client_id), reason = reason.as_str(), "A token is refused: {reason}.");
        }
        self.paused(result, client_id, asker, |reason| reason == TokenRefused::InvalidClient)
    }

    /// Enters a result into the account of failures; how long the answer to a failure has to wait.
    fn paused<T, R: Copy>(
        &self,
        result: Result<T, R>,
        name: &str,
        Asker { from, now }: Asker,
        is_failure: impl Fn(R) -> bool,
    ) -> Result<T, Refused<R>> {
        match result {
            Ok(value) => {
                self.0.failed.succeeded(name, from, now);
                Ok(value)
            }
            Err(reason) => {
                let pause = if is_failure(reason) { self.0.failed.failed(name, from, now) } else { Duration::ZERO };
                Err(Refused { reason, pause })
            }
        }
    }

    /// The public keys that verify our tokens.
    pub fn jwks(&self) -> &JwkSet {
        self.0.endpoint.issuer().jwks()
    }

    /// What a client has to know of the issuer.
    pub fn metadata(&self) -> Metadata {
        self.0.endpoint.issuer().metadata()
    }

    /// The issuer's identifier.
    pub fn issuer(&self) -> &IssuerUrl {
        self.0.endpoint.issuer().url()
    }
}

/// A store that is away is nobody's failure.
fn is_failure(reason: LoginRefused) -> bool {
    reason != LoginRefused::StoreUnavailable
}

/// What a log line shows of a foreign name; `Debug` escapes it besides. Whoever swaps name and secret must not find the secret in
/// the log.
fn clipped(name: &str) -> &str {
    if secret::looks_like_one(name) {
        return "(what looks like a secret)";
    }
    let end = name.char_indices().nth(LOGGED_CHARS_MAX).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

const LOGGED_CHARS_MAX: usize = 64;
