//! What a payload says: content formats in, readings out.
//!
//! An envelope names the format of its payload by a CoAP content-format number. [`decode`] makes readings of it or refuses it as a
//! whole; nothing is stored of a payload that is half understood. It is strict where two readers could differ (a key that comes
//! twice, bytes after the end) and bounded in all that grows (records, names, units, nesting). It does not know who sent the
//! payload, and no clock: times that the payload leaves open come from the caller.
//!
//! RFC 8428 bounds no unit. Here it has at most 64 bytes: those of its registry are a few letters each, and a unit of one's
//! own is a word that comes again and again, as the store keeps it, and no place for text.

mod cbor;
mod document;
mod fault;
mod json;
mod paths;
mod publish;
mod senml;

pub use fault::{At, BadPayload, Fault, Place};
pub use publish::to_senml_json;
pub use senml::Label;

use crate::store::Reading;
use paths::Paths;
use senml::{DataAs, Pack};

/// How many readings an envelope may carry.
const READINGS_MAX: usize = 1_000;

/// The longest name of a reading, base name or path and all.
const NAME_BYTES_MAX: usize = 256;

/// The longest unit.
const UNIT_BYTES_MAX: usize = 64;

// IANA's registry of CoAP content-formats
const OCTET_STREAM: u16 = 42;
const JSON: u16 = 50;
const CBOR: u16 = 60;
const SENML_JSON: u16 = 110;
const SENML_CBOR: u16 = 112;

/// The readings of a payload, in its order.
///
/// `format` is the envelope's content format, `None` if its media type has no number. `fallback_time_ms` (Unix time) is the time of
/// readings without one, and what relative times are relative to.
pub fn decode(format: Option<u16>, payload: &[u8], fallback_time_ms: i64) -> Result<Vec<Reading>, BadPayload> {
    match format {
        Some(OCTET_STREAM) => Ok(Vec::new()),
        Some(JSON | CBOR | SENML_JSON | SENML_CBOR) if payload.is_empty() => Err(BadPayload::of(Fault::Empty)),
        Some(JSON) => paths(payload, fallback_time_ms, json::walk),
        Some(CBOR) => paths(payload, fallback_time_ms, cbor::walk),
        Some(SENML_JSON) => pack(payload, Pack::new(DataAs::Base64Url, fallback_time_ms), json::pack),
        Some(SENML_CBOR) => pack(payload, Pack::new(DataAs::Bytes, fallback_time_ms), cbor::pack),
        Some(other) => Err(BadPayload::of(Fault::UnknownFormat(other))),
        None => Err(BadPayload::of(Fault::NoFormat)),
    }
}

fn paths<'a>(
    payload: &'a [u8],
    time_ms: i64,
    walk: impl FnOnce(&'a [u8], &mut Paths) -> Result<(), BadPayload>,
) -> Result<Vec<Reading>, BadPayload> {
    let mut paths = Paths::new(time_ms);
    walk(payload, &mut paths)?;
    Ok(paths.into_readings())
}

fn pack<'a>(
    payload: &'a [u8],
    mut pack: Pack<'a>,
    read: impl FnOnce(&'a [u8], &mut Pack<'a>) -> Result<(), BadPayload>,
) -> Result<Vec<Reading>, BadPayload> {
    read(payload, &mut pack).map_err(|bad| pack.blame(bad))?;
    pack.finish()
}

#[cfg(test)]
mod tests;
