//! JWS compact serialization (RFC 7515) with HS256, for anything that has a JOSE library.
//!
//! The device is named in `sub`, for a JWS has no place for an external context. The header is read strictly: a member that
//! comes twice is malformed even if nobody knows it (RFC 7515 section 4 leaves that open), and `crit` is refused, since no
//! extension is understood here. A JWS carries no CRC.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::DeviceId;
use crate::fault::Fault;
use crate::header::{self, Algorithm, Encoding, Header, JWS_COUNTER_MAX};
use crate::key::Key;
use crate::message::{Message, SealError};
use crate::sealed::{Body, Carried, Sealed};
use crate::tag::Tag;

/// Seals `message`. A JWS is for messages from the device alone, its counter is at most [`JWS_COUNTER_MAX`], its tag whole,
/// and its content format one that has a media type.
pub fn seal_jws(message: &Message<'_>, key: &Key, device: &DeviceId) -> Result<Vec<u8>, SealError> {
    message.check_up_to(JWS_COUNTER_MAX)?;
    if message.algorithm != Algorithm::HmacSha256 {
        return Err(SealError::Algorithm);
    }
    let mut jws = String::new();
    URL_SAFE_NO_PAD.encode_string(header_of(message, device)?, &mut jws);
    jws.push('.');
    URL_SAFE_NO_PAD.encode_string(message.payload, &mut jws);
    let tag = tag_of(jws.as_bytes(), key);
    jws.push('.');
    URL_SAFE_NO_PAD.encode_string(tag.as_bytes(), &mut jws);
    Ok(jws.into_bytes())
}

/// Nothing here needs an escape: a device id has no quote, no backslash and no control character.
fn header_of(message: &Message<'_>, device: &DeviceId) -> Result<String, SealError> {
    let Message { key_version, counter, .. } = message;
    let media_type = media_type_of(message.content_format).ok_or(SealError::ContentFormat)?;
    let time = message.time_ms.map(|time_ms| format!(r#""ts":{time_ms},"#)).unwrap_or_default();
    Ok(format!(
        r#"{{"alg":"HS256","kid":"{key_version}","sub":"{device}","ctr":{counter},{time}"cty":"application/{media_type}"}}"#
    ))
}

/// The tag over the JWS Signing Input [RFC 7515 section 5.1].
pub(crate) fn tag_of(signed: &[u8], key: &Key) -> Tag {
    key.tag(&[signed], Algorithm::HmacSha256)
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Sealed<'_>, Fault> {
    let parts = Parts::split(bytes)?;
    let (header, subject) = Members::read(parts.header)?.check()?;
    let payload = decode(parts.payload, "the payload is not strict base64url")?;
    let tag = decode(parts.tag, "the tag is not strict base64url")?;
    let tag = Tag::from_slice(&tag, Algorithm::HmacSha256).ok_or(Fault::malformed("the tag has not 32 bytes"))?;
    Ok(Sealed::new(header, tag, Body::Jws { signed: parts.signed, carried: Box::new(Carried { subject, payload }) }))
}

/// Without padding and with no bit set that is not data [RFC 7515 section 2, RFC 4648 section 3.5].
fn decode(part: &[u8], why: &'static str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::malformed(why))
}

/// The three parts, still in base64url.
struct Parts<'a> {
    signed: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut parts = bytes.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(tag), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::malformed("a JWS has three parts, divided by dots"));
        };
        let signed = bytes.get(..header.len() + 1 + payload.len()).unwrap_or_default();
        Ok(Self { signed, header, payload, tag })
    }
}

/// The listed header members, as far as they were there.
#[derive(Default)]
struct Members {
    alg: Option<String>,
    kid: Option<String>,
    sub: Option<String>,
    ctr: Option<u64>,
    ts: Option<i64>,
    cty: Option<String>,
}

impl Members {
    fn read(part: &[u8]) -> Result<Self, Fault> {
        let json = decode(part, "the header is not strict base64url")?;
        // Read as text first, so that what is in an unknown member is UTF-8 too.
        let json = core::str::from_utf8(&json).map_err(|_| Fault::malformed("the header is not UTF-8"))?;
        serde_json::from_str(json).map_err(|_| {
            Fault::malformed("the header is no JSON object with each member once, in its type, and without crit")
        })
    }

    fn check(self) -> Result<(Header, DeviceId), Fault> {
        if self.alg.as_deref() != Some("HS256") {
            return Err(Fault::malformed("the alg is not HS256"));
        }
        let counter = self.ctr.ok_or(Fault::malformed("there is no ctr"))?;
        let media_type = self.cty.ok_or(Fault::malformed("there is no cty"))?;
        let header = Header {
            encoding: Encoding::Jws,
            key_version: read_kid(&self.kid.ok_or(Fault::malformed("there is no kid"))?)?,
            content_format: content_format_of(&media_type),
            counter: header::counter(counter, JWS_COUNTER_MAX)?,
            time_ms: self.ts.map(header::time_ms).transpose()?,
        };
        Ok((header, read_sub(&self.sub.ok_or(Fault::malformed("there is no sub"))?)?))
    }
}

/// Decimal, and written in one way alone.
fn read_kid(kid: &str) -> Result<u8, Fault> {
    if kid.starts_with(['0', '+']) {
        return Err(Fault::malformed("the kid does not start with 1 to 9"));
    }
    kid.parse().map_err(|_| Fault::malformed("the kid is no number from 1 to 255"))
}

fn read_sub(sub: &str) -> Result<DeviceId, Fault> {
    sub.parse().map_err(|_| Fault::malformed("the sub is no device id"))
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.len() == MEMBERS_MAX || seen.contains(&name) {
                return Err(serde::de::Error::custom("a member comes twice, or there are too many"));
            }
            members.read_member(&name, &mut map)?;
            seen.push(name);
        }
        Ok(members)
    }
}

impl Members {
    fn read_member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "alg" => self.alg = Some(map.next_value()?),
            "kid" => self.kid = Some(map.next_value()?),
            "sub" => self.sub = Some(map.next_value()?),
            // An integer type takes a number with a fraction or an exponent for a float, and refuses it.
            "ctr" => self.ctr = Some(map.next_value()?),
            "ts" => self.ts = Some(map.next_value()?),
            "cty" => self.cty = Some(map.next_value()?),
            "crit" => return Err(serde::de::Error::custom("no critical extension is understood")),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

fn media_type_of(content_format: u16) -> Option<&'static str> {
    MEDIA_TYPES.into_iter().find(|(number, _)| *number == content_format).map(|(_, media_type)| media_type)
}

/// A type without a slash stands for one under `application/` [RFC 7515 section 4.1.10]; case does not count [RFC 2045
/// section 5.1].
fn content_format_of(cty: &str) -> Option<u16> {
    let subtype = match cty.split_once('/') {
        Some((kind, subtype)) if kind.eq_ignore_ascii_case("application") => subtype,
        Some(_) => return None,
        None => cty,
    };
    MEDIA_TYPES.into_iter().find(|(_, known)| subtype.eq_ignore_ascii_case(known)).map(|(number, _)| number)
}

/// Content formats and what stands for them under `application/`.
const MEDIA_TYPES: [(u16, &str); 5] =
    [(42, "octet-stream"), (50, "json"), (60, "cbor"), (110, "senml+json"), (112, "senml+cbor")];

/// A header with more members is refused, as with COSE.
const MEMBERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_known_with_and_without_application() {
        for (number, media_type) in MEDIA_TYPES {
            assert_eq!(content_format_of(media_type), Some(number));
            assert_eq!(content_format_of(&format!("application/{media_type}")), Some(number));
            assert_eq!(content_format_of(&format!("Application/{}", media_type.to_uppercase())), Some(number));
        }
        for unknown in ["", "/", "application/", "text/json", "application/application/json", "json/", "json; q=1"] {
            assert_eq!(content_format_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_key_version_is_written_in_one_way() {
        assert_eq!(read_kid("1").unwrap(), 1);
        assert_eq!(read_kid("255").unwrap(), 255);
        for kid in ["", "0", "01", "+1", "-1", "256", "1 ", "1.0", "0x1", "١"] {
            assert!(read_kid(kid).is_err(), "{kid:?}");
        }
    }

    fn reads(json: &str) -> bool {
        Members::read(URL_SAFE_NO_PAD.encode(json).as_bytes()).and_then(Members::check).is_ok()
    }

    #[test]
    fn a_header_is_read_strictly() {
        let with = |more: &str| format!(r#"{{"alg":"HS256","kid":"1","sub":"a","ctr":1,"cty":"json"{more}}}"#);
        for more in ["", r#","ts":0"#, r#","x":{"y":[1e9,null]}"#, r#","ts":253402300799999"#, r#","b64":false"#] {
            assert!(reads(&with(more)), "{more}");
        }
        for more in [
            r#","ctr":1"#,
            r#","ct\u0072":1"#,
            r#","x":1,"x":1"#,
            r#","ts":null"#,
            r#","ts":-1"#,
            r#","ts":1.0"#,
            r#","ts":1e3"#,
            r#","ts":-0"#,
            r#","ts":"1""#,
            r#","ts":253402300800000"#,
            r#","crit":[]"#,
            ",",
            r#","x":1}{"#,
            r#","x":01"#,
        ] {
            assert!(!reads(&with(more)), "{more}");
        }
        assert!(!reads(r#"["HS256"]"#));
        assert!(!reads(&with("").replace(r#""sub":"a""#, r#""sub":"a/b""#)));
        assert!(!reads(&with("").replace(r#""ctr":1"#, r#""ctr":18446744073709551616"#)));
        assert!(!reads(&with("").replace("HS256", "hs256")));
    }

    #[test]
    fn a_header_has_a_bounded_number_of_members() {
        let with = |count: usize| {
            let more: String = (5..count).map(|n| format!(r#","x{n}":0"#)).collect();
            format!(r#"{{"alg":"HS256","kid":"1","sub":"a","ctr":1,"cty":"json"{more}}}"#)
        };
        assert!(reads(&with(MEMBERS_MAX)));
        assert!(!reads(&with(MEMBERS_MAX + 1)));
    }
}
