//! The keys that sign our access tokens: made at the first start, and kept in the store, sealed.
//!
//! Each is sealed with AES-256-GCM under the storage key, which is not in the database, so that a copy of the
//! database signs nothing; the key id is the associated data, so that one key cannot stand in another's place. A
//! key's id is its JWK thumbprint (RFC 7638), which no two keys share. When a key is made and which one signs is told
//! in [`issuer`](super::issuer).

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::secret;
use super::validator::{Algorithm, VerificationKey};

/// A key that signs with ES256. It does not print; `p256` and `jsonwebtoken` wipe what they hold.
pub(crate) struct SigningKey {
    kid: String,
    secret: p256::SecretKey,
    encoding: EncodingKey,
}

/// Why a kept key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Sealed under another storage key, or changed since.
    #[error("the signing key {0} in the database does not open under this storage key")]
    WrongStorageKey(String),
    /// It opens, but is not a P-256 key of this id.
    #[error("the signing key {0} in the database is not the key of this id")]
    Unfit(String),
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(#[from] getrandom::Error),
}

/// A public key as `/oauth/jwks` shows it (RFC 7517, RFC 7518 section 6.2.1).
#[derive(Clone, Debug, Serialize)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    kid: String,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}

const NONCE_BYTES: usize = 12;
const COORDINATE_BYTES: usize = 32;

impl SigningKey {
    /// Makes a key.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        loop {
            // One in 2^32 draws is no scalar of the curve and is thrown away, so that all keys are equally likely.
            let scalar = Zeroizing::new(secret::random::<COORDINATE_BYTES>()?);
            if let Ok(secret) = p256::SecretKey::from_slice(&*scalar) {
                return Ok(SigningKey::of(secret));
            }
        }
    }

    /// The key's id.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The bytes that the store keeps: the nonce, then what AES-256-GCM makes of the key in PKCS #8.
    pub(crate) fn seal(&self, storage_key: &[u8; 32]) -> Result<Vec<u8>, getrandom::Error> {
        let nonce = secret::random::<NONCE_BYTES>()?;
        let pkcs8 = self.pkcs8();
        let payload = Payload { msg: &pkcs8, aad: self.kid.as_bytes() };
        let sealed = cipher(storage_key).encrypt(&Nonce::from(nonce), payload);
        Ok([nonce.as_slice(), &sealed.expect("a key is shorter than what AES-GCM seals at once")].concat())
    }

    /// The key of the bytes that [`SigningKey::seal`] made.
    pub(crate) fn open(kid: &str, sealed: &[u8], storage_key: &[u8; 32]) -> Result<Self, KeyError> {
        let wrong = || KeyError::WrongStorageKey(kid.to_owned());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
        let payload = Payload { msg: sealed, aad: kid.as_bytes() };
        let pkcs8 = cipher(storage_key).decrypt(&Nonce::from(*nonce), payload).map_err(|_| wrong())?;
        let secret = p256::SecretKey::from_pkcs8_der(&Zeroizing::new(pkcs8));
        let key = secret.ok().map(SigningKey::of).filter(|key| key.kid == kid);
        key.ok_or_else(|| KeyError::Unfit(kid.to_owned()))
    }

    fn of(secret: p256::SecretKey) -> Self {
        let encoding = EncodingKey::from_ec_der(&pkcs8(&secret));
        SigningKey { kid: thumbprint(&secret), secret, encoding }
    }

    /// The key as `jsonwebtoken` signs with it.
    pub(crate) fn encoding_key(&self) -> &EncodingKey {
        &self.encoding
    }

    /// The public half, to verify with.
    pub(crate) fn verification_key(&self) -> VerificationKey {
        VerificationKey::es256(&self.kid, &point(&self.secret)).expect("a key's own point is on the curve")
    }

    /// The public half, to show.
    pub(crate) fn jwk(&self) -> Jwk {
        let (x, y) = coordinates(&self.secret);
        let (kid, alg) = (self.kid.clone(), Algorithm::Es256.as_str());
        Jwk { kty: "EC", crv: "P-256", x, y, kid, alg, usage: "sig" }
    }

    fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        pkcs8(&self.secret)
    }
}

fn pkcs8(secret: &p256::SecretKey) -> Zeroizing<Vec<u8>> {
    secret.to_pkcs8_der().expect("a P-256 key has a PKCS #8 form").to_bytes()
}

fn cipher(storage_key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&aes_gcm::Key::<Aes256Gcm>::from(*storage_key))
}

/// The uncompressed point (SEC 1 section 2.3.3): 0x04, x, y.
fn point(secret: &p256::SecretKey) -> Vec<u8> {
    secret.public_key().to_sec1_bytes().into_vec()
}

/// x and y in base64url, of full length (RFC 7518 section 6.2.1.2).
fn coordinates(secret: &p256::SecretKey) -> (String, String) {
    let point = point(secret);
    let (x, y) = point[1..].split_at(COORDINATE_BYTES);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

/// RFC 7638: the hash of the required members in the order of their names.
fn thumbprint(secret: &p256::SecretKey) -> String {
    let (x, y) = coordinates(secret);
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORAGE_KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_sealed_key_opens_to_the_same_key() {
        let key = SigningKey::generate().unwrap();
        let sealed = key.seal(&STORAGE_KEY).unwrap();
        let opened = SigningKey::open(key.kid(), &sealed, &STORAGE_KEY).unwrap();
        assert_eq!(opened.pkcs8(), key.pkcs8());
        assert_ne!(sealed, key.seal(&STORAGE_KEY).unwrap(), "no nonce comes twice");
    }

    #[test]
    fn the_sealed_bytes_do_not_hold_the_key() {
        let key = SigningKey::generate().unwrap();
        let sealed = key.seal(&STORAGE_KEY).unwrap();
        let scalar = key.secret.to_bytes();
        assert!(!sealed.windows(scalar.len()).any(|window| window == scalar.as_slice()));
    }

    #[test]
    fn a_key_under_another_storage_key_or_another_id_does_not_open() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let sealed = key.seal(&STORAGE_KEY).unwrap();
        for (kid, bytes, storage_key) in [
            (key.kid(), sealed.as_slice(), [8; 32]),
            (other.kid(), &sealed, STORAGE_KEY),
            (key.kid(), &sealed[..sealed.len() - 1], STORAGE_KEY),
            (key.kid(), &sealed[..5], STORAGE_KEY),
            (key.kid(), &[], STORAGE_KEY),
        ] {
            assert!(matches!(SigningKey::open(kid, bytes, &storage_key), Err(KeyError::WrongStorageKey(_))));
        }
    }

    #[test]
    fn the_public_key_shows_nothing_of_the_private_one() {
        let jwk = serde_json::to_value(SigningKey::generate().unwrap().jwk()).unwrap();
        let members: Vec<&String> = jwk.as_object().unwrap().keys().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
}
