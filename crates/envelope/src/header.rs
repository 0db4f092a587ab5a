//! What an envelope says besides its payload, and the ranges that hold for it in each encoding.
//!
//! A [`Header`] comes out of an envelope that parsed; whether it is genuine is known only once the seal is open.

use crate::fault::Fault;

/// The greatest counter: no SQL integer holds a greater one.
pub const COUNTER_MAX: u64 = i64::MAX as u64;

/// The greatest counter in a JWS: a JSON number holds no greater one exactly (RFC 8259 section 6).
pub const JWS_COUNTER_MAX: u64 = (1 << 53) - 1;

/// The last millisecond of the year 9999, in ms since 1970-01-01 UTC.
pub const TIME_MAX_MS: i64 = 253_402_300_799_999;

/// How the facts are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The fixed header of constrained firmware.
    Frame,
    /// COSE_Mac0, RFC 9052.
    Cose,
    /// JWS compact serialization, RFC 7515.
    Jws,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frame, Self::Cose, Self::Jws];

    /// The word for metrics and quarantine.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Cose => "cose",
            Self::Jws => "jws",
        }
    }

    /// The encoding that a message's first byte tells.
    pub const fn of(first: Option<u8>) -> Option<Self> {
        match first {
            Some(0x53) => Some(Self::Frame),
            Some(0xD1) => Some(Self::Cose),
            Some(0x65) => Some(Self::Jws),
            _ => None,
        }
    }
}

/// How the tag is made. The numbers are those of COSE (RFC 9053 section 3.1), in frames too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA-256, 5 in a frame and in COSE, `HS256` in a JWS.
    #[default]
    HmacSha256,
    /// The same, truncated to its first 8 bytes, 4 in a frame and in COSE. Opened only where the operator allows it.
    HmacSha256Truncated,
}

impl Algorithm {
    pub(crate) const fn of(number: u8) -> Option<Self> {
        match number {
            5 => Some(Self::HmacSha256),
            4 => Some(Self::HmacSha256Truncated),
            _ => None,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::HmacSha256 => 5,
            Self::HmacSha256Truncated => 4,
        }
    }

    /// The length of the tag.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha256Truncated => 8,
        }
    }
}

/// What an envelope says besides its payload, each in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it is written down.
    pub encoding: Encoding,
    /// 1..=255.
    pub key_version: u8,
    /// A CoAP content-format; none if a JWS names a media type that has no number here.
    pub content_format: Option<u16>,
    /// 1..=[`COUNTER_MAX`].
    pub counter: u64,
    /// 0..=[`TIME_MAX_MS`]; none if the device has no clock.
    pub time_ms: Option<i64>,
}

pub(crate) fn key_version(version: u8) -> Result<u8, Fault> {
    if version == 0 {
        return Err(Fault::malformed("the key version is 0; versions start at 1"));
    }
    Ok(version)
}

pub(crate) fn counter(counter: u64, max: u64) -> Result<u64, Fault> {
    match counter {
        0 => Err(Fault::malformed("the counter is 0; counters start at 1")),
        _ if counter > max => Err(Fault::malformed("the counter is greater than its encoding allows")),
        _ => Ok(counter),
    }
}

pub(crate) fn time_ms(time_ms: i64) -> Result<i64, Fault> {
    match time_ms {
        0..=TIME_MAX_MS => Ok(time_ms),
        i64::MIN..0 => Err(Fault::malformed("the time is before 1970")),
        _ => Err(Fault::malformed("the time is beyond the year 9999")),
    }
}
