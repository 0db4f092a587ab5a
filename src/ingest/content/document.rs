//! What JSON and CBOR have in common: scalars, in arrays and objects, nested to a bound.
//!
//! The two readers walk a document and tell a [`Sink`] what they meet, so that what a document means is written once. Rules on
//! single values (finite numbers, no NUL) live here; what a path or a SenML label is does not.

use std::borrow::Cow;

use super::fault::Fault;

/// How deep arrays and objects may nest. Readers recurse once for each level; no reading of a sensor needs as many.
pub(super) const NESTING_MAX: usize = 32;

/// A value that holds no other.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    /// JSON's null; CBOR's undefined too.
    Null,
    Boolean(bool),
    /// Written as an integer. All that CBOR and `u64` and `i64` of JSON can hold.
    Integer(i128),
    /// Written with a fraction or an exponent.
    Float(f64),
    Text(Cow<'a, str>),
    /// CBOR alone has byte strings.
    Bytes(Cow<'a, [u8]>),
}

/// The double nearest to the number, as RFC 8428 section 5 has it for every number.
pub(super) fn double(integer: i128) -> f64 {
    integer as f64
}

pub(super) fn finite(number: f64) -> Result<f64, Fault> {
    if number.is_finite() { Ok(number) } else { Err(Fault::NotFinite) }
}

pub(super) fn without_nul(text: &str) -> Result<&str, Fault> {
    if text.as_bytes().contains(&0) { Err(Fault::Nul) } else { Ok(text) }
}

/// One step down from an array or an object.
pub(super) enum Step<'k> {
    Key(&'k str),
    Index(usize),
}

/// What takes a document apart. Each `open` is followed by pairs of a step and its value, and by a `close`.
pub(super) trait Sink<'a> {
    fn open(&mut self) -> Result<(), Fault>;
    fn step(&mut self, step: Step<'_>) -> Result<(), Fault>;
    fn close(&mut self);
    fn scalar(&mut self, scalar: Scalar<'a>) -> Result<(), Fault>;
}

/// Takes what nobody asked for: it has to be well-formed and is forgotten.
#[derive(Default)]
pub(super) struct Ignored {
    depth: usize,
}

impl<'a> Sink<'a> for Ignored {
    fn open(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > NESTING_MAX { Err(Fault::TooDeep) } else { Ok(()) }
    }

    fn step(&mut self, _: Step<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
    }

    fn scalar(&mut self, _: Scalar<'a>) -> Result<(), Fault> {
        Ok(())
    }
}

/// The keys of one object, to find one that comes twice.
///
/// Sorted once at the end: a comparison of each with each would let 64 KiB of short keys cost a hundred million comparisons.
#[derive(Default)]
pub(super) struct Keys<'a>(Vec<Cow<'a, str>>);

impl<'a> Keys<'a> {
    pub(super) fn push(&mut self, key: Cow<'a, str>) {
        self.0.push(key);
    }

    pub(super) fn distinct(&mut self) -> Result<(), Fault> {
        self.0.sort_unstable();
        if self.0.windows(2).any(|pair| pair[0] == pair[1]) { Err(Fault::RepeatedKey) } else { Ok(()) }
    }
}
