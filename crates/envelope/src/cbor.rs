//! The part of CBOR that a COSE header uses, read strictly: RFC 8949 without indefinite lengths.
//!
//! The crate below reads more than we accept: its `skip` lets indefinite lengths pass and labels repeat. What is read here is
//! bounded by the length of the input alone; nothing recurses and nothing is allocated.

use minicbor::Decoder;
use minicbor::data::{Int, Type};

use crate::fault::Fault;

/// A map with more entries is refused, so that the labels that were seen fit into a small array. RFC 9052 names 8 header
/// parameters and RFC 8392 has 7 claims; twice the sum leaves room for private ones.
const ENTRIES_MAX: usize = 32;

/// The label of a COSE header parameter or a CWT claim.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Label<'a> {
    Number(Int),
    Text(&'a str),
}

impl<'a> Label<'a> {
    /// The number, if it is one that could be listed in the specification.
    pub(crate) fn number(self) -> Option<i64> {
        match self {
            Self::Number(number) => i64::try_from(number).ok(),
            Self::Text(_) => None,
        }
    }

    fn read(decoder: &mut Decoder<'a>) -> Result<Self, Fault> {
        if kind(decoder)? == Type::String {
            return decoder.str().map(Self::Text).map_err(|_| BROKEN);
        }
        decoder.int().map(Self::Number).map_err(|_| Fault::malformed("a label is neither an integer nor text"))
    }
}

/// Reads a map and hands each label to `value`, which reads or skips what stands behind it. A label that comes twice is
/// malformed, whether or not anyone knows it.
pub(crate) fn map<'a>(
    decoder: &mut Decoder<'a>,
    mut value: impl FnMut(Label<'a>, &mut Decoder<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut seen = [None; ENTRIES_MAX];
    let count = entries(decoder)?;
    let room = seen.get_mut(..count).ok_or(Fault::malformed("a map has more entries than are looked at"))?;
    for place in 0..count {
        let label = Label::read(decoder)?;
        let (before, here) = room.split_at_mut(place);
        if before.contains(&Some(label)) {
            return Err(Fault::malformed("a label comes twice"));
        }
        here.first_mut().map(|slot| slot.replace(label));
        value(label, decoder)?;
    }
    Ok(())
}

/// The number of entries of the map that begins here.
pub(crate) fn entries(decoder: &mut Decoder<'_>) -> Result<usize, Fault> {
    let count = decoder.map().map_err(|_| Fault::malformed("there is no map where one belongs"))?.ok_or(INDEFINITE)?;
    usize::try_from(count).map_err(|_| BROKEN)
}

/// Passes over one item, with all that is in it.
pub(crate) fn skip(decoder: &mut Decoder<'_>) -> Result<(), Fault> {
    let mut left = 1_u64;
    while left > 0 {
        let inside = skip_head(decoder)?;
        // An item takes a byte at least, so what does not fit into 64 bits ends with the input.
        left = (left - 1).saturating_add(inside);
    }
    Ok(())
}

/// Passes over an item that holds no other, or the head of one that does; gives the number of items in it.
fn skip_head(decoder: &mut Decoder<'_>) -> Result<u64, Fault> {
    let plain = match kind(decoder)? {
        Type::Array => return decoder.array().map_err(|_| BROKEN)?.ok_or(INDEFINITE),
        Type::Map => return Ok(decoder.map().map_err(|_| BROKEN)?.ok_or(INDEFINITE)?.saturating_mul(2)),
        Type::Tag => return decoder.tag().map(|_| 1).map_err(|_| BROKEN),
        Type::Bytes => decoder.bytes().map(drop),
        Type::String => decoder.str().map(drop),
        Type::F16 | Type::F32 | Type::F64 => decoder.f64().map(drop),
        Type::Bool => decoder.bool().map(drop),
        Type::Null => decoder.null(),
        Type::Undefined => decoder.undefined(),
        Type::Simple => return skip_simple(decoder),
        Type::BytesIndef | Type::StringIndef | Type::ArrayIndef | Type::MapIndef | Type::Break => {
            return Err(INDEFINITE);
        }
        Type::Unknown(_) => return Err(BROKEN),
        _ => decoder.int().map(drop),
    };
    plain.map(|()| 0).map_err(|_| BROKEN)
}

/// A simple value below 32 is not well-formed in two bytes [RFC 8949 section 3.3].
fn skip_simple(decoder: &mut Decoder<'_>) -> Result<u64, Fault> {
    let start = decoder.position();
    let value = decoder.simple().map_err(|_| BROKEN)?;
    if decoder.position() - start == 2 && value < 32 {
        return Err(BROKEN);
    }
    Ok(0)
}

/// The type of the item that begins here.
pub(crate) fn kind(decoder: &Decoder<'_>) -> Result<Type, Fault> {
    decoder.datatype().map_err(|_| BROKEN)
}

pub(crate) const BROKEN: Fault = Fault::malformed("this is not well-formed CBOR");
pub(crate) const INDEFINITE: Fault = Fault::malformed("a length is indefinite");

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn skips(hexadecimal: &str) -> bool {
        let bytes = hex::decode(hexadecimal).unwrap();
        let mut decoder = Decoder::new(&bytes);
        skip(&mut decoder).is_ok() && decoder.position() == bytes.len()
    }

    #[test]
    fn what_is_well_formed_and_definite_is_passed_over() {
        // [RFC 8949 appendix A]
        for item in
            ["00", "1818", "1bffffffffffffffff", "3bffffffffffffffff", "f93c00", "fa47c35000", "fb7ff0000000000000"]
        {
            assert!(skips(item), "{item}");
        }
        for item in
            ["f4", "f6", "f7", "f0", "f8ff", "c074323031332d30332d32315432303a30343a30305a", "4401020304", "6449455446"]
        {
            assert!(skips(item), "{item}");
        }
        for item in ["80", "8301820203820405", "a26161016162820203", "d818456449455446", "a0", "c1c1c101"] {
            assert!(skips(item), "{item}");
        }
    }

    #[test]
    fn what_is_not_is_refused() {
        for item in
            ["", "18", "1c", "5f", "5f42010243030405ff", "7f61ff", "9f01ff", "bfff", "ff", "8101ff", "829f01ff01"]
        {
            assert!(!skips(item), "{item}");
        }
        for item in [
            "f800",
            "f81f",
            "61ff",
            "4201",
            "9bffffffffffffffff00",
            "bbffffffffffffffff00",
            "c1",
            "fc",
            "5bffffffffffffffff",
        ] {
            assert!(!skips(item), "{item}");
        }
    }

    fn labels(hexadecimal: &str) -> Option<Vec<Option<i64>>> {
        let bytes = hex::decode(hexadecimal).unwrap();
        let mut seen = Vec::new();
        let read = map(&mut Decoder::new(&bytes), |label, decoder| {
            seen.push(label.number());
            skip(decoder)
        });
        read.ok().map(|()| seen)
    }

    #[test]
    fn a_label_that_comes_twice_is_refused_however_it_is_written() {
        assert_eq!(labels("a2010002a10100"), Some(Vec::from([Some(1), Some(2)])));
        assert_eq!(labels("a20100180100"), None);
        assert_eq!(labels("a261610061620061610000"), Some(Vec::from([None, None])));
        assert_eq!(labels("a261610078016100"), None);
        assert_eq!(labels("a2390000002000"), None);
    }

    #[test]
    fn a_label_is_an_integer_or_text() {
        assert_eq!(labels("a1410100"), None);
        assert_eq!(labels("a1f93c0000"), None);
    }

    #[test]
    fn a_map_has_a_bounded_number_of_entries() {
        let of = |count: u8| (0..count).fold(std::format!("b8{count:02x}"), |map, n| std::format!("{map}18{n:02x}00"));
        assert!(labels(&of(32)).is_some());
        assert!(labels(&of(33)).is_none());
    }
}
