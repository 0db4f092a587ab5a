//! Documents as devices send them, and what they may not be.

mod limits;
mod plain;
mod properties;
mod publishing;
mod refusals;
mod rfc8428;

use super::*;
use crate::store::Value;

/// 2026-09-21T13:33:20.250Z.
const NOW_MS: i64 = 1_790_000_000_250;

fn senml(json: &str) -> Result<Vec<Reading>, BadPayload> {
    decode(Some(SENML_JSON), json.as_bytes(), NOW_MS)
}

fn senml_cbor(hex: &str) -> Result<Vec<Reading>, BadPayload> {
    decode(Some(SENML_CBOR), &bytes(hex), NOW_MS)
}

fn plain(json: &str) -> Result<Vec<Reading>, BadPayload> {
    decode(Some(JSON), json.as_bytes(), NOW_MS)
}

fn plain_cbor(hex: &str) -> Result<Vec<Reading>, BadPayload> {
    decode(Some(CBOR), &bytes(hex), NOW_MS)
}

fn fault(result: Result<Vec<Reading>, BadPayload>) -> Fault {
    result.expect_err("the payload is bad").fault
}

/// Hexadecimal digits, with spaces where they help the eye.
fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).expect("the test writes hexadecimal digits")
}

fn reading(name: &str, unit: &str, time_ms: i64, value: Value) -> Reading {
    let unit = Some(unit).filter(|unit| !unit.is_empty()).map(str::to_owned);
    Reading { name: name.into(), unit, time_ms, value: Some(value), sum: None }
}

fn number(name: &str, unit: &str, time_ms: i64, value: f64) -> Reading {
    reading(name, unit, time_ms, Value::Number(value))
}
