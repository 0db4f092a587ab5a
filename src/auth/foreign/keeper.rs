//! The driver that keeps the keys of one issuer: fetched at the start, again and again, and once more when a token names a key that is not
//! there.
//!
//! While the issuer does not answer, the keys that it had last are believed, up to a bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::Request;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::config::ForeignConfig;
use super::documents::{DocumentError, jwks_url, keys, metadata_urls};
use crate::auth::validator::{KeyRing, VerificationKey};
use crate::fetch::{Fetch, FetchError};
use crate::metrics::IntGauge;

/// Between two fetches, whoever asks for them.
const SPACING: Duration = Duration::from_secs(5);
/// What a login waits for a key that is not there yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// The keys of an issuer, and the way to them.
pub(super) struct Keeper {
    config: Arc<ForeignConfig>,
    fetch: Fetch,
    ring: KeyRing,
    up: IntGauge,
    state: Mutex<State>,
    wanted: Notify,
    fetches: watch::Sender<u64>,
}

#[derive(Clone, Copy, Default)]
struct State {
    is_fetching: bool,
    /// When the last fetch began.
    began: Option<Instant>,
    /// When keys came last.
    fetched: Option<Instant>,
    /// Whether the last one went well, so that a change is logged once.
    was_well: Option<bool>,
}

#[derive(Debug, Error)]
enum Failure {
    #[error("{url}: {source}")]
    Fetch { url: String, source: FetchError },
    #[error("{url}: it answers {status}")]
    Status { url: String, status: u16 },
    #[error("{url}: {source}")]
    Document { url: String, source: DocumentError },
    #[error("its metadata name {0} for its keys, which has no TLS and is not on this machine")]
    Open(String),
    #[error("{0:?} is no URL")]
    Url(String),
}

impl Keeper {
    pub(super) fn new(config: Arc<ForeignConfig>, fetch: Fetch, up: IntGauge) -> Self {
        let (state, fetches) = (Mutex::default(), watch::Sender::new(0));
        Keeper { config, fetch, ring: KeyRing::new(Vec::new()), up, state, wanted: Notify::new(), fetches }
    }

    pub(super) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Whether there are keys.
    pub(super) fn has_keys(&self) -> bool {
        self.state().fetched.is_some()
    }

    /// Fetches until `stop`; `told` hears of each change.
    pub(super) async fn run(&self, stop: &CancellationToken, told: impl Fn()) {
        while !stop.is_cancelled() {
            {
                let mut state = self.state();
                (state.is_fetching, state.began) = (true, Some(now()));
            }
            let Some(result) = stop.run_until_cancelled(self.fetch_keys()).await else { return };
            let pause = self.take(result);
            told();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Waits for the keys to be fetched once more, because one was not there. False: they were fetched just now, or do not come in time.
    ///
    /// Of many who ask at once one has them fetched, and all wait for it.
    pub(super) async fn look_again(&self) -> bool {
        let mut fetches = self.fetches.subscribe();
        {
            let mut state = self.state();
            let is_soon = state.began.is_some_and(|began| now() < began + SPACING);
            match (state.is_fetching, is_soon) {
                (true, _) => {}
                (false, true) => return false,
                (false, false) => {
                    state.is_fetching = true;
                    self.wanted.notify_one();
                }
            }
        }
        tokio::time::timeout(PATIENCE, fetches.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Takes what came of a fetch; how long the next one has time.
    fn take(&self, result: Result<Vec<VerificationKey>, Failure>) -> Duration {
        let (mut state, issuer) = (self.state(), self.config.issuer.as_str());
        state.is_fetching = false;
        let (is_well, pause) = (result.is_ok(), if result.is_ok() { self.config.refresh } else { SPACING });
        let changed = state.was_well.replace(is_well) != Some(is_well);
        match result {
            Ok(keys) => {
                state.fetched = Some(now());
                if changed {
                    tracing::info!(issuer, keys = keys.len(), "The keys of an issuer are there.");
                }
                self.ring.replace(keys);
            }
            Err(error) => {
                if changed {
                    tracing::warn!(issuer, %error, "The keys of an issuer cannot be fetched; those that it had are believed meanwhile.");
                }
                if state.fetched.is_some_and(|fetched| now() >= fetched + self.config.keys_max_age) {
                    tracing::error!(
                        issuer,
                        "The keys of an issuer are older than keys_max_age; its tokens are refused."
                    );
                    state.fetched = None;
                    self.ring.replace(Vec::new());
                }
            }
        }
        drop(state);
        self.up.set(i64::from(is_well));
        self.fetches.send_modify(|count| *count += 1);
        pause
    }

    async fn fetch_keys(&self) -> Result<Vec<VerificationKey>, Failure> {
        let url = match &self.config.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let set = self.get(&url).await?;
        keys(&set).map_err(|source| Failure::Document { url, source })
    }

    async fn discover(&self) -> Result<String, Failure> {
        let [first, second] = metadata_urls(&self.config.issuer);
        let (url, metadata) = match self.get(&first).await {
            Ok(metadata) => (first, metadata),
            Err(Failure::Status { .. }) => (second.clone(), self.get(&second).await?),
            Err(failure) => return Err(failure),
        };
        let keys = jwks_url(&metadata, &self.config.issuer).map_err(|source| Failure::Document { url, source })?;
        if self.config.may_ask(&keys) { Ok(keys) } else { Err(Failure::Open(keys)) }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let request = Request::get(url).header("accept", "application/json").body(Vec::new());
        let request = request.map_err(|_| Failure::Url(url.to_owned()))?;
        let answer = self.fetch.send(request).await;
        let answer = answer.map_err(|source| Failure::Fetch { url: url.to_owned(), source })?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body()),
            status => Err(Failure::Status { url: url.to_owned(), status }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::Metrics;
    use crate::auth::keys::SigningKey;
    use crate::metrics::Registry;
    use crate::tls::client_config;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn keeper(more: &str) -> Keeper {
        let config = toml::from_str(&format!("issuer = \"https://login.example\"\n{more}")).unwrap();
        let up = Metrics::issuer(&Registry::default(), "https://login.example");
        Keeper::new(Arc::new(config), Fetch::new(client_config(None, None).unwrap()), up)
    }

    fn a_key() -> Vec<VerificationKey> {
        let jwk = SigningKey::generate().unwrap().jwk();
        keys(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap()
    }

    fn no_answer() -> Failure {
        Failure::Status { url: "https://login.example/jwks".to_owned(), status: 503 }
    }

    #[test]
    fn while_no_keys_come_those_that_were_there_are_believed_and_it_is_tried_sooner() {
        let (keeper, keys) = (keeper(""), a_key());
        let kid = keys[0].kid().to_owned();
        assert!(!keeper.has_keys());
        assert_eq!(keeper.take(Ok(keys)), Duration::from_secs(45));
        assert_eq!(keeper.up.get(), 1);
        assert_eq!(keeper.take(Err(no_answer())), SPACING);
        assert!(keeper.has_keys() && keeper.ring().find(&kid, NOW_MS).is_some());
        assert_eq!(keeper.up.get(), 0);
    }

    #[test]
    fn keys_that_are_too_old_are_believed_no_more_until_others_come() {
        let (keeper, keys) = (keeper("keys_max_age = \"0s\""), a_key());
        let kid = keys[0].kid().to_owned();
        keeper.take(Ok(keys.clone()));
        keeper.take(Err(no_answer()));
        assert!(!keeper.has_keys() && keeper.ring().find(&kid, NOW_MS).is_none());
        keeper.take(Ok(keys));
        assert!(keeper.has_keys() && keeper.ring().find(&kid, NOW_MS).is_some());
    }
}
