//! What may be wrong with a payload, in words that an operator can act on.
//!
//! The sentence goes into the quarantine and, after the seal was verified, to the device as well. It names the rule and the place,
//! and never repeats what stood there: a log holds no payload.

use std::fmt;

use thiserror::Error;

use super::document::NESTING_MAX;
use super::senml::{Label, RECORDS_MAX, VERSION};
use super::{NAME_BYTES_MAX, READINGS_MAX, UNIT_BYTES_MAX};

/// A payload that does not say what its content format promises.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}{place}")]
pub struct BadPayload {
    /// The rule that is broken.
    pub fault: Fault,
    /// Where it is broken.
    pub place: Place,
}

impl BadPayload {
    pub(super) fn of(fault: Fault) -> Self {
        Self { fault, place: Place::default() }
    }

    pub(super) fn at(fault: Fault, at: At) -> Self {
        Self { fault, place: Place { record: None, at: Some(at) } }
    }

    pub(super) fn in_record(mut self, number: usize) -> Self {
        self.place.record = Some(number);
        self
    }
}

/// A place in a payload, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The record of a SenML pack, counted from 1.
    pub record: Option<usize>,
    /// How far the reader had come.
    pub at: Option<At>,
}

/// How far a reader had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// This many bytes were read.
    Byte(usize),
    /// A place in a text.
    Text {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.record, self.at) {
            (None, None) => Ok(()),
            (Some(record), None) => write!(f, " (record {record})"),
            (None, Some(at)) => write!(f, " ({at})"),
            (Some(record), Some(at)) => write!(f, " (record {record}, {at})"),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(byte) => write!(f, "byte {byte}"),
            Self::Text { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}

/// A rule that a payload breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// The envelope's media type has no number among the content formats.
    #[error("the media type is not one that is read here")]
    NoFormat,
    /// The content format is none of those that the envelope's specification lists.
    #[error("content format {0} is not one that is read here")]
    UnknownFormat(u16),
    /// There is nothing to read.
    #[error("the payload is empty")]
    Empty,
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// The text is not JSON, or a number in it is beyond a double.
    #[error("the text is not JSON, or a number in it is out of range")]
    NotJson,
    /// The bytes are not well-formed CBOR.
    #[error("the bytes are not well-formed CBOR")]
    NotCbor,
    /// The document goes on after the payload's last byte.
    #[error("the payload ends before the document does")]
    Truncated,
    /// The payload goes on after the document.
    #[error("the payload goes on after the end of the document")]
    Trailing,
    /// Arrays and objects are nested too deep.
    #[error("arrays and objects are nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// Two parsers would read an object with a repeated key differently.
    #[error("an object has the same key twice")]
    RepeatedKey,
    /// A map's key can be no part of a path.
    #[error("a map has a key that is neither text nor an integer")]
    OddKey,
    /// A string holds a NUL, which not every database can keep.
    #[error("a string holds a NUL character")]
    Nul,
    /// A number is infinite or not a number, as sent or after its base value was added.
    #[error("a number is not finite")]
    NotFinite,
    /// A CBOR tag gives what it marks another meaning.
    #[error("CBOR tag {0} changes the meaning of what it marks and is not read here")]
    UnknownTag(u64),
    /// RFC 8949 section 3.4.4; a mantissa that is a bignum is not read here.
    #[error("a decimal fraction (CBOR tag 4) is not an array of two integers")]
    BadDecimal,
    /// A CBOR simple value without a meaning.
    #[error("a CBOR simple value is none of false, true, null and undefined")]
    UnknownSimple,
    /// More readings than one envelope may carry.
    #[error("there are more than {READINGS_MAX} readings")]
    TooManyReadings,
    /// The name of a reading is empty.
    #[error("a reading has no name")]
    NoName,
    /// The name of a reading is too long.
    #[error("the name of a reading has more than {NAME_BYTES_MAX} bytes")]
    LongName,
    /// The unit of a reading is too long.
    #[error("a unit has more than {UNIT_BYTES_MAX} bytes")]
    LongUnit,
    /// RFC 8428 section 4.5.1.
    #[error("a name has a character other than A-Z a-z 0-9 - : . / _, or starts with one of the latter five")]
    BadName,
    /// RFC 8428 section 5.
    #[error("SenML is an array of objects, and this is not")]
    NotAPack,
    /// RFC 8428 section 3: one or more records.
    #[error("the SenML pack has no record")]
    EmptyPack,
    /// More records than one envelope may carry.
    #[error("there are more than {RECORDS_MAX} records")]
    TooManyRecords,
    /// RFC 8428 section 4.3, table 1.
    #[error("`{0}` has a value of another type than SenML gives it")]
    WrongType(Label),
    /// RFC 8428 section 4.3: base64 with the URL-safe alphabet, without padding.
    #[error("`vd` is not base64url without padding")]
    BadData,
    /// RFC 8428 section 4.4.
    #[error("a label that ends in `_` must be understood, and is not")]
    MustUnderstand,
    /// RFC 8428 section 4.4.
    #[error("the SenML version is not one from 1 to {VERSION}")]
    UnknownVersion,
    /// RFC 8428 section 4.4.
    #[error("the records of the pack differ in their SenML version")]
    MixedVersions,
    /// RFC 8428 section 4.2.
    #[error("the record has neither a value nor a sum")]
    NoValue,
    /// RFC 8428 section 4.2.
    #[error("the record has more than one value")]
    TwoValues,
    /// The time of a reading, resolved, is one that the envelope could not have either.
    #[error("the time of the record is not within the years 1970 to 9999")]
    BadTime,
}
