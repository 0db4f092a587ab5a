//! Our own issuer: it signs access tokens for the clients in the registry, and says where and with which keys.
//!
//! The key is made at the first start. Of two processes that start at once on one database one makes it, and both
//! take what the store then has. Who may have a token for what is decided in [`endpoint`](super::endpoint).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::config::{Config, IssuerUrl};
use super::keys::{Jwk, SigningKey};
use super::validator::{Algorithm, TrustedIssuer};
use super::{OpenError, secret};
use crate::store::{SealedSigningKey, Store};

/// Signs tokens.
pub(crate) struct Issuer {
    url: IssuerUrl,
    audience: String,
    token_lifetime_secs: u64,
    kid: String,
    key: EncodingKey,
    jwks: JwkSet,
}

/// A token, as the token endpoint answers (RFC 6749 section 5.1).
#[derive(Serialize)]
pub struct TokenAnswer {
    #[serde(serialize_with = "exposed")]
    access_token: Zeroizing<String>,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
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
    jwks_uri: String,
    /// There is no authorization endpoint, so there are no response types; the member is required all the same.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
}

/// Where the token endpoint is, below the issuer.
pub const TOKEN_PATH: &str = "/oauth/token";
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

impl Issuer {
    /// The issuer with the keys in `store`, of which the newest signs; makes the first if there is none.
    pub(crate) async fn open(
        config: &Config,
        store: &Store,
        storage_key: &[u8; 32],
        now_ms: i64,
    ) -> Result<(Issuer, TrustedIssuer), OpenError> {
        let keys = keys(store, storage_key, now_ms).await?;
        let newest = keys.last().ok_or(OpenError::NoKey)?;
        let verification = keys.iter().map(SigningKey::verification_key).collect();
        let issuer = Issuer {
            url: config.issuer.clone(),
            audience: config.audience.clone(),
            token_lifetime_secs: config.token_lifetime.as_secs(),
            kid: newest.kid().to_owned(),
            key: newest.encoding_key(),
            jwks: JwkSet { keys: keys.iter().map(SigningKey::jwk).collect() },
        };
        Ok((issuer, TrustedIssuer::new(config.issuer.as_str(), verification)))
    }

    /// A token for `subject`, signed; nothing if the system has no random numbers or no time.
    pub(crate) fn issue(&self, subject: &str, client_id: &str, scope: String, now_ms: i64) -> Option<TokenAnswer> {
        let jti = URL_SAFE_NO_PAD.encode(secret::random::<TOKEN_ID_BYTES>().ok()?);
        let iat = u64::try_from(now_ms).ok()? / 1000;
        let claims = IssuedClaims {
            iss: self.url.as_str(),
            aud: &self.audience,
            sub: subject,
            client_id,
            iat,
            exp: iat + self.token_lifetime_secs,
            jti: &jti,
            scope: &scope,
        };
        let header = Header {
            typ: Some("at+jwt".to_owned()), // RFC 9068 section 2.1
            kid: Some(self.kid.clone()),
            ..Header::new(jsonwebtoken::Algorithm::ES256)
        };
        let access_token = Zeroizing::new(jsonwebtoken::encode(&header, &claims, &self.key).ok()?);
        Some(TokenAnswer { access_token, token_type: "Bearer", expires_in: self.token_lifetime_secs, scope })
    }

    /// The public keys.
    pub(crate) fn jwks(&self) -> &JwkSet {
        &self.jwks
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
            jwks_uri: self.url.endpoint(JWKS_PATH),
            response_types_supported: [],
            grant_types_supported: ["client_credentials"],
            token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
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
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer").field("expires_in", &self.expires_in).field("scope", &self.scope).finish()
    }
}

fn exposed<S: Serializer>(token: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token)
}

/// All keys in the store, oldest first.
async fn keys(store: &Store, storage_key: &[u8; 32], now_ms: i64) -> Result<Vec<SigningKey>, OpenError> {
    let mut kept = store.signing_keys().await?;
    if kept.is_empty() {
        make_first(store, storage_key, now_ms).await?;
        kept = store.signing_keys().await?;
    }
    let open = |key: &SealedSigningKey| SigningKey::open(&key.kid, &key.sealed, storage_key);
    Ok(kept.iter().map(open).collect::<Result<_, _>>()?)
}

async fn make_first(store: &Store, storage_key: &[u8; 32], now_ms: i64) -> Result<(), OpenError> {
    let key = SigningKey::generate()?;
    let sealed = key.seal(storage_key)?;
    let kept = SealedSigningKey { kid: key.kid().to_owned(), sealed, created_at_ms: now_ms };
    // Whether ours or another process's became the first does not matter: the store is asked again.
    store.add_first_signing_key(&kept).await?;
    tracing::info!(algorithm = Algorithm::Es256.as_str(), "The key that signs access tokens was made.");
    Ok(())
}
