//! Whether a token is an access token for this gateway, now: offline, from the issuers' public keys alone.
//!
//! The token never chooses how it is verified. Its issuer and key id only look a key up; the algorithm is the key's,
//! and a token that names another is refused. So neither `none` nor HMAC keyed with a public key has a way in: there
//! is no such key. The signature is checked last, since all before it is a comparison: a fleet that comes back with
//! expired tokens costs no elliptic curve. Whose token it is, and whether the holder may still come in, is asked in
//! [`login`](super::Auth::login).

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use prometheus::IntCounter;

use super::claims::Claims;
use super::foreign::{ForeignConfig, mapping};
use super::jose::{Compact, Members};
use super::refusal::LoginRefused;

/// The longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// How far ahead of our clock `nbf` may be. `exp` has no such leeway: a connection ends at the moment in its token.
const NOT_BEFORE_LEEWAY_MS: i64 = 5_000;

/// Judges tokens.
pub struct Validator {
    issuers: Vec<TrustedIssuer>,
    signature_checks: IntCounter,
}

/// Who signs tokens that are believed here.
#[derive(Clone)]
pub struct TrustedIssuer {
    name: String,
    keys: KeyRing,
    audience: String,
    /// What its claims mean; none: they are ours.
    foreign: Option<Arc<ForeignConfig>>,
}

/// The keys of an issuer as they are now. Clones are one, so that whoever has new keys hands them in while others verify.
#[derive(Clone)]
pub struct KeyRing(Arc<RwLock<Arc<[VerificationKey]>>>);

/// A public key, with the one algorithm that it is for.
#[derive(Clone)]
pub struct VerificationKey {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
    ends_at_ms: i64,
}

/// The algorithms that verify. Ours are signed with ES256; RS256 is what most other issuers sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519 (RFC 8037 section 3.1).
    EdDsa,
}

/// The public key cannot verify what it is said to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public key is not one for its algorithm")]
pub struct KeyUnfit;

impl Validator {
    /// Tokens by one of `issuers`; each signature check is counted.
    pub fn new(issuers: Vec<TrustedIssuer>, signature_checks: IntCounter) -> Self {
        Validator { issuers, signature_checks }
    }

    /// The claims of `token`, if it is a valid access token at `now_ms`.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn check(&self, token: &str, now_ms: i64) -> Result<Claims, LoginRefused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(LoginRefused::Malformed);
        }
        let compact = Compact::parse(token).ok_or(LoginRefused::Malformed)?;
        check_critical(&compact.header)?;
        let name = compact.claims.text("iss").ok_or(LoginRefused::Malformed)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.name == name).ok_or(LoginRefused::WrongIssuer)?;
        let claims = issuer.claims(&compact)?;
        let key = issuer.key(&compact.header, now_ms)?;
        // RFC 9068 section 4: the resource server is among the audiences.
        if !claims.audiences.contains(&issuer.audience) {
            return Err(LoginRefused::WrongAudience);
        }
        check_time(&claims, now_ms)?;
        self.signature_checks.inc();
        if !key.verifies(compact.signed, compact.signature) {
            return Err(LoginRefused::WrongSignature);
        }
        Ok(Claims { key_id: key.kid, ..claims })
    }
}

impl TrustedIssuer {
    /// An issuer by its identifier, as its tokens bear it in `iss`.
    pub fn new(name: &str, keys: KeyRing, audience: &str) -> Self {
        TrustedIssuer { name: name.to_owned(), keys, audience: audience.to_owned(), foreign: None }
    }

    /// One whose claims are not ours.
    pub fn foreign(name: &str, keys: KeyRing, audience: &str, config: Arc<ForeignConfig>) -> Self {
        TrustedIssuer { foreign: Some(config), ..TrustedIssuer::new(name, keys, audience) }
    }

    /// What an access token of this issuer says.
    fn claims(&self, token: &Compact<'_>) -> Result<Claims, LoginRefused> {
        match &self.foreign {
            Some(config) => {
                mapping::check_type(config, &token.header, &token.claims)?;
                mapping::claims(config, &token.claims)
            }
            None => {
                check_type(&token.header)?;
                Claims::parse(&token.claims).ok_or(LoginRefused::Malformed)
            }
        }
    }

    fn key(&self, header: &Members, now_ms: i64) -> Result<VerificationKey, LoginRefused> {
        let kid = header.text("kid").ok_or(LoginRefused::UnknownKey)?;
        let key = self.keys.find(kid, now_ms).ok_or(LoginRefused::UnknownKey)?;
        let named = header.text("alg").ok_or(LoginRefused::Malformed)?;
        if named == key.algorithm.as_str() { Ok(key) } else { Err(LoginRefused::WrongAlgorithm) }
    }
}

impl KeyRing {
    /// These keys.
    pub fn new(keys: Vec<VerificationKey>) -> Self {
        KeyRing(Arc::new(RwLock::new(keys.into())))
    }

    /// From now on it is these.
    pub fn replace(&self, keys: Vec<VerificationKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
    }

    /// The key of this id, if it has not ended.
    pub fn find(&self, kid: &str, now_ms: i64) -> Option<VerificationKey> {
        let keys = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        keys.iter().find(|key| key.kid == kid && now_ms < key.ends_at_ms).cloned()
    }
}

impl VerificationKey {
    /// A key for ES256 of its uncompressed point (SEC 1 section 2.3.3, 65 bytes).
    ///
    /// # Errors
    /// It is no point of the curve.
    pub fn es256(kid: &str, point: &[u8]) -> Result<Self, KeyUnfit> {
        p256::PublicKey::from_sec1_bytes(point).map_err(|_| KeyUnfit)?;
        Ok(VerificationKey::of(kid, Algorithm::Es256, DecodingKey::from_ec_der(point)))
    }

    /// A key for EdDSA of its 32 bytes (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// They are no point of Ed25519.
    pub fn ed25519(kid: &str, public: &[u8]) -> Result<Self, KeyUnfit> {
        let public: &[u8; 32] = public.try_into().map_err(|_| KeyUnfit)?;
        let point = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| KeyUnfit)?;
        if point.is_weak() {
            return Err(KeyUnfit);
        }
        Ok(VerificationKey::of(kid, Algorithm::EdDsa, DecodingKey::from_ed_der(public)))
    }

    /// A key for RS256 of the JWK members `n` and `e`.
    ///
    /// # Errors
    /// They are no base64url, or the modulus has fewer than 2048 bits (RFC 7518 section 3.3).
    pub fn rs256(kid: &str, n: &str, e: &str) -> Result<Self, KeyUnfit> {
        let modulus = URL_SAFE_NO_PAD.decode(n).map_err(|_| KeyUnfit)?;
        let bits = modulus.iter().skip_while(|&&byte| byte == 0).count() * 8;
        let key = DecodingKey::from_rsa_components(n, e).map_err(|_| KeyUnfit)?;
        if bits < RSA_BITS_MIN {
            return Err(KeyUnfit);
        }
        Ok(VerificationKey::of(kid, Algorithm::Rs256, key))
    }

    fn of(kid: &str, algorithm: Algorithm, key: DecodingKey) -> Self {
        VerificationKey { kid: kid.to_owned(), algorithm, key, ends_at_ms: i64::MAX }
    }

    /// The same, which is good before `ends_at_ms` alone, Unix ms.
    #[must_use]
    pub fn until(self, ends_at_ms: i64) -> Self {
        VerificationKey { ends_at_ms, ..self }
    }

    /// Its id; empty: it has none.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature`, in base64url, is this key's over `signed`.
    pub(crate) fn verifies(&self, signed: &str, signature: &str) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

impl Algorithm {
    /// The name in a token's `alg` (RFC 7518 section 3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 => "RS256",
            Algorithm::EdDsa => "EdDSA",
        }
    }
}

const RSA_BITS_MIN: usize = 2048;

/// RFC 7515 section 4.1.11: `crit` names extensions that must be understood, and none is here.
fn check_critical(header: &Members) -> Result<(), LoginRefused> {
    if header.member("crit").is_some() { Err(LoginRefused::Malformed) } else { Ok(()) }
}

fn check_type(header: &Members) -> Result<(), LoginRefused> {
    // RFC 9068 section 4; a media type does not mind case (RFC 7515 section 4.1.9).
    let kind = header.text("typ").ok_or(LoginRefused::WrongType)?;
    let access_token = ["at+jwt", "application/at+jwt"].iter().any(|name| kind.eq_ignore_ascii_case(name));
    if access_token { Ok(()) } else { Err(LoginRefused::WrongType) }
}

/// Whether it is the token's time.
pub(super) fn check_time(claims: &Claims, now_ms: i64) -> Result<(), LoginRefused> {
    // RFC 7519 section 4.1.4: not "on or after" that time.
    if now_ms >= claims.expires_at_ms {
        return Err(LoginRefused::Expired);
    }
    if now_ms < valid_from_ms(claims) { Err(LoginRefused::NotYetValid) } else { Ok(()) }
}

/// From when on the token is taken.
pub(crate) fn valid_from_ms(claims: &Claims) -> i64 {
    claims.not_before_ms.map_or(i64::MIN, |not_before_ms| not_before_ms - NOT_BEFORE_LEEWAY_MS)
}

#[cfg(test)]
mod tests;
