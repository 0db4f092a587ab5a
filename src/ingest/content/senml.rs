//! SenML (RFC 8428): records with labels, resolved into readings.
//!
//! A reader of JSON or CBOR calls [`Pack::begin`], hands each field over and calls [`Pack::end`], for each record. Base fields
//! hold from their record on, wherever in it they stand. Two things the RFC leaves to its reader are settled so: a record of base
//! fields alone is no reading (the first example of section 5.1.7 has one), and a record that has a sum but no value has no value,
//! whatever the base value. The update time is checked and not kept.

mod label;

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::document::{Keys, Scalar, Sink, Step, double, finite, without_nul};
use super::fault::{BadPayload, Fault};
use super::{NAME_BYTES_MAX, UNIT_BYTES_MAX};
use crate::store::{Reading, Value};

pub use label::Label;
use label::Labels;

/// How many records a pack may have.
pub(super) const RECORDS_MAX: usize = 1_000;

/// The version that RFC 8428 defines, and the one that holds where none is given.
pub(super) const VERSION: i128 = 10;

/// Times from here on are absolute, times below are relative to now (RFC 8428 section 4.5.3).
pub(super) const ABSOLUTE_SECS_MIN: f64 = (1_u64 << 28) as f64;

/// 9999-12-31T23:59:59.999Z, the last that an envelope can name.
const TIME_MS_MAX: f64 = 253_402_300_799_999.0;

/// How a reader's format writes the data value `vd`.
pub(super) enum DataAs {
    /// A string of base64url (JSON).
    Base64Url,
    /// A byte string (CBOR).
    Bytes,
}

/// A pack that is being read.
pub(super) struct Pack<'a> {
    data_as: DataAs,
    now_ms: i64,
    base: Base<'a>,
    version: Option<i128>,
    record: Record<'a>,
    records: usize,
    /// Between `begin` and `end`.
    in_record: bool,
    readings: Vec<Reading>,
}

impl<'a> Pack<'a> {
    /// `now_ms` is what relative times are relative to.
    pub(super) fn new(data_as: DataAs, now_ms: i64) -> Self {
        let (base, record) = (Base::default(), Record::default());
        Self { data_as, now_ms, base, version: None, record, records: 0, in_record: false, readings: Vec::new() }
    }

    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        self.records += 1;
        self.in_record = true;
        self.record = Record::default();
        if self.records > RECORDS_MAX { Err(Fault::TooManyRecords) } else { Ok(()) }
    }

    fn field(&mut self, label: Label, value: Scalar<'a>) -> Result<(), Fault> {
        self.record.labels.insert(label)?;
        match label {
            Label::BaseVersion => self.set_version(version(value)?)?,
            Label::BaseName => self.base.name = text(label, value)?,
            Label::BaseTime => self.base.time = number(label, value)?,
            Label::BaseUnit => self.base.unit = Some(unit(label, value)?),
            Label::BaseValue => self.base.value = number(label, value)?,
            Label::BaseSum => self.base.sum = Some(number(label, value)?),
            Label::Name => self.record.name = text(label, value)?,
            Label::Unit => self.record.unit = Some(unit(label, value)?),
            Label::Value => self.record.number = Some(number(label, value)?),
            Label::StringValue => self.record.other = Some(Value::String(text(label, value)?.into_owned())),
            Label::BooleanValue => self.record.other = Some(Value::Boolean(boolean(label, value)?)),
            Label::DataValue => self.record.other = Some(Value::Data(self.data(value)?)),
            Label::Sum => self.record.sum = Some(number(label, value)?),
            Label::Time => self.record.time = number(label, value)?,
            Label::UpdateTime => drop(number(label, value)?),
        }
        Ok(())
    }

    // RFC 8428 section 4.4: "MUST ignore fields they don't recognize", but for those that end in `_`
    pub(super) fn unknown(&mut self, label: Cow<'a, str>) -> Result<(), Fault> {
        if label.ends_with('_') {
            return Err(Fault::MustUnderstand);
        }
        self.record.unknown.push(label);
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), Fault> {
        let mut record = std::mem::take(&mut self.record);
        record.unknown.distinct()?;
        // RFC 8428 section 4.4: "All SenML Records in a Pack MUST have the same version number"; the first sets it.
        self.version.get_or_insert(VERSION);
        let values = record.labels.count_of(Label::VALUES);
        match (values, record.sum) {
            (0, None) if record.labels.are_base() => {}
            (0, None) => return Err(Fault::NoValue),
            (0 | 1, _) => {
                let reading = self.resolve(record)?;
                self.readings.push(reading);
            }
            (2.., _) => return Err(Fault::TwoValues),
        }
        self.in_record = false;
        Ok(())
    }

    fn resolve(&self, record: Record<'_>) -> Result<Reading, Fault> {
        let name = name(&self.base.name, &record.name)?;
        let unit = record.unit.as_deref().or(self.base.unit.as_deref()).map(str::to_owned);
        let time_ms = time_ms(self.base.time + record.time, self.now_ms)?;
        let value = self.base.value(record.number)?.or(record.other);
        let sum = self.base.sum(record.sum)?;
        Ok(Reading { name, unit, time_ms, value, sum })
    }

    /// The readings, in the order of their records.
    pub(super) fn finish(self) -> Result<Vec<Reading>, BadPayload> {
        if self.records == 0 { Err(BadPayload::of(Fault::EmptyPack)) } else { Ok(self.readings) }
    }

    /// Names the record in which reading came to an end, if it was in one.
    pub(super) fn blame(&self, bad: BadPayload) -> BadPayload {
        if self.in_record { bad.in_record(self.records) } else { bad }
    }

    fn set_version(&mut self, version: i128) -> Result<(), Fault> {
        if *self.version.get_or_insert(version) == version { Ok(()) } else { Err(Fault::MixedVersions) }
    }

    fn data(&self, value: Scalar<'_>) -> Result<String, Fault> {
        match (&self.data_as, value) {
            (DataAs::Bytes, Scalar::Bytes(bytes)) => Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes)),
            (DataAs::Base64Url, Scalar::Text(text)) => match BASE64_URL_SAFE_NO_PAD.decode(text.as_bytes()) {
                Ok(_) => Ok(text.into_owned()),
                Err(_) => Err(Fault::BadData),
            },
            _ => Err(Fault::WrongType(Label::DataValue)),
        }
    }
}

/// Hands the value of one field to its pack. None of the fields that are known here holds an array or an object.
pub(super) struct Field<'p, 'a> {
    pub(super) pack: &'p mut Pack<'a>,
    pub(super) label: Label,
}

impl<'a> Sink<'a> for Field<'_, 'a> {
    fn open(&mut self) -> Result<(), Fault> {
        Err(Fault::WrongType(self.label))
    }

    fn step(&mut self, _: Step<'_>) -> Result<(), Fault> {
        Err(Fault::WrongType(self.label))
    }

    fn close(&mut self) {}

    fn scalar(&mut self, scalar: Scalar<'a>) -> Result<(), Fault> {
        self.pack.field(self.label, scalar)
    }
}

/// What holds for the records to come.
#[derive(Default)]
struct Base<'a> {
    name: Cow<'a, str>,
    time: f64,
    unit: Option<Cow<'a, str>>,
    value: f64,
    sum: Option<f64>,
}

impl Base<'_> {
    fn value(&self, number: Option<f64>) -> Result<Option<Value>, Fault> {
        number.map(|number| finite(self.value + number).map(Value::Number)).transpose()
    }

    // RFC 8428 section 4.5.4: "If neither the Base Sum nor the Sum is present, then the measurement does not have a Sum value."
    fn sum(&self, sum: Option<f64>) -> Result<Option<f64>, Fault> {
        match (self.sum, sum) {
            (None, None) => Ok(None),
            (base, sum) => finite(base.unwrap_or(0.0) + sum.unwrap_or(0.0)).map(Some),
        }
    }
}

/// What holds for one record.
#[derive(Default)]
struct Record<'a> {
    labels: Labels,
    unknown: Keys<'a>,
    name: Cow<'a, str>,
    unit: Option<Cow<'a, str>>,
    number: Option<f64>,
    /// A value of another type, to which no base value is added.
    other: Option<Value>,
    sum: Option<f64>,
    time: f64,
}

fn text<'a>(label: Label, value: Scalar<'a>) -> Result<Cow<'a, str>, Fault> {
    let Scalar::Text(text) = value else { return Err(Fault::WrongType(label)) };
    without_nul(&text)?;
    Ok(text)
}

fn unit<'a>(label: Label, value: Scalar<'a>) -> Result<Cow<'a, str>, Fault> {
    let unit = text(label, value)?;
    if unit.len() > UNIT_BYTES_MAX { Err(Fault::LongUnit) } else { Ok(unit) }
}

fn number(label: Label, value: Scalar<'_>) -> Result<f64, Fault> {
    match value {
        Scalar::Integer(integer) => Ok(double(integer)),
        Scalar::Float(number) => finite(number),
        _ => Err(Fault::WrongType(label)),
    }
}

fn boolean(label: Label, value: Scalar<'_>) -> Result<bool, Fault> {
    if let Scalar::Boolean(boolean) = value { Ok(boolean) } else { Err(Fault::WrongType(label)) }
}

// RFC 8428 section 4.1: "an optional positive integer"; section 6: in CBOR "only an unsigned integer is allowed"
fn version(value: Scalar<'_>) -> Result<i128, Fault> {
    match value {
        Scalar::Integer(version @ 1..=VERSION) => Ok(version),
        Scalar::Integer(_) => Err(Fault::UnknownVersion),
        _ => Err(Fault::WrongType(Label::BaseVersion)),
    }
}

/// The name of a sensor (RFC 8428 section 4.5.1).
fn name(base: &str, own: &str) -> Result<String, Fault> {
    if base.len() + own.len() > NAME_BYTES_MAX {
        return Err(Fault::LongName);
    }
    let mut name = String::with_capacity(base.len() + own.len());
    name.push_str(base);
    name.push_str(own);
    match is_name(&name) {
        true => Ok(name),
        false if name.is_empty() => Err(Fault::NoName),
        false => Err(Fault::BadName),
    }
}

/// Whether a whole name is one that SenML allows (RFC 8428 section 4.5.1).
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(is_name_byte)
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-:./_".contains(&byte)
}

// RFC 8428 section 4.5.3
fn time_ms(seconds: f64, now_ms: i64) -> Result<i64, Fault> {
    let origin_ms = if seconds < ABSOLUTE_SECS_MIN { now_ms as f64 } else { 0.0 };
    let time_ms = (seconds * 1000.0).round() + origin_ms;
    if (0.0..=TIME_MS_MAX).contains(&time_ms) { Ok(time_ms as i64) } else { Err(Fault::BadTime) }
}
