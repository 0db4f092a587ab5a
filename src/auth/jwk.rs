//! Public keys as others write them: JWK and JWK sets (RFC 7517), and PEM.
//!
//! Taken are RSA keys for RS256, P-256 for ES256 and Ed25519 for EdDSA (RFC 7518 sections 3.3 and 3.4, RFC 8037). A key's algorithm follows
//! from its kind: what stands in `alg` may only agree.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::pkcs8::DecodePublicKey as _;
use serde_json::Value;
use thiserror::Error;

use super::validator::{Algorithm, VerificationKey};

/// The most keys of a set that are looked at.
pub const KEYS_MAX: usize = 64;

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JwkError {
    /// Neither JSON nor PEM, or a member is missing or of another type.
    #[error("it is neither a JWK, nor a JWK set, nor a public key in PEM")]
    Malformed,
    /// It is of a kind that does not verify here.
    #[error("the key is none of RSA (RS256), P-256 (ES256) and Ed25519 (EdDSA), or not for signatures")]
    Kind,
    /// The numbers are no such key, or it is too short.
    #[error("the numbers are no key of that kind, or RSA with fewer than 2048 bits")]
    Unfit,
    /// Somebody has shown his private key.
    #[error("it is a private key: who holds it alone may know it, so make another, and give the public half of that")]
    Private,
    /// PEM of something else, an RSA key most likely.
    #[error("PEM is read of P-256 and Ed25519 keys (\"PUBLIC KEY\"); an RSA key is given as a JWK")]
    RsaPem,
    /// Nothing is in it, or too much.
    #[error("a JWK set has 1 to {KEYS_MAX} keys")]
    Count,
}

impl VerificationKey {
    /// The key of a JWK; its id is empty if it has none.
    ///
    /// # Errors
    /// [`JwkError`] says why it verifies nothing here.
    pub fn of_jwk(jwk: &Value) -> Result<VerificationKey, JwkError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let required = |name: &str| text(name).ok_or(JwkError::Malformed);
        let kind = required("kty")?;
        // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2
        if jwk.get("d").is_some() || kind == "oct" {
            return Err(JwkError::Private);
        }
        // RFC 7517 section 4.2
        if text("use").is_some_and(|usage| usage != "sig") {
            return Err(JwkError::Kind);
        }
        let kid = text("kid").unwrap_or_default();
        let unfit = |_| JwkError::Unfit;
        let key = match (kind, text("crv")) {
            ("RSA", _) => VerificationKey::rs256(kid, required("n")?, required("e")?).map_err(unfit)?,
            ("EC", Some("P-256")) => {
                let point = [vec![4], bytes(required("x")?)?, bytes(required("y")?)?].concat();
                VerificationKey::es256(kid, &point).map_err(unfit)?
            }
            ("OKP", Some("Ed25519")) => VerificationKey::ed25519(kid, &bytes(required("x")?)?).map_err(unfit)?,
            _ => return Err(JwkError::Kind),
        };
        // RFC 7517 section 4.4
        let agrees = text("alg").is_none_or(|named| named == key.algorithm().as_str());
        if agrees { Ok(key) } else { Err(JwkError::Kind) }
    }
}

/// The keys of a text: a JWK set, one JWK, or one key in PEM. All of them have to be good.
///
/// # Errors
/// Of the first that is not.
pub fn public_keys(text: &str) -> Result<Vec<VerificationKey>, JwkError> {
    if let Some(at) = text.find("-----BEGIN ") {
        return of_pem(&text[at..]).map(|key| vec![key]);
    }
    let value: Value = serde_json::from_str(text).map_err(|_| JwkError::Malformed)?;
    let Some(keys) = value.get("keys") else { return VerificationKey::of_jwk(&value).map(|key| vec![key]) };
    let keys = keys.as_array().ok_or(JwkError::Malformed)?;
    if !(1..=KEYS_MAX).contains(&keys.len()) {
        return Err(JwkError::Count);
    }
    keys.iter().map(VerificationKey::of_jwk).collect()
}

/// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
fn of_pem(text: &str) -> Result<VerificationKey, JwkError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(JwkError::Private);
    }
    if let Ok(key) = p256::PublicKey::from_public_key_pem(text) {
        return VerificationKey::es256("", &key.to_sec1_bytes()).map_err(|_| JwkError::Unfit);
    }
    let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text).map_err(|_| JwkError::RsaPem)?;
    VerificationKey::ed25519("", key.as_bytes()).map_err(|_| JwkError::Unfit)
}

fn bytes(text: &str) -> Result<Vec<u8>, JwkError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwkError::Malformed)
}

/// The names of the algorithms that verify, as metadata list them.
pub const ALGORITHMS: [&str; 3] = [Algorithm::Es256.as_str(), Algorithm::Rs256.as_str(), Algorithm::EdDsa.as_str()];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::auth::keys::SigningKey;

    /// RFC 8037 appendix A.2
    const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn ec() -> Value {
        serde_json::to_value(SigningKey::generate().unwrap().jwk()).unwrap()
    }

    fn with(mut jwk: Value, name: &str, value: &str) -> Value {
        jwk[name] = json!(value);
        jwk
    }

    #[test]
    fn keys_of_three_kinds_are_read_and_know_their_algorithm() {
        let read = |jwk: &Value| VerificationKey::of_jwk(jwk).unwrap();
        let key = read(&ec());
        assert_eq!(key.algorithm(), Algorithm::Es256);
        assert!(!key.kid().is_empty());
        let key = read(&json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519}));
        assert_eq!((key.algorithm(), key.kid()), (Algorithm::EdDsa, ""));
        let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
        assert_eq!(read(&json!({"kty": "RSA", "n": modulus, "e": "AQAB"})).algorithm(), Algorithm::Rs256);
    }

    // RFC 8037 appendix A.4
    #[test]
    fn an_ed25519_signature_of_the_standard_is_verified() {
        let key = VerificationKey::of_jwk(&json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519})).unwrap();
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert!(key.verifies(signed, signature));
        assert!(!key.verifies("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd", signature));
    }

    #[test]
    fn what_does_not_verify_is_refused_with_its_reason() {
        let refusal = |jwk: Value| VerificationKey::of_jwk(&jwk).err().unwrap();
        assert_eq!(refusal(json!({})), JwkError::Malformed);
        assert_eq!(refusal(json!([])), JwkError::Malformed);
        assert_eq!(refusal(json!({"kty": "oct", "k": "c2VjcmV0"})), JwkError::Private);
        assert_eq!(refusal(with(ec(), "d", "AAAA")), JwkError::Private);
        assert_eq!(refusal(with(ec(), "use", "enc")), JwkError::Kind);
        assert_eq!(refusal(with(ec(), "alg", "ES384")), JwkError::Kind);
        assert_eq!(refusal(with(ec(), "crv", "P-384")), JwkError::Kind);
        assert_eq!(refusal(with(ec(), "x", "AAAA")), JwkError::Unfit);
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        assert_eq!(refusal(json!({"kty": "RSA", "n": short, "e": "AQAB"})), JwkError::Unfit);
        // A point of small order, under which one signature fits many texts.
        let weak = URL_SAFE_NO_PAD.encode([0; 32]);
        assert_eq!(refusal(json!({"kty": "OKP", "crv": "Ed25519", "x": weak})), JwkError::Unfit);
    }

    #[test]
    fn a_set_one_key_and_pem_are_read() {
        let set = json!({"keys": [ec(), ec()]}).to_string();
        assert_eq!(public_keys(&set).unwrap().len(), 2);
        assert_eq!(public_keys(&ec().to_string()).unwrap().len(), 1);
        assert_eq!(public_keys(&json!({"keys": []}).to_string()).err(), Some(JwkError::Count));
        // openssl genpkey -algorithm ed25519 | openssl pkey -pubout, of the key of RFC 8037 appendix A.2
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
        assert_eq!(public_keys(pem).unwrap()[0].algorithm(), Algorithm::EdDsa);
        let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(public_keys(private).err(), Some(JwkError::Private));
        assert_eq!(public_keys("hello").err(), Some(JwkError::Malformed));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = public_keys(&text);
            let _ = public_keys(&format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"));
        }
    }
}
