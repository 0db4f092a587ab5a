//! The claims of an access token (RFC 9068 section 2.2) in types that hold nothing else.
//!
//! All that the profile requires is required here, and of the type that it has: a time is a whole number of seconds
//! between 1970 and 9999, never a string, a float, a list or null, so no time is ever passed over because it could
//! not be read (CVE-2026-25537). Whether the values are those of a token for this gateway, now, is the
//! [`validator`](super::validator)'s to say.

use serde_json::Value;

use super::jose::Members;

/// The claims, read but not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `aud`, one or several.
    pub audiences: Vec<String>,
    /// `sub`: the device id or the service's name.
    pub subject: String,
    /// `client_id`: the OAuth client to which the token was issued; not MQTT's client id.
    pub client_id: String,
    /// `scope`
    pub scope: String,
    /// `jti`
    pub token_id: String,
    /// `iat`, in Unix ms.
    pub issued_at_ms: i64,
    /// The group that a foreign issuer names.
    pub group: Option<String>,
    /// The `kid` of the key that verified it; empty before.
    pub key_id: String,
    /// `exp`, in Unix ms.
    pub expires_at_ms: i64,
    /// `nbf`, in Unix ms.
    pub not_before_ms: Option<i64>,
}

impl Claims {
    /// The claims among `members`; nothing if one is missing or of another type.
    pub(crate) fn parse(members: &Members) -> Option<Claims> {
        let text = |name| members.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Claims {
            issuer: text("iss")?,
            audiences: audiences(members.member("aud")?)?,
            subject: text("sub")?,
            client_id: text("client_id")?,
            scope: text("scope")?,
            token_id: text("jti")?,
            issued_at_ms: time_ms(members.member("iat")?)?,
            group: None,
            key_id: String::new(),
            expires_at_ms: time_ms(members.member("exp")?)?,
            not_before_ms: members.member("nbf").map_or(Some(None), |value| time_ms(value).map(Some))?,
        })
    }
}

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const TIME_SECS_MAX: u64 = 253_402_300_799;

/// A time in Unix ms. RFC 7519 section 2 allows a NumericDate to have a fraction; RFC 9068 issuers write none, and we
/// take none.
pub(super) fn time_ms(value: &Value) -> Option<i64> {
    let secs = value.as_u64().filter(|&secs| secs <= TIME_SECS_MAX)?;
    i64::try_from(secs * 1000).ok()
}

/// RFC 7519 section 4.1.3: one string, or an array of strings.
pub(super) fn audiences(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(several) => several.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(claims: &Value) -> Option<Claims> {
        Claims::parse(&serde_json::from_value(claims.clone()).unwrap())
    }

    fn claims() -> Value {
        json!({
            "iss": "http://127.0.0.1:8080", "aud": "sealgate", "sub": "pump-7", "client_id": "c", "iat": 1_700_000_000,
            "exp": 1_700_003_600, "nbf": 1_700_000_000, "jti": "j", "scope": "device"
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[test]
    fn the_claims_of_an_access_token_are_read() {
        let read = parse(&claims()).unwrap();
        assert_eq!(read.expires_at_ms, 1_700_003_600_000);
        assert_eq!(read.not_before_ms, Some(1_700_000_000_000));
        assert_eq!(read.audiences, ["sealgate"]);
    }

    // RFC 9068 section 2.2; `scope` is ours to require (section 2.2.3 requires it if one was asked for).
    #[test]
    fn each_required_claim_is_required() {
        for name in ["iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(parse(&claims), None, "{name}");
        }
        let mut without_nbf = claims();
        without_nbf.as_object_mut().unwrap().remove("nbf");
        assert_eq!(parse(&without_nbf).unwrap().not_before_ms, None);
    }

    // The class of CVE-2026-25537: a time of the wrong type must not pass for a time that is not there.
    #[test]
    fn a_time_that_is_no_whole_number_of_seconds_until_9999_is_refused() {
        let texts = [
            "\"1700003600\"",
            "1700003600.0",
            "1.7000036e9",
            "[1700003600]",
            "null",
            "-1",
            "-0",
            "{}",
            "true",
            "253402300800",
            "9223372036854775807",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "1700003600.5",
        ];
        for name in ["exp", "iat", "nbf"] {
            for text in texts {
                assert_eq!(parse(&with(name, serde_json::from_str(text).unwrap())), None, "{name}: {text}");
            }
            assert!(parse(&with(name, json!(253_402_300_799_u64))).is_some());
            assert!(parse(&with(name, json!(0))).is_some());
        }
    }

    #[test]
    fn a_name_that_is_no_string_or_empty_is_refused() {
        for name in ["iss", "sub", "client_id", "jti", "scope"] {
            for value in [json!(""), json!(1), json!(null), json!(["pump-7"]), json!({})] {
                assert_eq!(parse(&with(name, value.clone())), None, "{name}: {value}");
            }
        }
    }

    // RFC 7519 section 4.1.3
    #[test]
    fn an_audience_is_a_string_or_strings() {
        assert_eq!(parse(&with("aud", json!(["a", "b"]))).unwrap().audiences, ["a", "b"]);
        assert_eq!(parse(&with("aud", json!([]))).unwrap().audiences, [""; 0]);
        for value in [json!(1), json!(null), json!(["a", 1]), json!({"a": 1})] {
            assert_eq!(parse(&with("aud", value.clone())), None, "{value}");
        }
    }
}
