//! Reads JSON (RFC 8259) for both formats that are written in it.
//!
//! `serde_json` finds the tokens; the visitors here hand them on without a tree between. It rounds every number to the nearest
//! double (its feature `float_roundtrip`): what a device wrote and what is stored are the same number.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::document::{Ignored, Keys, Scalar, Sink, Step};
use super::fault::{At, BadPayload, Fault};
use super::senml::{Field, Label, Pack};

/// Walks one document that is all of `payload`.
pub(super) fn walk<'a, S: Sink<'a>>(payload: &'a [u8], sink: &mut S) -> Result<(), BadPayload> {
    read(payload, |json, fault| Walk { sink, fault }.deserialize(json))
}

/// Reads the SenML pack that is all of `payload`.
pub(super) fn pack<'a>(payload: &'a [u8], pack: &mut Pack<'a>) -> Result<(), BadPayload> {
    read(payload, |json, fault| json.deserialize_seq(Records { pack, fault }))
}

type Json<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

fn read<'a>(
    payload: &'a [u8],
    document: impl FnOnce(&mut Json<'a>, &mut Option<Fault>) -> serde_json::Result<()>,
) -> Result<(), BadPayload> {
    let text =
        std::str::from_utf8(payload).map_err(|error| BadPayload::at(Fault::NotUtf8, At::Byte(error.valid_up_to())))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut fault = None;
    document(&mut json, &mut fault).map_err(|error| bad(fault, &error))?;
    json.end().map_err(|error| bad(Some(Fault::Trailing), &error))
}

/// serde carries no typed error, so ours waits beside it; what is left is serde's own.
fn bad(fault: Option<Fault>, error: &serde_json::Error) -> BadPayload {
    let fault = fault.unwrap_or(match error.classify() {
        Category::Data => Fault::NotAPack,
        Category::Eof => Fault::Truncated,
        Category::Syntax | Category::Io => Fault::NotJson,
    });
    BadPayload::at(fault, At::Text { line: error.line(), column: error.column() })
}

fn refuse<E: de::Error>(slot: &mut Option<Fault>, fault: Fault) -> E {
    *slot = Some(fault);
    E::custom("refused")
}

/// Hands one value, with all that is in it, to a sink.
struct Walk<'s, S> {
    sink: &'s mut S,
    fault: &'s mut Option<Fault>,
}

impl<S> Walk<'_, S> {
    fn scalar<'de, E: de::Error>(self, scalar: Scalar<'de>) -> Result<(), E>
    where
        S: Sink<'de>,
    {
        self.sink.scalar(scalar).map_err(|fault| refuse(self.fault, fault))
    }
}

impl<'de, S: Sink<'de>> DeserializeSeed<'de> for Walk<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Sink<'de>> Visitor<'de> for Walk<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_bool<E: de::Error>(self, boolean: bool) -> Result<(), E> {
        self.scalar(Scalar::Boolean(boolean))
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<(), E> {
        self.scalar(Scalar::Integer(integer.into()))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<(), E> {
        self.scalar(Scalar::Integer(integer.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(number))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<(), E> {
        self.scalar(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(Cow::Owned(text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Self { sink, fault } = self;
        sink.open().map_err(|broken| refuse(fault, broken))?;
        for index in 0.. {
            let element = Element { index, sink: &mut *sink, fault: &mut *fault };
            if array.next_element_seed(element)?.is_none() {
                break;
            }
        }
        sink.close();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { sink, fault } = self;
        let mut keys = Keys::default();
        sink.open().map_err(|broken| refuse(fault, broken))?;
        while let Some(key) = object.next_key_seed(Key)? {
            sink.step(Step::Key(&key)).map_err(|broken| refuse(fault, broken))?;
            keys.push(key);
            object.next_value_seed(Walk { sink: &mut *sink, fault: &mut *fault })?;
        }
        sink.close();
        keys.distinct().map_err(|broken| refuse(fault, broken))
    }
}

/// An element of an array: the step to it is taken once it is known to be there.
struct Element<'s, S> {
    index: usize,
    sink: &'s mut S,
    fault: &'s mut Option<Fault>,
}

impl<'de, S: Sink<'de>> DeserializeSeed<'de> for Element<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { index, sink, fault } = self;
        sink.step(Step::Index(index)).map_err(|broken| refuse(fault, broken))?;
        deserializer.deserialize_any(Walk { sink, fault })
    }
}

/// A key, borrowed from the payload unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.into()))
    }
}

/// The array of a SenML pack.
struct Records<'s, 'a> {
    pack: &'s mut Pack<'a>,
    fault: &'s mut Option<Fault>,
}

impl<'de> Visitor<'de> for Records<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        let Self { pack, fault } = self;
        while records.next_element_seed(Record { pack: &mut *pack, fault: &mut *fault })?.is_some() {}
        Ok(())
    }
}

/// One object of a SenML pack.
struct Record<'s, 'a> {
    pack: &'s mut Pack<'a>,
    fault: &'s mut Option<Fault>,
}

impl<'de> DeserializeSeed<'de> for Record<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { pack, fault } = self;
        pack.begin().map_err(|broken| refuse(fault, broken))?;
        while let Some(key) = fields.next_key_seed(Key)? {
            match Label::of_text(&key) {
                Some(label) => {
                    let sink = &mut Field { pack: &mut *pack, label };
                    fields.next_value_seed(Walk { sink, fault: &mut *fault })?;
                }
                None => {
                    pack.unknown(key).map_err(|broken| refuse(fault, broken))?;
                    fields.next_value_seed(Walk { sink: &mut Ignored::default(), fault: &mut *fault })?;
                }
            }
        }
        pack.end().map_err(|broken| refuse(fault, broken))
    }
}
