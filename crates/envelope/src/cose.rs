//! COSE_Mac0 (RFC 9052 section 6.2), for stacks that speak CBOR.
//!
//! All parameters are in the protected header: 1 (alg), 3 (content type), 4 (kid), 6 (Partial IV, used as the counter; no
//! nonce is formed) and, if the device has a clock, claim 6 (iat) in 15 (CWT Claims, RFC 9597). Others are ignored, but for
//! 2 (crit), which asks for what this reader cannot promise. COSE carries no CRC.

use minicbor::data::Type;
use minicbor::encode::write::{Cursor, EndOfArray, EndOfSlice};
use minicbor::{Decoder, Encoder};

use crate::DeviceId;
use crate::cbor::{self, BROKEN, INDEFINITE};
use crate::direction::{Context, Direction};
use crate::fault::Fault;
use crate::header::{self, Algorithm, COUNTER_MAX, Encoding, Header};
use crate::key::Key;
use crate::message::{Message, SealError};
use crate::sealed::{Body, Policy, Sealed};
use crate::tag::Tag;

/// Room that is enough for a COSE_Mac0 with a payload of `payload_bytes`.
pub const fn cose_bytes_max(payload_bytes: usize) -> usize {
    payload_bytes.saturating_add(PROTECTED_BYTES_MAX + OVERHEAD_BYTES_MAX)
}

/// Seals `message` into the front of `out` and gives its length. [`cose_bytes_max`] is room enough. COSE is for messages
/// from the device alone.
pub fn seal_cose(out: &mut [u8], message: &Message<'_>, key: &Key, device: &DeviceId) -> Result<usize, SealError> {
    message.check()?;
    let mut room = Encoder::new(Cursor::new([0; PROTECTED_BYTES_MAX]));
    write_protected(&mut room, message).map_err(|_| SealError::Room)?;
    let written = room.writer().position();
    let protected = room.writer().get_ref().get(..written).unwrap_or_default();

    let context = Context::new(device, Direction::FromDevice);
    let tag = tag_of(protected, message.payload, message.algorithm, key, &context);
    let mut whole = Encoder::new(Cursor::new(out));
    write_whole(&mut whole, protected, message.payload, &tag).map_err(|_| SealError::Room)?;
    Ok(whole.writer().position())
}

fn write_protected(
    encoder: &mut Encoder<Cursor<[u8; PROTECTED_BYTES_MAX]>>,
    message: &Message<'_>,
) -> Result<(), minicbor::encode::Error<EndOfArray>> {
    let counter = message.counter.to_be_bytes();
    let leading_zeros = message.counter.leading_zeros() as usize / 8;
    encoder.map(4 + u64::from(message.time_ms.is_some()))?;
    encoder.i64(ALG)?.u8(message.algorithm.number())?;
    encoder.i64(CONTENT_TYPE)?.u16(message.content_format)?;
    encoder.i64(KID)?.bytes(&[message.key_version])?;
    encoder.i64(PARTIAL_IV)?.bytes(counter.get(leading_zeros..).unwrap_or_default())?;
    if let Some(time_ms) = message.time_ms {
        encoder.i64(CWT_CLAIMS)?.map(1)?.i64(IAT)?;
        write_seconds(encoder, time_ms)?;
    }
    Ok(())
}

/// Whole seconds as an integer, else as a double, which is exact to the millisecond far beyond the year 9999.
fn write_seconds(
    encoder: &mut Encoder<Cursor<[u8; PROTECTED_BYTES_MAX]>>,
    time_ms: i64,
) -> Result<(), minicbor::encode::Error<EndOfArray>> {
    match time_ms % 1000 {
        0 => encoder.i64(time_ms / 1000)?,
        _ => encoder.f64(time_ms as f64 / 1000.0)?,
    };
    Ok(())
}

fn write_whole(
    encoder: &mut Encoder<Cursor<&mut [u8]>>,
    protected: &[u8],
    payload: &[u8],
    tag: &Tag,
) -> Result<(), minicbor::encode::Error<EndOfSlice>> {
    encoder.tag(COSE_MAC0)?.array(4)?.bytes(protected)?.map(0)?.bytes(payload)?.bytes(tag.as_bytes())?;
    Ok(())
}

/// The tag over the MAC_structure [RFC 9052 section 6.3], whose external AAD is the context.
pub(crate) fn tag_of(protected: &[u8], payload: &[u8], algorithm: Algorithm, key: &Key, context: &Context) -> Tag {
    let context = context.as_bytes();
    let heads = [protected.len(), context.len(), payload.len()].map(Head::of);
    let [protected_head, context_head, payload_head] = heads.each_ref().map(Head::as_bytes);
    key.tag(&[b"\x84\x64MAC0", protected_head, protected, context_head, context, payload_head, payload], algorithm)
}

/// The head of a byte string, in its shortest form [RFC 8949 section 4.2.1].
struct Head {
    bytes: [u8; 9],
    len: usize,
}

impl Head {
    fn of(bytes: usize) -> Self {
        let bytes = bytes as u64;
        let [h, g, f, e, d, c, b, a] = bytes.to_be_bytes();
        match bytes {
            0..24 => Self { bytes: [0x40 | a, 0, 0, 0, 0, 0, 0, 0, 0], len: 1 },
            24..0x100 => Self { bytes: [0x58, a, 0, 0, 0, 0, 0, 0, 0], len: 2 },
            0x100..0x1_0000 => Self { bytes: [0x59, b, a, 0, 0, 0, 0, 0, 0], len: 3 },
            0x1_0000..0x1_0000_0000 => Self { bytes: [0x5a, d, c, b, a, 0, 0, 0, 0], len: 5 },
            _ => Self { bytes: [0x5b, h, g, f, e, d, c, b, a], len: 9 },
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

pub(crate) fn parse<'a>(bytes: &'a [u8], policy: &Policy) -> Result<Sealed<'a>, Fault> {
    let parts = Parts::read(bytes)?;
    let (algorithm, header) = Parameters::read(parts.protected)?.check()?;
    let tag = Tag::from_slice(parts.tag, policy.admit(algorithm)?);
    let tag = tag.ok_or(Fault::malformed("the tag has another length than its algorithm says"))?;
    Ok(Sealed::new(header, tag, Body::Cose { protected: parts.protected, payload: parts.payload }))
}

/// A COSE_Mac0 taken apart, its header unread.
struct Parts<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut decoder = Decoder::new(bytes);
        if decoder.tag().map_err(|_| BROKEN)? != COSE_MAC0 {
            return Err(Fault::malformed("the CBOR tag is not 17"));
        }
        if decoder.array().map_err(|_| Fault::malformed("the CBOR tag is not of an array"))?.ok_or(INDEFINITE)? != 4 {
            return Err(Fault::malformed("the array has not four items"));
        }
        let protected = definite_bytes(&mut decoder, "the protected header is no byte string of definite length")?;
        if cbor::entries(&mut decoder)? != 0 {
            return Err(Fault::malformed("the unprotected header is not empty"));
        }
        let payload = definite_bytes(&mut decoder, "the payload is no byte string of definite length")?;
        let tag = definite_bytes(&mut decoder, "the tag is no byte string of definite length")?;
        ends(&decoder)?;
        Ok(Self { protected, payload, tag })
    }
}

fn definite_bytes<'a>(decoder: &mut Decoder<'a>, why: &'static str) -> Result<&'a [u8], Fault> {
    decoder.bytes().map_err(|_| Fault::malformed(why))
}

fn ends(decoder: &Decoder<'_>) -> Result<(), Fault> {
    if decoder.position() < decoder.input().len() {
        return Err(Fault::malformed("there are bytes after the end"));
    }
    Ok(())
}

/// The listed header parameters, as far as they were there.
#[derive(Default)]
struct Parameters {
    algorithm: Option<Algorithm>,
    content_format: Option<u16>,
    key_version: Option<u8>,
    counter: Option<u64>,
    time_ms: Option<i64>,
}

impl Parameters {
    fn read(protected: &[u8]) -> Result<Self, Fault> {
        let mut decoder = Decoder::new(protected);
        let mut parameters = Self::default();
        cbor::map(&mut decoder, |label, decoder| {
            match label.number() {
                Some(ALG) => parameters.algorithm = Some(read_algorithm(decoder)?),
                Some(CRIT) => return Err(Fault::malformed("there is a crit, which no reader of this format obeys")),
                Some(CONTENT_TYPE) => parameters.content_format = Some(read_content_format(decoder)?),
                Some(KID) => parameters.key_version = Some(read_key_version(decoder)?),
                Some(PARTIAL_IV) => parameters.counter = Some(read_counter(decoder)?),
                Some(CWT_CLAIMS) => parameters.time_ms = read_claims(decoder)?,
                _ => cbor::skip(decoder)?,
            }
            Ok(())
        })?;
        ends(&decoder)?;
        Ok(parameters)
    }

    fn check(self) -> Result<(Algorithm, Header), Fault> {
        let algorithm = self.algorithm.ok_or(Fault::malformed("there is no algorithm (1)"))?;
        let header = Header {
            encoding: Encoding::Cose,
            key_version: self.key_version.ok_or(Fault::malformed("there is no kid (4)"))?,
            content_format: Some(self.content_format.ok_or(Fault::malformed("there is no content type (3)"))?),
            counter: self.counter.ok_or(Fault::malformed("there is no Partial IV (6)"))?,
            time_ms: self.time_ms,
        };
        Ok((algorithm, header))
    }
}

fn read_algorithm(decoder: &mut Decoder<'_>) -> Result<Algorithm, Fault> {
    let number = decoder.u8().ok().and_then(Algorithm::of);
    number.ok_or(Fault::malformed("the algorithm (1) is neither 5 nor 4"))
}

fn read_content_format(decoder: &mut Decoder<'_>) -> Result<u16, Fault> {
    decoder.u16().map_err(|_| Fault::malformed("the content type (3) is no CoAP content-format"))
}

fn read_key_version(decoder: &mut Decoder<'_>) -> Result<u8, Fault> {
    match decoder.bytes() {
        Ok([version]) => header::key_version(*version),
        _ => Err(Fault::malformed("the kid (4) is not one byte")),
    }
}

fn read_counter(decoder: &mut Decoder<'_>) -> Result<u64, Fault> {
    match decoder.bytes() {
        Ok([0, ..]) => Err(Fault::malformed("the Partial IV (6) starts with a zero byte")),
        Ok(bytes @ ([_] | [_, ..])) if bytes.len() <= 8 => header::counter(big_endian(bytes), COUNTER_MAX),
        _ => Err(Fault::malformed("the Partial IV (6) is no byte string of 1 to 8 bytes")),
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// CWT Claims [RFC 9597 section 2]; those but iat are ignored.
fn read_claims(decoder: &mut Decoder<'_>) -> Result<Option<i64>, Fault> {
    let mut time_ms = None;
    cbor::map(decoder, |label, decoder| {
        match label.number() {
            Some(IAT) => time_ms = Some(read_seconds(decoder)?),
            _ => cbor::skip(decoder)?,
        }
        Ok(())
    })?;
    Ok(time_ms)
}

/// A NumericDate [RFC 8392 section 2], as ms.
fn read_seconds(decoder: &mut Decoder<'_>) -> Result<i64, Fault> {
    let time_ms = match cbor::kind(decoder)? {
        Type::F16 | Type::F32 | Type::F64 => nearest_ms(decoder.f64().map_err(|_| BROKEN)?)?,
        _ => decoder.i64().map_err(|_| Fault::malformed("the iat (6) is no number"))?.saturating_mul(1000),
    };
    header::time_ms(time_ms)
}

/// Rounds without `f64::round`, which `core` lacks. Beyond 2^53 there is nothing to round and no year that is allowed.
fn nearest_ms(seconds: f64) -> Result<i64, Fault> {
    let exact = seconds * 1000.0;
    if !exact.is_finite() {
        return Err(Fault::malformed("the iat (6) is not finite"));
    }
    let whole = exact as i64;
    let rest = exact - whole as f64;
    Ok(whole.saturating_add(i64::from(rest >= 0.5)).saturating_sub(i64::from(rest <= -0.5)))
}

/// [RFC 9052 section 2, table 1]
const COSE_MAC0: minicbor::data::Tag = minicbor::data::Tag::new(17);

const ALG: i64 = 1;
const CRIT: i64 = 2;
const CONTENT_TYPE: i64 = 3;
const KID: i64 = 4;
const PARTIAL_IV: i64 = 6;
const CWT_CLAIMS: i64 = 15;
const IAT: i64 = 6;

/// A map of 5: 1 + (1+1) + (1+3) + (1+2) + (1+9) + (1+1+1+9).
const PROTECTED_BYTES_MAX: usize = 32;
/// Tag, array, empty map: 3. Heads of byte strings: 2 for the header, 9 for the payload, 2 for the tag. The tag: 32.
const OVERHEAD_BYTES_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_to_the_nearest_millisecond() {
        for (seconds, ms) in
            [(0.0, 0), (1.0004, 1000), (1.0006, 1001), (-0.0004, 0), (1_790_000_000.25, 1_790_000_000_250)]
        {
            assert_eq!(nearest_ms(seconds).unwrap(), ms, "{seconds}");
        }
        assert_eq!(nearest_ms(-0.0006).unwrap(), -1);
        assert_eq!(nearest_ms(1e300).unwrap(), i64::MAX);
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308] {
            assert!(nearest_ms(seconds).is_err(), "{seconds}");
        }
    }

    #[test]
    fn every_millisecond_survives_its_seconds() {
        for time_ms in (0..=header::TIME_MAX_MS).step_by(253_402_301).chain([header::TIME_MAX_MS]) {
            assert_eq!(nearest_ms(time_ms as f64 / 1000.0).unwrap(), time_ms);
        }
    }

    #[test]
    fn a_message_fits_into_the_room_that_it_is_said_to_need() {
        let key = Key::new(&[7; 32].into());
        let device = "a".parse().unwrap();
        for len in [0, 23, 24, 255, 256, 65_535, 65_536] {
            let message = Message {
                algorithm: Algorithm::HmacSha256,
                key_version: 255,
                content_format: 65_535,
                counter: COUNTER_MAX,
                time_ms: Some(header::TIME_MAX_MS),
                payload: &[0; 65_536][..len],
            };
            let mut out = [0; 66_000];
            assert!(seal_cose(&mut out[..cose_bytes_max(len)], &message, &key, &device).is_ok(), "{len}");
            assert_eq!(seal_cose(&mut out[..len + 60], &message, &key, &device), Err(SealError::Room), "{len}");
        }
    }
}
