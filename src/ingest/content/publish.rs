//! Writes readings as resolved SenML+JSON (RFC 8428 section 4.6), for subscribers.
//!
//! The database is the truth; this is what it looks like from outside. Three things have no exact form in SenML, and this is what
//! becomes of them: records are put in the order of time; a time before 1978-07-04T21:24:16Z, which would be read as relative, is
//! left out, which SenML reads as "roughly now"; and a name of plain JSON or CBOR that SenML does not allow has each byte outside
//! its alphabet written as `:` and two hexadecimal digits, after a `0` if it does not start with a letter or a digit.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;

use super::senml::{ABSOLUTE_SECS_MIN, is_name, is_name_byte};
use crate::store::{Reading, Value};

/// One SenML pack with all of `readings`, which are as [`decode`](super::decode) gives them: their numbers are finite.
pub fn to_senml_json(readings: &[Reading]) -> Vec<u8> {
    let mut records: Vec<Record<'_>> = readings.iter().map(Record::of).collect();
    // RFC 8428 section 4.6: "the records need to be in chronological order in the Pack"
    records.sort_by_key(|record| record.time_ms);
    serde_json::to_vec(&records).expect("strings, booleans and numbers can be written as JSON")
}

#[derive(Serialize)]
struct Record<'a> {
    n: Cow<'a, str>,
    #[serde(skip)]
    time_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    u: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vs: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vb: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vd: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<f64>,
}

impl<'a> Record<'a> {
    fn of(reading: &'a Reading) -> Self {
        let &Reading { ref name, ref unit, time_ms, ref value, sum } = reading;
        let empty = Self {
            n: senml_name(name),
            time_ms,
            t: absolute_secs(time_ms),
            u: unit.as_deref(),
            v: None,
            vs: None,
            vb: None,
            vd: None,
            s: sum,
        };
        match value {
            None => empty,
            Some(Value::Number(number)) => Self { v: Some(*number), ..empty },
            Some(Value::String(text)) => Self { vs: Some(text), ..empty },
            Some(Value::Boolean(boolean)) => Self { vb: Some(*boolean), ..empty },
            Some(Value::Data(data)) => Self { vd: Some(data), ..empty },
        }
    }
}

fn absolute_secs(time_ms: i64) -> Option<f64> {
    Some(time_ms as f64 / 1000.0).filter(|seconds| *seconds >= ABSOLUTE_SECS_MIN)
}

fn senml_name(name: &str) -> Cow<'_, str> {
    if is_name(name) {
        return Cow::Borrowed(name);
    }
    let mut allowed =
        String::from(if name.starts_with(|first: char| first.is_ascii_alphanumeric()) { "" } else { "0" });
    for byte in name.bytes() {
        match is_name_byte(byte) {
            true => allowed.push(byte.into()),
            false => write!(allowed, ":{byte:02X}").expect("a string takes what is written"),
        }
    }
    Cow::Owned(allowed)
}
