//! The guard of identities: who may come in, and which topics are theirs.
//!
//! Three doors ask here. The public HTTP listener hands in requests for tokens ([`Auth::answer`]), and gets tokens that
//! our own issuer signs; and it hands in what other brokers ask about their clients ([`Auth::login_elsewhere`],
//! [`Auth::standing`]). The MQTT listener hands in a login ([`Auth::login`]), and gets a [`Grant`]: who it is, what
//! they may publish and subscribe to, and until when. The admin listener asks who an operator is ([`Auth::operator`]). A token is judged
//! offline; the registry is asked whether its holder may still come in.
//!
//! Each login and each token is entered into the audit log, in groups and a moment later ([`JournalWriter`]).
//!
//! A token says *where* a message may go. What a message is worth, only its seal says, and that is not known here.

mod assertion;
mod claims;
mod config;
mod credentials;
mod endpoint;
mod failed;
pub mod foreign;
mod form;
mod grant;
mod issuer;
mod issuing;
mod jose;
mod journal;
pub mod jwk;
mod keys;
mod login;
mod metrics;
mod refusal;
mod request;
mod rotation;
pub mod scope;
pub mod secret;
mod taken_back;
pub mod validator;

pub use claims::Claims;
pub use config::{Config, IssuerUrl, IssuerUrlError};
pub use endpoint::{ActiveToken, Introspection};
pub use foreign::{Foreign, ForeignConfig};
pub use grant::{Grant, Principal};
pub use issuer::{
    INTROSPECTION_PATH, JWKS_PATH, JwkSet, METADATA_PATH, Metadata, REVOCATION_PATH, TOKEN_PATH, TokenAnswer,
};
pub use journal::JournalWriter;
pub use keys::{Jwk, KeyError};
pub use metrics::Metrics;
pub use refusal::LoginRefused;
pub use request::TokenRefused;
pub use rotation::{Rotation, signing as signing_key};
pub use scope::Role;
pub use taken_back::{TakenBack, TokenMark};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::limit::Rate;
use crate::store::{Added, Event, Store, StoreError};
use endpoint::Endpoint;
use failed::FailedLogins;
use issuer::Issuer;
use journal::Journal;
use login::Logins;
use metrics::LoginResult;
use validator::Validator;

/// The guard. Clones are one.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    logins: Logins,
    failed: FailedLogins,
    journal: Journal,
    store: Store,
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

/// Who operates the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// By which name.
    pub name: Arc<str>,
    /// As what.
    pub role: Role,
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
    /// Loads the keys that sign tokens, which are sealed under `storage_key`, or makes the first. Tokens of `foreign` issuers are believed too. Which tokens were taken back is not known before
    /// [`Auth::look_again`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        config: &Config,
        store: Store,
        storage_key: &[u8; 32],
        foreign: Foreign,
        metrics: Metrics,
        now_ms: i64,
    ) -> Result<(Auth, JournalWriter), OpenError> {
        let (issuer, trusted) = Issuer::open(config, &store, storage_key, now_ms).await?;
        let trusted = [vec![trusted], foreign.trusted()].concat();
        let validator = Validator::new(trusted, metrics.signature_checks.clone());
        let hits = metrics.cache_hits.clone();
        let logins = Logins::new(store.clone(), validator, foreign, config.token_cache_entries, hits);
        let endpoint = Endpoint::new(store.clone(), issuer, Rate::per_second(config.requests_per_client_max));
        let failed = FailedLogins::new(config, metrics.paused.clone());
        let (journal, writer) = Journal::new(store.clone(), metrics.left_out.clone());
        Ok((Auth(Arc::new(Inner { endpoint, logins, failed, journal, store, metrics })), writer))
    }

    /// Takes the signing keys and the revoked tokens as the store has them now. Every login is judged anew if other tokens are taken back
    /// than before. What is given back are the tokens whose connections have to end.
    ///
    /// # Errors
    /// The store does not answer, or has a key that does not open. Then nothing has changed.
    pub async fn look_again(&self, now_ms: i64) -> Result<Arc<TakenBack>, OpenError> {
        self.0.endpoint.issuer().reload().await?;
        let revoked = self.0.store.revoked_tokens(now_ms).await?;
        let issuer = self.0.endpoint.issuer();
        let taken_back = TakenBack::new(issuer.url().as_str(), &revoked, &issuer.ended(now_ms));
        Ok(self.0.logins.take_back(taken_back))
    }

    /// What has to be done now and then: the next signing key, if it is time, and what is over goes.
    ///
    /// # Errors
    /// As [`Auth::look_again`].
    pub async fn keep(&self, now_ms: i64) -> Result<(), OpenError> {
        if self.0.endpoint.issuer().keep(now_ms).await? == Added::Now {
            tracing::info!(
                "The next key that signs access tokens was made; it signs once it has been shown for a while."
            );
        }
        Ok(self.0.store.forget_revoked_tokens(now_ms).await?)
    }

    /// Makes the next signing key.
    ///
    /// # Errors
    /// As [`Auth::look_again`].
    pub async fn rotate(&self, rotation: Rotation, now_ms: i64) -> Result<Added, OpenError> {
        self.0.endpoint.issuer().rotate(rotation, now_ms).await
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
        let result = self.0.logins.login(user_name, token, client_id, asker.now, now_ms).await;
        self.note_login(&result, user_name, client_id, asker, now_ms);
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
        let result = self.0.logins.login_elsewhere(user_name, token, client_id, asker.now, now_ms).await;
        self.note_login(&result, user_name, client_id, asker, now_ms);
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

    /// Who operates the gateway with `token`, and as what.
    ///
    /// # Errors
    /// Why its bearer is no operator. It is logged, counted as a login and entered into the account of failures.
    pub async fn operator(&self, token: &str, asker: Asker, now_ms: i64) -> Result<Operator, Refused<LoginRefused>> {
        let result = self.0.logins.bearer(token, asker.now, now_ms).await;
        let result = result.and_then(|grant| {
            let role = grant.role().ok_or(LoginRefused::NoOperator)?;
            Ok(Operator { name: Arc::clone(grant.principal().name()), role })
        });
        self.unless_refused(result, asker)
    }

    /// What the bearer of `token` may do, whoever that is; for what is asked for over HTTP.
    ///
    /// # Errors
    /// The first reason against it. It is counted as a login and entered into the account of failures.
    pub async fn bearer(&self, token: &str, asker: Asker, now_ms: i64) -> Result<Arc<Grant>, Refused<LoginRefused>> {
        let result = self.0.logins.any(token, asker.now, now_ms).await;
        self.unless_refused(result, asker)
    }

    /// Counts the bearer of a token as a login where it is refused; its requests are none.
    fn unless_refused<T>(&self, result: Result<T, LoginRefused>, asker: Asker) -> Result<T, Refused<LoginRefused>> {
        if result.is_err() {
            self.0.metrics.logins.inc(LoginResult::of(&result));
        }
        self.paused(result, "", asker, is_failure)
    }

    fn note_login(
        &self,
        result: &Result<Arc<Grant>, LoginRefused>,
        user_name: &str,
        client_id: &str,
        Asker { from, now }: Asker,
        now_ms: i64,
    ) {
        self.0.metrics.logins.inc(LoginResult::of(result));
        let (user_name, client_id) = (clipped(user_name), clipped(client_id));
        let event = |action, detail: &str| Event {
            at_ms: now_ms,
            who: user_name.to_owned(),
            origin: from.to_canonical().to_string(),
            action,
            subject: user_name.to_owned(),
            detail: detail.to_owned(),
        };
        match result {
            Ok(_) => self.0.journal.enter(event("login", client_id)),
            Err(reason) => {
                tracing::warn!(?user_name, ?client_id, reason = reason.as_str(), "A login is refused: {reason}.");
                self.0.journal.enter_failure(event("login_refused", reason.as_str()), now);
            }
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
}

/// What passes by itself is nobody's failure.
fn is_failure(reason: LoginRefused) -> bool {
    !reason.is_passing()
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
