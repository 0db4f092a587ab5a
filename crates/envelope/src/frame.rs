//! The frame: a fixed header for firmware that has no parser to spare.
//!
//! All integers are big-endian; `n` is the length of the whole, `t` that of the tag.
//!
//! | offset | field | |
//! |---|---|---|
//! | 0 | magic | `SG` |
//! | 2 | version | 1 |
//! | 3 | alg | 5, t = 32; or 4, t = 8 |
//! | 4 | key | version of the key |
//! | 5 | flags | 0 |
//! | 6 | format | CoAP content-format |
//! | 8 | counter | |
//! | 16 | time | ms since 1970-01-01 UTC; 0 = no clock |
//! | 24 | payload | |
//! | n-4-t | tag | of the context and all before the tag |
//! | n-4 | crc | CRC-32C of all before it |

use crate::DeviceId;
use crate::crc;
use crate::direction::{Context, Direction};
use crate::fault::Fault;
use crate::header::{self, Algorithm, COUNTER_MAX, Encoding, Header};
use crate::key::Key;
use crate::message::{Message, SealError};
use crate::reason::Reason;
use crate::sealed::{Body, Policy, Sealed};
use crate::tag::Tag;

/// The length of a frame with a payload of `payload_bytes`.
pub const fn frame_bytes(payload_bytes: usize, algorithm: Algorithm) -> usize {
    HEADER_BYTES.saturating_add(payload_bytes).saturating_add(algorithm.tag_bytes()).saturating_add(CRC_BYTES)
}

/// Seals `message` into the front of `out`, which has room for [`frame_bytes`], and gives the frame's length.
pub fn seal_frame(
    out: &mut [u8],
    message: &Message<'_>,
    key: &Key,
    device: &DeviceId,
    direction: Direction,
) -> Result<usize, SealError> {
    message.check()?;
    if message.time_ms == Some(NO_CLOCK) {
        return Err(SealError::Time);
    }
    let len = frame_bytes(message.payload.len(), message.algorithm);
    let frame = out.get_mut(..len).ok_or(SealError::Room)?;
    write(frame, message, key, &Context::new(device, direction)).ok_or(SealError::Room)?;
    Ok(len)
}

fn write(frame: &mut [u8], message: &Message<'_>, key: &Key, context: &Context) -> Option<()> {
    let (whole, crc) = frame.split_last_chunk_mut::<CRC_BYTES>()?;
    let (signed, tag) = whole.split_at_mut_checked(whole.len().checked_sub(message.algorithm.tag_bytes())?)?;
    let (header, payload) = signed.split_first_chunk_mut::<HEADER_BYTES>()?;
    *header = header_of(message);
    payload.copy_from_slice(message.payload);
    tag.copy_from_slice(tag_of(signed, message.algorithm, key, context).as_bytes());
    *crc = crc::checksum(whole).to_be_bytes();
    Some(())
}

fn header_of(message: &Message<'_>) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let time_ms = message.time_ms.unwrap_or(NO_CLOCK);
    header[..6].copy_from_slice(&[MAGIC[0], MAGIC[1], VERSION, message.algorithm.number(), message.key_version, FLAGS]);
    header[6..8].copy_from_slice(&message.content_format.to_be_bytes());
    header[8..16].copy_from_slice(&message.counter.to_be_bytes());
    header[16..].copy_from_slice(&time_ms.to_be_bytes());
    header
}

/// The tag over the context and a frame's bytes before its tag.
pub(crate) fn tag_of(signed: &[u8], algorithm: Algorithm, key: &Key, context: &Context) -> Tag {
    key.tag(&[context.as_bytes(), signed], algorithm)
}

pub(crate) fn parse<'a>(bytes: &'a [u8], policy: &Policy) -> Result<Sealed<'a>, Fault> {
    let algorithm = policy.admit(algorithm(bytes)?)?;
    let parts =
        Parts::split(bytes, algorithm).ok_or(Fault::malformed("the frame is shorter than its header, tag and CRC"))?;
    if crc::checksum(parts.checked) != parts.crc {
        return Err(Fault { reason: Reason::Corrupt, why: "the CRC does not fit: the frame was damaged on its way" });
    }
    let header = read_header(parts.header)?;
    Ok(Sealed::new(header, parts.tag, Body::Frame { signed: parts.signed, payload: parts.payload }))
}

/// What places the tag and the CRC, and is therefore looked at before them.
fn algorithm(bytes: &[u8]) -> Result<Algorithm, Fault> {
    match bytes {
        [a, b, ..] if [*a, *b] != MAGIC => Err(Fault::malformed("the magic is not SG")),
        [_, _, version, ..] if *version != VERSION => Err(Fault::malformed("the version is not 1")),
        [_, _, _, number, ..] => Algorithm::of(*number).ok_or(Fault::malformed("the algorithm is neither 5 nor 4")),
        _ => Err(Fault::malformed("the frame ends before its algorithm")),
    }
}

/// A frame taken apart by its lengths alone.
struct Parts<'a> {
    header: &'a [u8; HEADER_BYTES],
    payload: &'a [u8],
    signed: &'a [u8],
    tag: Tag,
    checked: &'a [u8],
    crc: u32,
}

impl<'a> Parts<'a> {
    fn split(bytes: &'a [u8], algorithm: Algorithm) -> Option<Self> {
        let (checked, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        let (signed, tag) = checked.split_at_checked(checked.len().checked_sub(algorithm.tag_bytes())?)?;
        let (header, payload) = signed.split_first_chunk::<HEADER_BYTES>()?;
        let tag = Tag::from_slice(tag, algorithm)?;
        Some(Self { header, payload, signed, tag, checked, crc: u32::from_be_bytes(*crc) })
    }
}

fn read_header(header: &[u8; HEADER_BYTES]) -> Result<Header, Fault> {
    let [_, _, _, _, key, flags, format_high, format_low, counter_and_time @ ..] = header;
    let counter_and_time = u128::from_be_bytes(*counter_and_time);
    if *flags != FLAGS {
        return Err(Fault::malformed("the flags are not 0"));
    }
    Ok(Header {
        encoding: Encoding::Frame,
        key_version: header::key_version(*key)?,
        content_format: Some(u16::from_be_bytes([*format_high, *format_low])),
        counter: header::counter((counter_and_time >> 64) as u64, COUNTER_MAX)?,
        time_ms: Some(header::time_ms(counter_and_time as i64)?).filter(|time_ms| *time_ms != NO_CLOCK),
    })
}

const MAGIC: [u8; 2] = *b"SG";
const VERSION: u8 = 1;
const FLAGS: u8 = 0;
const HEADER_BYTES: usize = 24;
const CRC_BYTES: usize = 4;
const NO_CLOCK: i64 = 0;
