//! The parts of a message with their places, read as far as they go.

use core::ops::Range;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::Field;
use crate::header::Algorithm;
use crate::{Encoding, crc};

pub(super) fn of(encoding: Encoding, bytes: &[u8]) -> Vec<Field> {
    match encoding {
        Encoding::Frame => frame(bytes),
        #[cfg(feature = "cose")]
        Encoding::Cose => cose(bytes),
        #[cfg(feature = "jws")]
        Encoding::Jws => jws(bytes),
        #[cfg(not(all(feature = "cose", feature = "jws")))]
        _ => Vec::new(),
    }
}

fn frame(bytes: &[u8]) -> Vec<Field> {
    let tag_bytes = bytes.get(3).and_then(|number| Algorithm::of(*number)).unwrap_or_default().tag_bytes();
    let crc_start = bytes.len().saturating_sub(4);
    let tag_start = crc_start.saturating_sub(tag_bytes);
    let head: [(&str, Range<usize>, Show); 8] = [
        ("magic", 0..2, |bytes| preview(bytes)),
        ("version", 2..3, |bytes| number(bytes).to_string()),
        ("alg", 3..4, |bytes| algorithm(number(bytes))),
        ("key", 4..5, |bytes| number(bytes).to_string()),
        ("flags", 5..6, |bytes| number(bytes).to_string()),
        ("format", 6..8, |bytes| number(bytes).to_string()),
        ("counter", 8..16, |bytes| counter(number(bytes))),
        ("time", 16..24, |bytes| time(number(bytes) as i64)),
    ];
    let mut fields: Vec<Field> =
        head.into_iter().filter_map(|(name, range, show)| field(bytes, name, range, show)).collect();
    if tag_start >= 24 {
        fields.extend(field(bytes, "payload", 24..tag_start, preview));
        fields.extend(field(bytes, "tag", tag_start..crc_start, hex));
        fields.extend(field(bytes, "crc", crc_start..bytes.len(), |given| both_checksums(bytes, given)));
    }
    fields
}

type Show = fn(&[u8]) -> String;

fn field(bytes: &[u8], name: &str, range: Range<usize>, show: impl Fn(&[u8]) -> String) -> Option<Field> {
    let value = show(bytes.get(range.clone())?);
    Some(Field { range, name: name.to_string(), value })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn algorithm(number: u64) -> String {
    match number {
        5 => "5 (HMAC-SHA-256)".to_string(),
        4 => "4 (HMAC-SHA-256, truncated to 8 bytes)".to_string(),
        _ => format!("{number} (unknown)"),
    }
}

/// A device without storage counts from its boots.
fn counter(counter: u64) -> String {
    match counter >> 32 {
        0 => counter.to_string(),
        boot => format!("{counter} (boot {boot}, message {})", counter & 0xFFFF_FFFF),
    }
}

fn time(time_ms: i64) -> String {
    match time_ms {
        0 => "0 (no clock)".to_string(),
        1..=crate::TIME_MAX_MS => format!("{time_ms} ({})", utc(time_ms)),
        _ => format!("{time_ms} (outside 1970 to 9999)"),
    }
}

/// A time as RFC 3339 has it, by the algorithm `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date
/// Algorithms".
fn utc(time_ms: i64) -> String {
    let (days, ms) = (time_ms.div_euclid(86_400_000) + 719_468, time_ms.rem_euclid(86_400_000));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000)
}

fn both_checksums(bytes: &[u8], given: &[u8]) -> String {
    let computed = crc::checksum(bytes.get(..bytes.len().saturating_sub(given.len())).unwrap_or_default());
    match number(given) {
        given if given == u64::from(computed) => format!("{given:#010x}, fits"),
        given => format!("{given:#010x} given, computed {computed:#010x}"),
    }
}

/// Text, escaped, or hex; in part if it is long.
fn preview(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) => {
            let shown: String = text.chars().take(PREVIEW_CHARACTERS).map(escaped).collect();
            if text.chars().nth(PREVIEW_CHARACTERS).is_some() { format!("{shown}…") } else { shown }
        }
        Err(_) => hex(bytes),
    }
}

/// Escapes what a terminal would act on; quotes are let be, for JSON is full of them.
fn escaped(character: char) -> String {
    match character {
        '"' | '\'' => character.to_string(),
        _ => character.escape_debug().to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(PREVIEW_CHARACTERS / 2).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > PREVIEW_CHARACTERS / 2 { format!("{shown}…") } else { shown }
}

const PREVIEW_CHARACTERS: usize = 200;

#[cfg(feature = "cose")]
fn cose(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    // The reading stops where the CBOR does.
    let _ = read_cose(bytes, &mut fields);
    fields
}

#[cfg(feature = "cose")]
fn read_cose(bytes: &[u8], fields: &mut Vec<Field>) -> Option<()> {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.tag().ok()?;
    decoder.array().ok()?;
    let start = decoder.position();
    let protected = decoder.bytes().ok()?;
    let end = decoder.position();
    fields.extend(field(bytes, "protected", start..end, |_| format!("{} bytes", protected.len())));
    let _ = read_parameters(protected, end - protected.len(), fields);
    for (name, show) in [("unprotected", diagnostic as Show), ("payload", content), ("tag", diagnostic)] {
        let start = decoder.position();
        crate::cbor::skip(&mut decoder).ok()?;
        fields.extend(field(bytes, name, start..decoder.position(), show));
    }
    Some(())
}

#[cfg(feature = "cose")]
fn read_parameters(protected: &[u8], offset: usize, fields: &mut Vec<Field>) -> Option<()> {
    let mut decoder = minicbor::Decoder::new(protected);
    for _ in 0..decoder.map().ok()?? {
        let start = decoder.position();
        crate::cbor::skip(&mut decoder).ok()?;
        let label = diagnostic(protected.get(start..decoder.position())?);
        let start = decoder.position();
        crate::cbor::skip(&mut decoder).ok()?;
        let value = diagnostic(protected.get(start..decoder.position())?);
        let range = offset + start..offset + decoder.position();
        fields.push(Field { range, name: format!("  {}", name_of(&label)), value });
    }
    Some(())
}

#[cfg(feature = "cose")]
fn name_of(label: &str) -> &str {
    match label {
        "1" => "1 alg",
        "2" => "2 crit",
        "3" => "3 content",
        "4" => "4 kid",
        "6" => "6 Partial IV",
        "15" => "15 claims",
        _ => label,
    }
}

/// CBOR in the notation of RFC 8949 section 8.
#[cfg(feature = "cose")]
fn diagnostic(item: &[u8]) -> String {
    preview(minicbor::display(item).to_string().as_bytes())
}

/// What is in a byte string.
#[cfg(feature = "cose")]
fn content(item: &[u8]) -> String {
    minicbor::Decoder::new(item).bytes().map(preview).unwrap_or_else(|_| diagnostic(item))
}

#[cfg(feature = "jws")]
fn jws(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut start = 0;
    let names: [(&str, Show); 3] = [("header", preview), ("payload", preview), ("tag", hex)];
    for (part, (name, show)) in bytes.split(|byte| *byte == b'.').zip(names) {
        let range = start..start + part.len();
        fields.extend(field(bytes, name, range, |part| decoded(part, show)));
        start += part.len() + 1;
    }
    fields
}

#[cfg(feature = "jws")]
fn decoded(part: &[u8], show: Show) -> String {
    use base64::Engine;
    match base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part) {
        Ok(bytes) => show(&bytes),
        Err(error) => format!("no strict base64url: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_790_000_000_250, "2026-09-21T14:13:20.250Z"),
            (crate::TIME_MAX_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(utc(time_ms), text);
        }
    }

    #[test]
    fn what_is_long_is_shown_in_part() {
        assert_eq!(preview(&[b'a'; 200]).chars().count(), 200);
        assert_eq!(preview(&[b'a'; 201]), format!("{}…", "a".repeat(200)));
        assert_eq!(preview(&[0xFF; 101]), format!("{}…", "ff".repeat(100)));
    }
}
