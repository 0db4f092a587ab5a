//! The readings of a message in one column, as CBOR (RFC 8949).
//!
//! They are kept beside the envelope although it has them: to open it again asks for a key and for a clock, and what was acknowledged is
//! not judged a second time.
//!
//! A message is an array of readings; a reading is the array of its name, unit, time, value and sum. A value is null, a number, text, a
//! boolean, or an array of one text, which is data.

use crate::store::{Reading, Value};
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;
use std::convert::Infallible;

/// Readings as bytes.
pub(super) fn encode(readings: &[Reading]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    let encoded = encode_all(&mut encoder, readings);
    encoded.expect("writing to a vector does not fail");
    encoder.into_writer()
}

/// Readings of bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Reading>, Error> {
    let mut decoder = Decoder::new(bytes);
    let count = array(&mut decoder)?;
    (0..count).map(|_| reading(&mut decoder)).collect()
}

type Encoded = Result<(), minicbor::encode::Error<Infallible>>;

fn encode_all(encoder: &mut Encoder<Vec<u8>>, readings: &[Reading]) -> Encoded {
    encoder.array(readings.len() as u64)?;
    readings.iter().try_for_each(|reading| encode_one(encoder, reading))
}

fn encode_one(encoder: &mut Encoder<Vec<u8>>, reading: &Reading) -> Encoded {
    encoder.array(FIELDS)?.str(&reading.name)?;
    match &reading.unit {
        Some(unit) => encoder.str(unit)?,
        None => encoder.null()?,
    };
    encoder.i64(reading.time_ms)?;
    match &reading.value {
        Some(Value::Number(number)) => encoder.f64(*number)?,
        Some(Value::String(text)) => encoder.str(text)?,
        Some(Value::Boolean(truth)) => encoder.bool(*truth)?,
        Some(Value::Data(text)) => encoder.array(1)?.str(text)?,
        None => encoder.null()?,
    };
    match reading.sum {
        Some(sum) => encoder.f64(sum)?,
        None => encoder.null()?,
    };
    Ok(())
}

fn reading(decoder: &mut Decoder<'_>) -> Result<Reading, Error> {
    if array(decoder)? != FIELDS {
        return Err(Error::message("a reading has five fields"));
    }
    Ok(Reading {
        name: decoder.str()?.to_owned(),
        unit: or_null(decoder, |decoder| Ok(decoder.str()?.to_owned()))?,
        time_ms: decoder.i64()?,
        value: or_null(decoder, value)?,
        sum: or_null(decoder, |decoder| decoder.f64())?,
    })
}

fn value(decoder: &mut Decoder<'_>) -> Result<Value, Error> {
    Ok(match decoder.datatype()? {
        Type::F64 => Value::Number(decoder.f64()?),
        Type::String => Value::String(decoder.str()?.to_owned()),
        Type::Bool => Value::Boolean(decoder.bool()?),
        _ => {
            array(decoder)?;
            Value::Data(decoder.str()?.to_owned())
        }
    })
}

fn or_null<'b, T>(
    decoder: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if decoder.datatype()? == Type::Null {
        return decoder.null().map(|()| None);
    }
    read(decoder).map(Some)
}

fn array(decoder: &mut Decoder<'_>) -> Result<u64, Error> {
    decoder.array()?.ok_or_else(|| Error::message("no length"))
}

const FIELDS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            proptest::num::f64::NORMAL.prop_map(Value::Number),
            any::<String>().prop_map(Value::String),
            any::<bool>().prop_map(Value::Boolean),
            any::<String>().prop_map(Value::Data),
        ]
    }

    fn any_reading() -> impl Strategy<Value = Reading> {
        let (unit, value, sum) = (any::<Option<String>>(), proptest::option::of(any_value()), any::<Option<i32>>());
        (any::<String>(), unit, any::<i64>(), value, sum).prop_map(|(name, unit, time_ms, value, sum)| Reading {
            name,
            unit,
            time_ms,
            value,
            sum: sum.map(|sum| f64::from(sum) / 3.0),
        })
    }

    proptest! {
        #[test]
        fn readings_come_back_as_they_went_in(readings in prop::collection::vec(any_reading(), 0..5)) {
            prop_assert_eq!(decode(&encode(&readings)).unwrap(), readings);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
