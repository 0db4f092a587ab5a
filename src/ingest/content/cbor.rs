//! Reads CBOR (RFC 8949) for both formats that are written in it.
//!
//! Definite and indefinite lengths are both read, and nothing is set aside for a length that is only claimed.
//!
//! A tag on a scalar is passed over: a date stays the text that it is. A tag that makes another number of what it marks is not:
//! decimal fractions (4, which RFC 8428 section 6 wants) are computed, bignums (2, 3) are refused, and so is any other tag on an
//! array or a map, because readings would be made of the parts of one number (5 is such a tag). The tag of self-described CBOR may
//! open the document.

use std::borrow::Cow;

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

use super::document::{Ignored, Keys, Scalar, Sink, Step};
use super::fault::{At, BadPayload, Fault};
use super::senml::{Field, Label, Pack};

/// RFC 8949 section 3.4.3
const BIGNUMS: [Tag; 2] = [Tag::new(2), Tag::new(3)];
/// RFC 8949 section 3.4.4
const DECIMAL_FRACTION: Tag = Tag::new(4);
/// RFC 8949 section 3.4.6
const SELF_DESCRIBED: Tag = Tag::new(55799);

/// Walks one document that is all of `payload`.
pub(super) fn walk<'a, S: Sink<'a>>(payload: &'a [u8], sink: &mut S) -> Result<(), BadPayload> {
    read(payload, |cbor| item(cbor, sink))
}

/// Reads the SenML pack that is all of `payload`.
pub(super) fn pack<'a>(payload: &'a [u8], pack: &mut Pack<'a>) -> Result<(), BadPayload> {
    read(payload, |cbor| records(cbor, pack))
}

fn read<'a>(payload: &'a [u8], document: impl FnOnce(&mut Decoder<'a>) -> Result<(), Fault>) -> Result<(), BadPayload> {
    let mut cbor = Decoder::new(payload);
    skip_self_description(&mut cbor)
        .and_then(|()| document(&mut cbor))
        .and_then(|()| if cbor.position() == payload.len() { Ok(()) } else { Err(Fault::Trailing) })
        .map_err(|fault| BadPayload::at(fault, At::Byte(cbor.position())))
}

fn skip_self_description(cbor: &mut Decoder<'_>) -> Result<(), Fault> {
    let mut ahead = cbor.clone();
    if cbor.datatype()? == Type::Tag && ahead.tag()? == SELF_DESCRIBED {
        *cbor = ahead;
    }
    Ok(())
}

impl From<minicbor::decode::Error> for Fault {
    fn from(error: minicbor::decode::Error) -> Self {
        if error.is_end_of_input() { Self::Truncated } else { Self::NotCbor }
    }
}

/// One data item, with all that is in it.
fn item<'a, S: Sink<'a>>(cbor: &mut Decoder<'a>, sink: &mut S) -> Result<(), Fault> {
    match cbor.datatype()? {
        Type::Array | Type::ArrayIndef => array(cbor, sink),
        Type::Map | Type::MapIndef => map(cbor, sink),
        _ => sink.scalar(scalar(cbor)?),
    }
}

fn array<'a, S: Sink<'a>>(cbor: &mut Decoder<'a>, sink: &mut S) -> Result<(), Fault> {
    sink.open()?;
    let mut length = Length(cbor.array()?);
    let mut index = 0;
    while length.more(cbor)? {
        sink.step(Step::Index(index))?;
        item(cbor, sink)?;
        index += 1;
    }
    sink.close();
    Ok(())
}

fn map<'a, S: Sink<'a>>(cbor: &mut Decoder<'a>, sink: &mut S) -> Result<(), Fault> {
    sink.open()?;
    let mut keys = Keys::default();
    let mut length = Length(cbor.map()?);
    while length.more(cbor)? {
        let key = key(cbor)?.into_text();
        sink.step(Step::Key(&key))?;
        keys.push(key);
        item(cbor, sink)?;
    }
    sink.close();
    keys.distinct()
}

/// How much of an array or a map is to come; `None` until the break.
struct Length(Option<u64>);

impl Length {
    fn more(&mut self, cbor: &mut Decoder<'_>) -> Result<bool, Fault> {
        match &mut self.0 {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if cbor.datatype()? == Type::Break => {
                cbor.set_position(cbor.position() + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

/// The key of a map.
enum Key<'a> {
    Text(Cow<'a, str>),
    Integer(i128),
}

impl<'a> Key<'a> {
    /// `{1: 21.5}` and `{"1": 21.5}` name the same path, so a map with both repeats a key.
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Integer(integer) => Cow::Owned(integer.to_string()),
        }
    }
}

fn key<'a>(cbor: &mut Decoder<'a>) -> Result<Key<'a>, Fault> {
    if is_container(cbor.datatype()?) {
        return Err(Fault::OddKey);
    }
    match scalar(cbor)? {
        Scalar::Text(text) => Ok(Key::Text(text)),
        Scalar::Integer(integer) => Ok(Key::Integer(integer)),
        _ => Err(Fault::OddKey),
    }
}

fn is_container(kind: Type) -> bool {
    matches!(kind, Type::Array | Type::ArrayIndef | Type::Map | Type::MapIndef)
}

fn scalar<'a>(cbor: &mut Decoder<'a>) -> Result<Scalar<'a>, Fault> {
    while cbor.datatype()? == Type::Tag {
        match cbor.tag()? {
            DECIMAL_FRACTION => return decimal_fraction(cbor),
            tag if BIGNUMS.contains(&tag) || is_container(cbor.datatype()?) => {
                return Err(Fault::UnknownTag(tag.as_u64()));
            }
            _ => {}
        }
    }
    untagged(cbor)
}

fn untagged<'a>(cbor: &mut Decoder<'a>) -> Result<Scalar<'a>, Fault> {
    Ok(match cbor.datatype()? {
        Type::Bool => Scalar::Boolean(cbor.bool()?),
        Type::Null => cbor.null().map(|()| Scalar::Null)?,
        Type::Undefined => cbor.undefined().map(|()| Scalar::Null)?,
        Type::F16 => Scalar::Float(cbor.f16()?.into()),
        Type::F32 => Scalar::Float(cbor.f32()?.into()),
        Type::F64 => Scalar::Float(cbor.f64()?),
        Type::String | Type::StringIndef => Scalar::Text(text(cbor)?),
        Type::Bytes | Type::BytesIndef => Scalar::Bytes(bytes(cbor)?),
        Type::Simple => return Err(Fault::UnknownSimple),
        // What is no integer either fails here.
        _ => Scalar::Integer(cbor.int()?.into()),
    })
}

/// `[exponent, mantissa]`, to the nearest double.
fn decimal_fraction<'a>(cbor: &mut Decoder<'a>) -> Result<Scalar<'a>, Fault> {
    let (Type::Array | Type::ArrayIndef) = cbor.datatype()? else { return Err(Fault::BadDecimal) };
    let mut length = Length(cbor.array()?);
    let exponent = part(cbor, &mut length)?;
    let mantissa = part(cbor, &mut length)?;
    if length.more(cbor)? {
        return Err(Fault::BadDecimal);
    }
    // The standard library's parser rounds to nearest and does not work through an exponent step by step.
    let number = format!("{mantissa}e{exponent}").parse();
    Ok(Scalar::Float(number.expect("an integer, `e` and an integer are a number")))
}

/// Integers as they are: a tag would be another fraction, and those could nest without end.
fn part(cbor: &mut Decoder<'_>, length: &mut Length) -> Result<i128, Fault> {
    if !length.more(cbor)? {
        return Err(Fault::BadDecimal);
    }
    match cbor.int() {
        Ok(integer) => Ok(integer.into()),
        Err(error) if error.is_end_of_input() => Err(Fault::Truncated),
        Err(_) => Err(Fault::BadDecimal),
    }
}

fn text<'a>(cbor: &mut Decoder<'a>) -> Result<Cow<'a, str>, Fault> {
    if cbor.datatype()? == Type::String {
        return Ok(Cow::Borrowed(cbor.str()?));
    }
    Ok(Cow::Owned(cbor.str_iter()?.collect::<Result<String, _>>()?))
}

fn bytes<'a>(cbor: &mut Decoder<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    if cbor.datatype()? == Type::Bytes {
        return Ok(Cow::Borrowed(cbor.bytes()?));
    }
    let mut whole = Vec::new();
    for chunk in cbor.bytes_iter()? {
        whole.extend_from_slice(chunk?);
    }
    Ok(Cow::Owned(whole))
}

fn records<'a>(cbor: &mut Decoder<'a>, pack: &mut Pack<'a>) -> Result<(), Fault> {
    let (Type::Array | Type::ArrayIndef) = cbor.datatype()? else { return Err(Fault::NotAPack) };
    let mut length = Length(cbor.array()?);
    while length.more(cbor)? {
        let (Type::Map | Type::MapIndef) = cbor.datatype()? else { return Err(Fault::NotAPack) };
        record(cbor, pack)?;
    }
    Ok(())
}

fn record<'a>(cbor: &mut Decoder<'a>, pack: &mut Pack<'a>) -> Result<(), Fault> {
    pack.begin()?;
    let mut length = Length(cbor.map()?);
    while length.more(cbor)? {
        field(cbor, pack)?;
    }
    pack.end()
}

fn field<'a>(cbor: &mut Decoder<'a>, pack: &mut Pack<'a>) -> Result<(), Fault> {
    let key = key(cbor)?;
    let label = match &key {
        Key::Text(text) => Label::of_text(text),
        Key::Integer(integer) => Label::of_number(*integer),
    };
    match label {
        Some(label) => item(cbor, &mut Field { pack, label }),
        None => {
            pack.unknown(key.into_text())?;
            item(cbor, &mut Ignored::default())
        }
    }
}
