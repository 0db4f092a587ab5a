//! What an issuer says of itself: its metadata and its keys. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::auth::config::IssuerUrl;
use crate::auth::jwk::KEYS_MAX;
use crate::auth::validator::VerificationKey;

/// Why a document is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum DocumentError {
    #[error("it is not the JSON of that document")]
    Malformed,
    /// RFC 8414 section 3.3, OpenID Connect Discovery section 4.3
    #[error("it is the document of another issuer, {0}")]
    AnotherIssuer(String),
    #[error(
        "it has no key that verifies here: RSA of 2048 bits or more (RS256), P-256 (ES256) or Ed25519 (EdDSA), with a kid"
    )]
    NoKey,
}

/// Where the metadata may be: as OpenID Connect Discovery section 4 has it, and as RFC 8414 section 3.1 does.
pub(super) fn metadata_urls(issuer: &IssuerUrl) -> [String; 2] {
    let path = issuer.path();
    let host = issuer.as_str().trim_end_matches('/').strip_suffix(path).unwrap_or(issuer.as_str());
    [
        issuer.endpoint("/.well-known/openid-configuration"),
        format!("{}/.well-known/oauth-authorization-server{path}", host.trim_end_matches('/')),
    ]
}

/// Where the keys are, as the metadata of this issuer say.
pub(super) fn jwks_url(metadata: &[u8], issuer: &IssuerUrl) -> Result<String, DocumentError> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|_| DocumentError::Malformed)?;
    if metadata.issuer != issuer.as_str() {
        let other = metadata.issuer.escape_debug().take(100).collect();
        return Err(DocumentError::AnotherIssuer(other));
    }
    Ok(metadata.jwks_uri)
}

/// The keys of a set that verify here and can be told apart. Others are passed over: they are for other things.
pub(super) fn keys(set: &[u8]) -> Result<Vec<VerificationKey>, DocumentError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(|_| DocumentError::Malformed)?;
    let mut by_id: BTreeMap<String, Option<VerificationKey>> = BTreeMap::new();
    for key in set.keys.iter().take(KEYS_MAX).filter_map(|jwk| VerificationKey::of_jwk(jwk).ok()) {
        // Of two of one id nobody knows which is meant.
        by_id.entry(key.kid().to_owned()).and_modify(|known| *known = None).or_insert(Some(key));
    }
    let keys: Vec<_> = by_id.into_iter().filter(|(id, _)| !id.is_empty()).filter_map(|(_, key)| key).collect();
    if keys.is_empty() { Err(DocumentError::NoKey) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::keys::SigningKey;

    fn issuer(text: &str) -> IssuerUrl {
        IssuerUrl::parse(text).unwrap()
    }

    #[test]
    fn the_metadata_are_below_the_issuer_or_at_the_root_of_its_host() {
        assert_eq!(
            metadata_urls(&issuer("https://login.example/realms/iot")),
            [
                "https://login.example/realms/iot/.well-known/openid-configuration",
                "https://login.example/.well-known/oauth-authorization-server/realms/iot",
            ]
        );
        for root in ["https://login.example", "https://login.example/"] {
            assert_eq!(
                metadata_urls(&issuer(root)),
                [
                    "https://login.example/.well-known/openid-configuration",
                    "https://login.example/.well-known/oauth-authorization-server",
                ]
            );
        }
    }

    #[test]
    fn metadata_of_another_issuer_are_not_believed() {
        let metadata = |name: &str| json!({"issuer": name, "jwks_uri": "https://login.example/jwks"}).to_string();
        let ours = issuer("https://login.example");
        assert_eq!(
            jwks_url(metadata("https://login.example").as_bytes(), &ours).unwrap(),
            "https://login.example/jwks"
        );
        for other in ["https://login.example/", "https://evil.example", ""] {
            let refused = jwks_url(metadata(other).as_bytes(), &ours);
            assert_eq!(refused, Err(DocumentError::AnotherIssuer(other.to_owned())));
        }
        for text in ["", "{}", "[]", "{\"issuer\": \"https://login.example\"}"] {
            assert_eq!(jwks_url(text.as_bytes(), &ours), Err(DocumentError::Malformed), "{text}");
        }
    }

    #[test]
    fn keys_that_do_not_verify_here_are_passed_over() {
        let jwk = || serde_json::to_value(SigningKey::generate().unwrap().jwk()).unwrap();
        let (one, other, mut twin, mut nameless, mut to_encrypt) = (jwk(), jwk(), jwk(), jwk(), jwk());
        twin["kid"] = other["kid"].clone();
        nameless.as_object_mut().unwrap().remove("kid");
        to_encrypt["use"] = json!("enc");
        let strange = [json!(7), json!({"kty": "oct", "k": "AAAA", "kid": "s"}), json!({"kty": "EC", "crv": "P-521"})];
        let set = |keys: Vec<Value>| json!({"keys": keys}).to_string();
        let all = [vec![one.clone(), other, twin, nameless.clone(), to_encrypt], strange.to_vec()].concat();
        let kids: Vec<String> = keys(set(all).as_bytes()).unwrap().iter().map(|key| key.kid().to_owned()).collect();
        assert_eq!(kids, [one["kid"].as_str().unwrap()]);
        for (text, error) in [
            ("", DocumentError::Malformed),
            ("{}", DocumentError::Malformed),
            ("{\"keys\": []}", DocumentError::NoKey),
            (&set(vec![nameless]), DocumentError::NoKey),
        ] {
            assert_eq!(keys(text.as_bytes()).err(), Some(error), "{text}");
        }
        let many: Vec<Value> = (0..KEYS_MAX).map(|_| json!({"kty": "oct"})).chain([one]).collect();
        assert_eq!(
            keys(set(many).as_bytes()).err(),
            Some(DocumentError::NoKey),
            "no set is looked through without end"
        );
    }
}
