//! Tokens that are what they should be, and each way of not being it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::keys::SigningKey;
use crate::metrics::Registry;

const ISSUER: &str = "https://issuer.example";
const ISSUED_SECS: i64 = 1_700_000_000;
const NOW_MS: i64 = 1_700_000_100_000;

/// A 2048-bit key of OpenSSL (`openssl genrsa`), whose private half was thrown away.
const RSA_MODULUS: &str = concat!(
    "sIaqAuS23NFqMegJajswdwthAw_mckRo-8OtvcwWZoY_gpy-Vh1qUjg6MkH6oaxQ6B8BRlVgxl3yuvNzk2a_OgLn4_sOhDM1iBtt",
    "0M1erTUdWY_gPDD05VbbeppF3zqEyotcWbARoOGZJyOlP_ReEDs_Bh3p5jCRznVXtq41S0-KAbCl4x2qqNvrTqHe26XQKKsErdaJ",
    "bNc1skW1tApq-3Mr-VbZ69akgBZMcjq-W2d3djfGIiAQ10njRk3_uPRWzmdcS8Y4vHA9k1tb5E1mFa0C9QEfy3_jVA9_dIEUKmoU",
    "_1--pGdEh5RwMna8Ls7KG0OYB-PPk1OZX6A3HfrOuw",
);

/// A token that OpenSSL signed with it (`openssl dgst -sha256 -sign`): `alg` RS256, `kid` rsa-1, and the claims of
/// [`claims`].
const RSA_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InJzYS0xIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxl",
    "IiwiYXVkIjoic2VhbGdhdGUiLCJzdWIiOiJwdW1wLTciLCJjbGllbnRfaWQiOiJjMSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjox",
    "NzAwMDAzNjAwLCJqdGkiOiJqMSIsInNjb3BlIjoiZGV2aWNlIn0.Da2JoOQFcU5IvlAXmloVk2dJm3K_RkY_npqvpUg2-YtM3Fuf",
    "5Phe-vMD1yw3FRxT2lXdqaVJ2DrLbeAZHJfXPppDs4dZm0l8sV29vbNIAh1ieeLvQuv7U45y6CEgEiCD3fHDi6f2LQRwG6PSWD2q",
    "kL_bTbmmqiAkvmOnbqNq3F3K62UW4VecMqjvK4meSXiHtDPf3wHyEK6X-kIwNXhZQs3SETwZBTtJpy3S6RoijFO-p17VsMDQa-KD",
    "ebhOImljXX23Ch8rmEuGhisqNl1HlsZWHj7PxZaKTTUrmEE2KBUzbbxjfTrbj9JYkZbHhkCn22rYjPjk5EwmG_YkbwSDmQ",
);

struct World {
    ours: SigningKey,
    validator: Validator,
    checks: IntCounter,
}

/// Our key, an RSA key, and an issuer that trusts both.
fn world() -> World {
    let ours = SigningKey::generate().unwrap();
    let rsa = VerificationKey::rs256("rsa-1", RSA_MODULUS, "AQAB").unwrap();
    let issuer = TrustedIssuer::new(ISSUER, KeyRing::new(vec![ours.verification_key(), rsa]), "sealgate");
    let checks = Registry::default().counter("checks_total", "Checks.");
    let validator = Validator::new(vec![issuer], checks.clone());
    World { ours, validator, checks }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "sealgate", "sub": "pump-7", "client_id": "c1", "iat": ISSUED_SECS, "exp": ISSUED_SECS + 3600,
        "jti": "j1", "scope": "device"
    })
}

fn header(kid: &str) -> Value {
    json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

fn sign(header: &str, claims: &str, key: &SigningKey) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let algorithm = jsonwebtoken::Algorithm::ES256;
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key.encoding_key(), algorithm).unwrap();
    format!("{signed}.{signature}")
}

impl World {
    fn header(&self) -> Value {
        header(self.ours.kid())
    }

    fn check(&self, header: &Value, claims: &Value) -> Result<Claims, LoginRefused> {
        self.validator.check(&sign(&header.to_string(), &claims.to_string(), &self.ours), NOW_MS)
    }

    fn refusal(&self, header: &Value, claims: &Value) -> LoginRefused {
        self.check(header, claims).expect_err("the token should be refused")
    }
}

#[test]
fn our_token_is_valid() {
    let world = world();
    let read = world.check(&world.header(), &claims()).unwrap();
    assert_eq!((read.subject.as_str(), read.client_id.as_str(), read.scope.as_str()), ("pump-7", "c1", "device"));
    assert_eq!(world.checks.get(), 1);
}

#[test]
fn a_token_that_openssl_signed_with_rs256_is_valid_under_an_rs256_key() {
    let world = world();
    assert_eq!(world.validator.check(RSA_TOKEN, NOW_MS).unwrap().subject, "pump-7");
    let (signed, signature) = RSA_TOKEN.rsplit_once('.').unwrap();
    let other = signature.replacen("Da2J", "Da2K", 1);
    assert_eq!(world.validator.check(&format!("{signed}.{other}"), NOW_MS), Err(LoginRefused::WrongSignature));
}

#[test]
fn alg_none_is_refused_with_and_without_a_signature() {
    let world = world();
    for alg in ["none", "None", "NONE", ""] {
        assert_eq!(world.refusal(&with(world.header(), "alg", json!(alg)), &claims()), LoginRefused::WrongAlgorithm);
        let header = with(world.header(), "alg", json!(alg)).to_string();
        let bare = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
        assert_eq!(world.validator.check(&bare, NOW_MS), Err(LoginRefused::WrongAlgorithm), "{alg}");
    }
    assert_eq!(world.refusal(&without(world.header(), "alg"), &claims()), LoginRefused::Malformed);
    assert_eq!(world.checks.get(), 0);
}

#[test]
fn hs256_keyed_with_a_public_key_is_refused() {
    let world = world();
    let jwk = serde_json::to_value(world.ours.jwk()).unwrap();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], part("x"), part("y")].concat();
    let modulus = URL_SAFE_NO_PAD.decode(RSA_MODULUS).unwrap();
    for (kid, public) in
        [(world.ours.kid(), point), ("rsa-1", modulus), (world.ours.kid(), jwk.to_string().into_bytes())]
    {
        let header = with(header(kid), "alg", json!("HS256")).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
        let key = jsonwebtoken::EncodingKey::from_secret(&public);
        let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
        assert_eq!(world.validator.check(&format!("{signed}.{mac}"), NOW_MS), Err(LoginRefused::WrongAlgorithm));
    }
    assert_eq!(world.checks.get(), 0);
}

#[test]
fn an_algorithm_that_its_key_is_not_for_is_refused() {
    let world = world();
    for alg in ["RS256", "ES384", "EdDSA", "es256", "PS256"] {
        let refusal = world.refusal(&with(world.header(), "alg", json!(alg)), &claims());
        assert_eq!(refusal, LoginRefused::WrongAlgorithm, "{alg}");
    }
    assert_eq!(world.refusal(&header("rsa-1"), &claims()), LoginRefused::WrongAlgorithm);
    let rs256 = with(header("rsa-1"), "alg", json!("RS256"));
    assert_eq!(world.refusal(&rs256, &claims()), LoginRefused::WrongSignature);
}

#[test]
fn another_key_of_the_same_id_does_not_fit() {
    let world = world();
    let other = SigningKey::generate().unwrap();
    let token = sign(&world.header().to_string(), &claims().to_string(), &other);
    assert_eq!(world.validator.check(&token, NOW_MS), Err(LoginRefused::WrongSignature));
    assert_eq!(world.refusal(&header(other.kid()), &claims()), LoginRefused::UnknownKey);
    assert_eq!(world.refusal(&without(world.header(), "kid"), &claims()), LoginRefused::UnknownKey);
}

/// A key that comes with the token is the sender's word, not the issuer's (the class of CVE-2018-0114).
#[test]
fn a_key_in_the_header_is_not_used() {
    let world = world();
    let other = SigningKey::generate().unwrap();
    let header = with(world.header(), "jwk", serde_json::to_value(other.jwk()).unwrap());
    let token = sign(&header.to_string(), &claims().to_string(), &other);
    assert_eq!(world.validator.check(&token, NOW_MS), Err(LoginRefused::WrongSignature));
}

// RFC 9068 section 4
#[test]
fn only_an_access_token_is_one() {
    let world = world();
    for kind in ["JWT", "", "id_token+jwt", "logout+jwt", "at+jwt ", "jwt"] {
        assert_eq!(
            world.refusal(&with(world.header(), "typ", json!(kind)), &claims()),
            LoginRefused::WrongType,
            "{kind}"
        );
    }
    assert_eq!(world.refusal(&without(world.header(), "typ"), &claims()), LoginRefused::WrongType);
    for kind in ["application/at+jwt", "AT+JWT"] {
        assert!(world.check(&with(world.header(), "typ", json!(kind)), &claims()).is_ok(), "{kind}");
    }
}

// RFC 7515 section 4.1.11
#[test]
fn critical_extensions_are_refused() {
    let world = world();
    for value in [json!(["b64"]), json!([]), json!(null)] {
        assert_eq!(world.refusal(&with(world.header(), "crit", value), &claims()), LoginRefused::Malformed);
    }
}

#[test]
fn another_issuer_or_audience_is_refused() {
    let world = world();
    for issuer in ["https://issuer.example/", "https://other.example", "HTTPS://ISSUER.EXAMPLE"] {
        assert_eq!(world.refusal(&world.header(), &with(claims(), "iss", json!(issuer))), LoginRefused::WrongIssuer);
    }
    for audience in [json!("other"), json!([]), json!(["other", "Sealgate"]), json!("")] {
        assert_eq!(world.refusal(&world.header(), &with(claims(), "aud", audience)), LoginRefused::WrongAudience);
    }
    assert!(world.check(&world.header(), &with(claims(), "aud", json!(["other", "sealgate"]))).is_ok());
}

// RFC 7519 section 4.1.4
#[test]
fn a_token_ends_at_the_moment_that_it_says_and_costs_no_signature_check_then() {
    let world = world();
    let token = sign(&world.header().to_string(), &claims().to_string(), &world.ours);
    let end_ms = (ISSUED_SECS + 3600) * 1000;
    assert!(world.validator.check(&token, end_ms - 1).is_ok());
    assert_eq!(world.validator.check(&token, end_ms), Err(LoginRefused::Expired));
    assert_eq!(world.checks.get(), 1);
}

// RFC 7519 section 4.1.5
#[test]
fn nbf_is_honoured_with_five_seconds_of_leeway() {
    let world = world();
    let at = |secs: i64| with(claims(), "nbf", json!(NOW_MS / 1000 + secs));
    assert!(world.check(&world.header(), &at(5)).is_ok());
    assert_eq!(world.refusal(&world.header(), &at(6)), LoginRefused::NotYetValid);
    assert!(world.check(&world.header(), &at(-1)).is_ok());
}

// The class of CVE-2026-25537, with a signature that fits: a time of the wrong type must refuse the token, not skip
// its check.
#[test]
fn a_signed_token_with_a_time_of_the_wrong_type_is_refused() {
    let world = world();
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("9999999999"),
            json!(9_999_999_999.5),
            json!([9_999_999_999_u64]),
            json!(null),
            json!(-1),
            json!(u64::MAX),
        ] {
            assert_eq!(world.refusal(&world.header(), &with(claims(), name, value)), LoginRefused::Malformed, "{name}");
        }
    }
    assert_eq!(world.checks.get(), 0);
}

#[test]
fn a_repeated_member_is_refused_though_it_is_signed() {
    let world = world();
    let twice = claims().to_string().replacen('{', "{\"sub\":\"pump-8\",", 1);
    let token = sign(&world.header().to_string(), &twice, &world.ours);
    assert_eq!(world.validator.check(&token, NOW_MS), Err(LoginRefused::Malformed));
}

#[test]
fn a_token_beyond_the_limit_is_refused_before_it_is_read() {
    let world = world();
    let padded = |length: usize| with(claims(), "padding", json!("x".repeat(length)));
    assert!(world.check(&world.header(), &padded(2000)).is_ok());
    assert_eq!(world.refusal(&world.header(), &padded(TOKEN_BYTES_MAX)), LoginRefused::Malformed);
}

#[test]
fn a_public_key_that_is_none_is_refused() {
    assert_eq!(VerificationKey::es256("k", &[4; 65]).err(), Some(KeyUnfit));
    assert_eq!(VerificationKey::es256("k", &[]).err(), Some(KeyUnfit));
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    assert_eq!(VerificationKey::rs256("k", &short, "AQAB").err(), Some(KeyUnfit));
    assert_eq!(VerificationKey::rs256("k", "not base64url!", "AQAB").err(), Some(KeyUnfit));
}

proptest! {
    #[test]
    fn a_changed_token_is_refused_and_never_panics(place in 0usize..400, byte in 0x20u8..0x7f) {
        let world = world();
        let token = sign(&world.header().to_string(), &claims().to_string(), &world.ours);
        let mut bytes = token.clone().into_bytes();
        let place = place % bytes.len();
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(world.validator.check(&changed, NOW_MS).is_err(), "{}", changed);
    }
}
