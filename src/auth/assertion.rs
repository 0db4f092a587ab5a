//! Whether a client has signed for itself: `private_key_jwt` (RFC 7523 section 3).
//!
//! An assertion is good once, for us alone, and for a few minutes. That it is good once is known to this process: another gateway on the
//! database would take the same one until its end, which is why its time is short.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::claims::{audiences, time_ms};
use super::jose::Compact;
use super::validator::VerificationKey;

/// The farthest end of an assertion.
const LIFETIME_MS_MAX: i64 = 600_000;
/// How far a client's clock may be from ours, either way.
const LEEWAY_MS: i64 = 30_000;
/// How many that have not ended are remembered; at the bound further ones are refused.
const REMEMBERED_MAX: usize = 262_144;

/// The assertions that were used and have not ended.
#[derive(Default)]
pub(crate) struct Assertions(Mutex<HashMap<[u8; 32], i64>>);

/// What an assertion has to be for.
pub(crate) struct Expected<'a> {
    /// Issuer and subject (section 3, items 1 and 2).
    pub(crate) client_id: &'a str,
    /// What names us: one of them is among its audiences (item 3).
    pub(crate) audiences: [&'a str; 2],
    /// The client's keys.
    pub(crate) keys: &'a [VerificationKey],
}

impl Assertions {
    /// Whether `assertion` is what is expected, at `now_ms`, for the first time.
    pub(crate) fn accept(&self, assertion: &str, expected: &Expected<'_>, now_ms: i64) -> bool {
        let Some((id, ends_at_ms)) = check(assertion, expected, now_ms) else { return false };
        let key = Sha256::digest([expected.client_id.as_bytes(), b"\0", id.as_bytes()].concat()).into();
        let mut used = self.used();
        if used.len() >= REMEMBERED_MAX {
            used.retain(|_, ends_at_ms| now_ms < *ends_at_ms);
        }
        used.len() < REMEMBERED_MAX && used.insert(key, ends_at_ms).is_none()
    }

    fn used(&self) -> MutexGuard<'_, HashMap<[u8; 32], i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `jti` of a good one, and until when it has to be remembered.
fn check(assertion: &str, expected: &Expected<'_>, now_ms: i64) -> Option<(String, i64)> {
    let jwt = Compact::parse(assertion)?;
    // RFC 7515 section 4.1.11
    if jwt.header.member("crit").is_some() {
        return None;
    }
    let named = [jwt.claims.text("iss")?, jwt.claims.text("sub")?];
    let ours = audiences(jwt.claims.member("aud")?)?.iter().any(|one| expected.audiences.contains(&one.as_str()));
    if named != [expected.client_id; 2] || !ours {
        return None;
    }
    let ends_at_ms = time_ms(jwt.claims.member("exp")?)?;
    let begins_ms = jwt.claims.member("nbf").map_or(Some(i64::MIN), time_ms)?;
    let issued_ms = jwt.claims.member("iat").map_or(Some(i64::MIN), time_ms)?;
    let in_time = now_ms < ends_at_ms + LEEWAY_MS && ends_at_ms <= now_ms + LIFETIME_MS_MAX + LEEWAY_MS;
    if !in_time || begins_ms.max(issued_ms) > now_ms + LEEWAY_MS {
        return None;
    }
    let id = jwt.claims.text("jti").filter(|id| !id.is_empty())?;
    is_signed(&jwt, expected.keys).then(|| (id.to_owned(), ends_at_ms + LEEWAY_MS))
}

/// By the key that it names, or by one of all if it names none; with the algorithm of that key alone.
fn is_signed(jwt: &Compact<'_>, keys: &[VerificationKey]) -> bool {
    let (kid, named) = (jwt.header.text("kid"), jwt.header.text("alg"));
    let fits = |key: &&VerificationKey| {
        (kid.is_none() || key.kid().is_empty() || kid == Some(key.kid())) && named == Some(key.algorithm().as_str())
    };
    keys.iter().filter(fits).any(|key| key.verifies(jwt.signed, jwt.signature))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::keys::SigningKey;

    const NOW_MS: i64 = 1_700_000_000_000;
    const NOW: i64 = NOW_MS / 1000;
    const ENDPOINT: &str = "https://gate.example/oauth/token";

    fn claims() -> Value {
        json!({"iss": "c1", "sub": "c1", "aud": ENDPOINT, "exp": NOW + 60, "iat": NOW, "jti": "1"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn sign(header: &Value, claims: &Value, key: &SigningKey) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let algorithm = jsonwebtoken::Algorithm::ES256;
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key.encoding_key(), algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    struct World {
        key: SigningKey,
        keys: Vec<VerificationKey>,
        used: Assertions,
    }

    fn world() -> World {
        let key = SigningKey::generate().unwrap();
        let keys = vec![SigningKey::generate().unwrap().verification_key(), key.verification_key()];
        World { key, keys, used: Assertions::default() }
    }

    impl World {
        fn accepts(&self, header: &Value, claims: &Value) -> bool {
            self.accepts_at(header, claims, NOW_MS)
        }

        fn accepts_at(&self, header: &Value, claims: &Value, now_ms: i64) -> bool {
            let audiences = [ENDPOINT, "https://gate.example"];
            let expected = Expected { client_id: "c1", audiences, keys: &self.keys };
            self.used.accept(&sign(header, claims, &self.key), &expected, now_ms)
        }
    }

    fn header() -> Value {
        json!({"alg": "ES256"})
    }

    #[test]
    fn an_assertion_is_good_once() {
        let world = world();
        assert!(world.accepts(&header(), &claims()));
        assert!(!world.accepts(&header(), &claims()));
        assert!(!world.accepts(&header(), &with("exp", json!(NOW + 61))), "it is the jti that is used");
        assert!(world.accepts(&header(), &with("jti", json!("2"))));
    }

    // RFC 7523 section 3
    #[test]
    fn what_is_not_for_us_or_not_of_the_client_is_refused() {
        let world = world();
        for claims in [
            with("iss", json!("c2")),
            with("sub", json!("c2")),
            with("aud", json!("https://gate.example/")),
            with("aud", json!(["https://other.example"])),
            without("iss"),
            without("sub"),
            without("aud"),
            without("exp"),
            without("jti"),
            with("jti", json!("")),
            with("exp", json!("1700000060")),
            with("exp", json!(null)),
            with("nbf", json!(NOW + 31)),
            with("iat", json!(NOW + 31)),
            with("iat", json!(1.5)),
        ] {
            assert!(!world.accepts(&header(), &claims), "{claims}");
        }
        assert!(world.accepts(&header(), &with("aud", json!(["https://other.example", "https://gate.example"]))));
    }

    #[test]
    fn its_end_is_near_and_not_past() {
        let world = world();
        assert!(!world.accepts(&header(), &with("exp", json!(NOW + 631))), "too far");
        assert!(!world.accepts_at(&header(), &claims(), NOW_MS + 90_000), "past");
        assert!(world.accepts_at(&header(), &claims(), NOW_MS + 89_999));
    }

    #[test]
    fn only_the_clients_keys_with_their_own_algorithm_count() {
        let world = world();
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "RS256"}),
            json!({}),
            json!({"alg": "ES256", "kid": "another"}),
            json!({"alg": "ES256", "kid": world.keys[0].kid()}),
            json!({"alg": "ES256", "crit": ["exp"]}),
        ] {
            assert!(!world.accepts(&header, &claims()), "{header}");
        }
        assert!(world.accepts(&json!({"alg": "ES256", "kid": world.key.kid()}), &claims()));
        let stranger = SigningKey::generate().unwrap();
        let expected = Expected { client_id: "c1", audiences: [ENDPOINT; 2], keys: &world.keys };
        let forged = sign(&header(), &with("jti", json!("3")), &stranger);
        assert!(!world.used.accept(&forged, &expected, NOW_MS));
    }
}
