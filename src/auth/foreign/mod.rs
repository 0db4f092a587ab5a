//! Issuers of the organisation's own, whose tokens are believed beside ours: `[[auth.issuer]]`.
//!
//! Their keys are kept by a driver each ([`Foreign::run`]); a token is judged offline, as ours is, with what its claims mean as the settings
//! say. A token that is no JWT is asked about. Whether its holder may come in is the registry's to say, as for ours.

pub(super) mod config;
mod documents;
mod introspection;
mod keeper;
pub(super) mod mapping;
mod opaque;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use config::{ForeignConfig, Register};
use introspection::{Introspection, TokenHash};
use keeper::Keeper;
pub(super) use opaque::Opaque;
use opaque::Watched;

use super::claims::Claims;
use super::config::Config;
use super::grant::Grant;
use super::metrics::Metrics;
use super::refusal::LoginRefused;
use super::taken_back::TokenMark;
use super::validator::{TrustedIssuer, check_time};
use crate::fetch::Fetch;
use crate::limit::{Pace, Rate};
use crate::metrics::Registry;
use crate::ready::{Part, Ready};
use crate::tls::{LoadError, client_config};

/// Devices a second that one issuer may add to the registry.
const REGISTERED_PER_SECOND: u64 = 100;

/// All of them. Clones are one.
#[derive(Clone, Default)]
pub struct Foreign {
    issuers: Arc<[Issuer]>,
    key_version: u8,
}

/// What becomes of a device that is not in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registration {
    /// Somebody has to add it.
    Never,
    /// It is added.
    Now,
    /// It is added when it comes again: too many have been within this second.
    Later,
}

struct Issuer {
    config: Arc<ForeignConfig>,
    audience: String,
    keeper: Keeper,
    introspection: Option<Introspection>,
    watched: Watched,
    registered: std::sync::Mutex<Option<Pace>>,
}

impl Foreign {
    /// Those of the settings; nothing is fetched yet. A device that is added at its first login has seal keys from `key_version` on.
    ///
    /// # Errors
    /// An authority's file cannot be used.
    pub fn new(config: &Config, registry: &Registry, key_version: u8) -> Result<Self, LoadError> {
        let issuer = |foreign: &ForeignConfig| {
            let fetch = Fetch::new(client_config(foreign.tls_ca.as_deref(), None)?);
            let up = Metrics::issuer(registry, foreign.issuer.as_str());
            let config_of = Arc::new(foreign.clone());
            Ok(Issuer {
                audience: foreign.audience.clone().unwrap_or_else(|| config.audience.clone()),
                introspection: Introspection::new(&config_of, &fetch),
                keeper: Keeper::new(Arc::clone(&config_of), fetch, up),
                config: config_of,
                watched: Watched::default(),
                registered: std::sync::Mutex::default(),
            })
        };
        Ok(Foreign { issuers: config.foreign.iter().map(issuer).collect::<Result<_, _>>()?, key_version })
    }

    /// Keeps the keys of all until `stop`. The gateway is ready once each has given its keys. `ended` hears of the opaque tokens that were good
    /// when somebody came in with them and are so no more.
    pub async fn run(self, stop: CancellationToken, ready: Ready, ended: impl Fn(&HashSet<TokenMark>)) {
        let told = || ready.set(Part::Issuer, self.issuers.iter().all(|issuer| issuer.keeper.has_keys()));
        told();
        let keepers = self.issuers.iter().map(|issuer| issuer.keeper.run(&stop, told));
        let askers = futures_util::future::join_all(self.issuers.iter().map(|issuer| issuer.keep_asking(&ended)));
        let both = futures_util::future::join(futures_util::future::join_all(keepers), askers);
        let _ = stop.run_until_cancelled(both).await;
        stop.cancelled().await;
    }

    /// As the validator knows them.
    pub(super) fn trusted(&self) -> Vec<TrustedIssuer> {
        let trusted = |issuer: &Issuer| {
            let (name, ring) = (issuer.config.issuer.as_str(), issuer.keeper.ring().clone());
            TrustedIssuer::foreign(name, ring, &issuer.audience, Arc::clone(&issuer.config))
        };
        self.issuers.iter().map(trusted).collect()
    }

    /// Whether the keys of the issuer of this name were fetched once more, because one was not there.
    pub(super) async fn look_again(&self, issuer: &str) -> bool {
        match self.find(issuer) {
            Some(issuer) => issuer.keeper.look_again().await,
            None => false,
        }
    }

    /// Whether the issuer of this name has this key now.
    pub(super) fn has_key(&self, issuer: &str, key_id: &str, now_ms: i64) -> bool {
        self.find(issuer).is_some_and(|issuer| issuer.keeper.ring().find(key_id, now_ms).is_some())
    }

    /// Whether the keys of the issuer of this name are not there at all.
    pub(super) fn is_without_keys(&self, issuer: &str) -> bool {
        self.find(issuer).is_some_and(|issuer| !issuer.keeper.has_keys())
    }

    /// What a token says that is no JWT. Nobody can see whose it is: each that can be asked is, until one knows it.
    pub(super) async fn introspect(&self, token: &str, now_ms: i64) -> Result<Claims, LoginRefused> {
        let hash: TokenHash = Sha256::digest(token).into();
        let asked = || self.issuers.iter().filter_map(|issuer| Some((issuer, issuer.introspection.as_ref()?)));
        // So that one that is away does not hold up the tokens of another.
        for (issuer, introspection) in asked() {
            if let Some(Ok(claims)) = introspection.known(&hash, now_ms) {
                return issuer.judged(&claims, now_ms);
            }
        }
        let mut refusal = LoginRefused::Malformed;
        for (issuer, introspection) in asked() {
            let said = match introspection.known(&hash, now_ms) {
                Some(said) => said,
                None => introspection.said(token, hash, now_ms).await,
            };
            match said {
                Ok(claims) => return issuer.judged(&claims, now_ms),
                // One that did not answer may be the one that knows it.
                Err(LoginRefused::Revoked) if refusal.is_passing() => {}
                Err(reason @ (LoginRefused::Revoked | LoginRefused::IssuerUnavailable)) => refusal = reason,
                Err(reason) => return Err(reason),
            }
        }
        Err(refusal)
    }

    /// The same grant, which ends when this issuer says of this token that it is good no more.
    pub(super) fn watched(&self, issuer: &str, token: &str, grant: &Grant) -> Grant {
        let opaque = Arc::new(Opaque::new(issuer, token));
        if let Some(issuer) = self.find(issuer) {
            issuer.watched.watch(&opaque);
        }
        grant.clone().by_opaque(opaque)
    }

    /// Whether a device of this issuer that is not in the registry is added; if so, it counts.
    pub(super) fn registration(&self, issuer: &str, now: Instant) -> Registration {
        let Some(issuer) = self.find(issuer).filter(|issuer| issuer.config.register == Register::OnLogin) else {
            return Registration::Never;
        };
        let mut pace = issuer.registered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match pace.get_or_insert_with(|| Pace::new(now)).try_take(Rate::per_second(REGISTERED_PER_SECOND), now) {
            true => Registration::Now,
            false => Registration::Later,
        }
    }

    /// The group of a device of this issuer that is added and whose token names none.
    pub(super) fn group(&self, issuer: &str) -> Option<Arc<str>> {
        self.find(issuer)?.config.group.as_deref().map(Arc::from)
    }

    /// The lowest version of the seal keys of a device that is added.
    pub(super) fn key_version(&self) -> u8 {
        self.key_version
    }

    /// Whether there is an issuer of this name.
    pub(super) fn knows(&self, issuer: &str) -> bool {
        self.find(issuer).is_some()
    }

    fn find(&self, issuer: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|known| known.config.issuer.as_str() == issuer)
    }
}

impl Issuer {
    /// The claims of a token that its issuer calls good, if they are for us, now.
    fn judged(&self, claims: &Claims, now_ms: i64) -> Result<Claims, LoginRefused> {
        if !claims.audiences.contains(&self.audience) {
            return Err(LoginRefused::WrongAudience);
        }
        check_time(claims, now_ms).map(|()| claims.clone())
    }
}

#[cfg(test)]
mod tests;
