//! The outer shape of a token: JWS compact serialization (RFC 7515) around two JSON objects.
//!
//! We read it ourselves, and leave the signature alone to `jsonwebtoken`: a library that maps claims to its own types
//! decides what to do with those that do not fit, and has skipped the check of a time that was no number
//! (CVE-2026-25537). Here a token has exactly the shape that we expect, or it is none. What the members mean is told
//! in [`claims`](super::claims) and [`validator`](super::validator).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// A token taken apart. Nothing in it is verified.
pub(crate) struct Compact<'a> {
    /// What the signature is over: header, dot, claims, as they came.
    pub(crate) signed: &'a str,
    /// The signature, in base64url.
    pub(crate) signature: &'a str,
    /// The members of the header.
    pub(crate) header: Members,
    /// The members of the claims.
    pub(crate) claims: Members,
}

impl<'a> Compact<'a> {
    /// Takes `token` apart; nothing unless it has three parts, of which the first two are objects without repeated
    /// members.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?; // A dot too many is no base64url and fails below.
        let (header, claims) = (Members::decode(header)?, Members::decode(claims)?);
        Some(Compact { signed, signature, header, claims })
    }
}

/// The members of a JSON object, each of which came once.
///
/// RFC 7515 section 4 and RFC 7519 section 4 let a reader refuse repeated names or take the last; two readers that
/// differ see two tokens.
#[derive(Debug)]
pub(crate) struct Members(BTreeMap<String, Value>);

impl Members {
    fn decode(part: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The member of this name, if it is there and a string.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without repeated members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_comes_apart() {
        let token = token(r#"{"alg":"ES256"}"#, r#"{"sub":"a","exp":1}"#);
        let compact = Compact::parse(&token).unwrap();
        assert_eq!(compact.header.text("alg"), Some("ES256"));
        assert_eq!(compact.claims.text("sub"), Some("a"));
        assert_eq!(compact.claims.text("exp"), None);
        assert_eq!(format!("{}.{}", compact.signed, compact.signature), token);
    }

    #[test]
    fn a_repeated_member_is_refused_in_header_and_claims() {
        assert!(Compact::parse(&token(r#"{"alg":"none","alg":"ES256"}"#, "{}")).is_none());
        assert!(Compact::parse(&token("{}", r#"{"exp":1,"exp":9}"#)).is_none());
        assert!(Compact::parse(&token("{}", r#"{"exp":1,"\u0065xp":9}"#)).is_none());
    }

    #[test]
    fn what_is_not_two_objects_and_a_signature_is_refused() {
        for (header, claims) in [("[]", "{}"), ("{}", "null"), ("{} x", "{}"), ("", "{}"), ("{}", "{\"a\":1e999}")] {
            assert!(Compact::parse(&token(header, claims)).is_none(), "{header} {claims}");
        }
        let good = token("{}", "{}");
        for text in ["", ".", "..", "a.b", &format!("{good}.x"), &format!("x.{good}"), &good.replace('.', "=.")] {
            assert!(Compact::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "\\PC{0,200}", header in "\\PC{0,80}", claims in "\\PC{0,80}") {
            let _ = Compact::parse(&text);
            let _ = Compact::parse(&token(&header, &claims));
        }
    }
}
