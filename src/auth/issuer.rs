//! Our own issuer: it signs access tokens for the clients in the registry, and says where and with which keys.
//!
//! The key is made at the first start. Of two processes that start at once on one database one makes it, and both
//! take what the store then has; so it is at a rotation, whose times are told in [`rotation`](super::rotation). Who may have a token for
//! what is decided in [`endpoint`](super::endpoint).

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::config::{Config, IssuerUrl};
use super::credentials::METHODS;
use super::jwk::ALGORITHMS;
use super::keys::{Jwk, SigningKey};
use super::rotation::{Rotation, Schedule, is_shown, signing};
use super::validator::{Algorithm, KeyRing, TrustedIssuer};
use super::{OpenError, secret};
use crate::store::{Added, SealedSigningKey, Store};

/// Signs tokens.
pub(crate) struct Issuer {
    url: IssuerUrl,
    audience: String,
    other_audiences: Vec<String>,
    schedule: Schedule,
    store: Store,
    storage_key: Zeroizing<[u8; 32]>,
    ring: KeyRing,
    kept: RwLock<Arc<Kept>>,
}

/// The keys, as the store had them last, oldest first.
struct Kept {
    rows: Vec<SealedSigningKey>,
    keys: Vec<SigningKey>,
}

/// A token, as the token endpoint answers (RFC 6749 section 5.1).
#[derive(Serialize)]
pub struct TokenAnswer {
    #[serde(serialize_with = "exposed")]
    access_token: Zeroizing<String>,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip)]
    token_id: String,
}

/// What a token is to be.
pub(crate) struct Order<'a> {
    /// What it allows.
    pub(crate) scope: String,
    /// Who it is for.
    pub(crate) audience: &'a str,
}

/// The public keys (RFC 7517 section 5).
#[derive(Clone, Debug, Serialize)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

/// The metadata of the issuer (RFC 8414 section 2). All addresses follow from its identifier.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    issuer: String,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    /// There is no authorization endpoint, so there are no response types; the member is required all the same.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
}

/// Where the token endpoint is, below the issuer.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Where one asks what a token is worth, below the issuer (RFC 7662).
pub const INTROSPECTION_PATH: &str = "/oauth/introspect";
/// Where a token is taken back, below the issuer (RFC 7009).
pub const REVOCATION_PATH: &str = "/oauth/revoke";
/// Where the public keys are, below the issuer.
pub const JWKS_PATH: &str = "/oauth/jwks";
/// Where the metadata are: at the root of the host, with the issuer's path after it (RFC 8414 section 3).
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The claims that we issue (RFC 9068 section 2.2).
#[derive(Serialize)]
struct IssuedClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    scope: &'a str,
}

const TOKEN_ID_BYTES: usize = 16;

/// Ended keys are kept for so long, so that connections that came with a token of one are found.
const ENDED_KEPT_MS: i64 = 24 * 3_600_000;

impl Issuer {
    /// The issuer with the keys in `store`; makes the first if there is none.
    pub(crate) async fn open(
        config: &Config,
        store: &Store,
        storage_key: &[u8; 32],
        now_ms: i64,
    ) -> Result<(Issuer, TrustedIssuer), OpenError> {
        if store.signing_keys().await?.is_empty() {
            make_first(store, storage_key, now_ms).await?;
        }
        let ring = KeyRing::new(Vec::new());
        let issuer = Issuer {
            url: config.identifier.clone(),
            audience: config.audience.clone(),
            other_audiences: config.other_audiences.clone(),
            schedule: config.schedule(),
            store: store.clone(),
            storage_key: Zeroizing::new(*storage_key),
            ring: ring.clone(),
            kept: RwLock::new(Arc::new(Kept { rows: Vec::new(), keys: Vec::new() })),
        };
        issuer.reload().await?;
        if issuer.kept().rows.is_empty() {
            return Err(OpenError::NoKey);
        }
        Ok((issuer, TrustedIssuer::new(config.identifier.as_str(), ring, &config.audience)))
    }

    /// Takes the keys as the store has them now.
    pub(crate) async fn reload(&self) -> Result<(), OpenError> {
        let rows = self.store.signing_keys().await?;
        let open = |row: &SealedSigningKey| SigningKey::open(&row.kid, &row.sealed, &self.storage_key);
        let keys: Vec<SigningKey> = rows.iter().map(open).collect::<Result<_, _>>()?;
        let verify = keys.iter().zip(&rows);
        let verify = verify.map(|(key, row)| key.verification_key().until(row.ends_at_ms.unwrap_or(i64::MAX)));
        self.ring.replace(verify.collect());
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Kept { rows, keys });
        Ok(())
    }

    /// What has to be done now and then: the next key, if it is time, and the end of what is over. Whether a key came.
    pub(crate) async fn keep(&self, now_ms: i64) -> Result<Added, OpenError> {
        let is_due = self.kept().rows.last().is_some_and(|newest| self.schedule.is_due(newest, now_ms));
        let added = if is_due { self.rotate(Rotation::Overlapping, now_ms).await? } else { Added::AlreadyThere };
        let old = |row: &SealedSigningKey| row.ends_at_ms.is_some_and(|end_ms| end_ms < now_ms - ENDED_KEPT_MS);
        if self.kept().rows.iter().any(old) {
            self.store.remove_signing_keys(now_ms - ENDED_KEPT_MS).await?;
            self.reload().await?;
        }
        Ok(added)
    }

    /// Makes the next key, unless another process has made one meanwhile.
    pub(crate) async fn rotate(&self, rotation: Rotation, now_ms: i64) -> Result<Added, OpenError> {
        let plan = self.schedule.plan(rotation, now_ms);
        let kept = self.kept();
        let newest = kept.rows.last().ok_or(OpenError::NoKey)?;
        // The order of keys is that of these times, whatever another gateway's clock has made of the one before.
        let created_at_ms = now_ms.max(newest.created_at_ms + 1);
        let (_, next) = new_key(&self.storage_key, created_at_ms, plan.signs_from_ms)?;
        let added = self.store.rotate_signing_key(&next, &newest.kid, plan.others_end_ms).await?;
        self.reload().await?;
        Ok(added)
    }

    /// The ids of keys whose tokens are no longer believed.
    pub(crate) fn ended(&self, now_ms: i64) -> Vec<String> {
        let kept = self.kept();
        kept.rows.iter().filter(|row| !is_shown(row, now_ms)).map(|row| row.kid.clone()).collect()
    }

    fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whom a token that asks for `resource` is for; none: we issue none for it.
    pub(crate) fn audience(&self, resource: Option<&str>) -> Option<&str> {
        match resource {
            None => Some(&self.audience),
            Some(one) => {
                [&self.audience].into_iter().chain(&self.other_audiences).find(|known| *known == one).map(|s| &**s)
            }
        }
    }

    /// A token for `subject`, signed; nothing if the system has no random numbers or no time.
    pub(crate) fn issue(&self, subject: &str, client_id: &str, order: Order<'_>, now_ms: i64) -> Option<TokenAnswer> {
        let jti = URL_SAFE_NO_PAD.encode(secret::random::<TOKEN_ID_BYTES>().ok()?);
        let iat = u64::try_from(now_ms).ok()? / 1000;
        let lifetime_secs = self.schedule.token_lifetime.as_secs();
        let Order { scope, audience } = order;
        let claims = IssuedClaims {
            iss: self.url.as_str(),
            aud: audience,
            sub: subject,
            client_id,
            iat,
            exp: iat + lifetime_secs,
            jti: &jti,
            scope: &scope,
        };
        let kept = self.kept();
        let key = kept.keys.get(signing(&kept.rows, now_ms)?)?;
        let header = Header {
            typ: Some("at+jwt".to_owned()), // RFC 9068 section 2.1
            kid: Some(key.kid().to_owned()),
            ..Header::new(jsonwebtoken::Algorithm::ES256)
        };
        let access_token = Zeroizing::new(jsonwebtoken::encode(&header, &claims, key.encoding_key()).ok()?);
        Some(TokenAnswer { access_token, token_type: "Bearer", expires_in: lifetime_secs, scope, token_id: jti })
    }

    /// The public keys that verify our tokens now or soon.
    pub(crate) fn jwks(&self, now_ms: i64) -> JwkSet {
        let kept = self.kept();
        let shown = kept.keys.iter().zip(&kept.rows).filter(|(_, row)| is_shown(row, now_ms));
        JwkSet { keys: shown.map(|(key, _)| key.jwk()).collect() }
    }

    /// The identifier.
    pub(crate) fn url(&self) -> &IssuerUrl {
        &self.url
    }

    /// The metadata.
    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            issuer: self.url.as_str().to_owned(),
            token_endpoint: self.url.endpoint(TOKEN_PATH),
            introspection_endpoint: self.url.endpoint(INTROSPECTION_PATH),
            revocation_endpoint: self.url.endpoint(REVOCATION_PATH),
            jwks_uri: self.url.endpoint(JWKS_PATH),
            response_types_supported: [],
            grant_types_supported: ["client_credentials"],
            token_endpoint_auth_methods_supported: METHODS,
            token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
            introspection_endpoint_auth_methods_supported: METHODS,
            introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
            revocation_endpoint_auth_methods_supported: METHODS,
            revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
        }
    }
}

impl TokenAnswer {
    /// The token, for the one who hands it out.
    pub fn expose(&self) -> &str {
        &self.access_token
    }

    /// What the token is for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Its `jti`.
    pub fn token_id(&self) -> &str {
        &self.token_id
    }
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer").field("expires_in", &self.expires_in).field("scope", &self.scope).finish()
    }
}

fn exposed<S: Serializer>(token: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token)
}

async fn make_first(store: &Store, storage_key: &[u8; 32], now_ms: i64) -> Result<(), OpenError> {
    let (_, kept) = new_key(storage_key, now_ms, now_ms)?;
    // Whether ours or another process's became the first does not matter: the store is asked again.
    store.add_first_signing_key(&kept).await?;
    tracing::info!(algorithm = Algorithm::Es256.as_str(), "The key that signs access tokens was made.");
    Ok(())
}

/// A new key, and what the store keeps of it.
fn new_key(
    storage_key: &[u8; 32],
    created_at_ms: i64,
    signs_from_ms: i64,
) -> Result<(SigningKey, SealedSigningKey), getrandom::Error> {
    let key = SigningKey::generate()?;
    let (kid, sealed) = (key.kid().to_owned(), key.seal(storage_key)?);
    Ok((key, SealedSigningKey { kid, sealed, created_at_ms, signs_from_ms, ends_at_ms: None }))
}
