//! Plain JSON and CBOR: every scalar becomes a reading that is named by its path.
//!
//! `{"motor":{"rpm":[1480,1475]}}` gives `motor/rpm/0` and `motor/rpm/1`. Keys are escaped as in a JSON Pointer (RFC 6901 section 3:
//! `~0` is `~`, `~1` is `/`), without its leading slash. There are no units and no times here: all readings have the envelope's.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::document::{NESTING_MAX, Scalar, Sink, Step, double, finite, without_nul};
use super::fault::Fault;
use super::{NAME_BYTES_MAX, READINGS_MAX};
use crate::store::{Reading, Value};

/// The name of a scalar that is the whole document.
const ROOT: &str = "value";

/// Makes readings of the scalars of one document.
pub(super) struct Paths {
    time_ms: i64,
    /// The path of what comes next.
    path: String,
    /// For each open array or object, the length of its own path.
    open: Vec<usize>,
    readings: Vec<Reading>,
}

impl Paths {
    pub(super) fn new(time_ms: i64) -> Self {
        Self { time_ms, path: String::new(), open: Vec::new(), readings: Vec::new() }
    }

    pub(super) fn into_readings(self) -> Vec<Reading> {
        self.readings
    }

    fn name(&self) -> Result<String, Fault> {
        match self.path.as_str() {
            "" if self.open.is_empty() => Ok(ROOT.into()),
            "" => Err(Fault::NoName),
            path if path.len() > NAME_BYTES_MAX => Err(Fault::LongName),
            path => Ok(path.into()),
        }
    }
}

impl Sink<'_> for Paths {
    fn open(&mut self) -> Result<(), Fault> {
        if self.open.len() == NESTING_MAX {
            return Err(Fault::TooDeep);
        }
        self.open.push(self.path.len());
        Ok(())
    }

    fn step(&mut self, step: Step<'_>) -> Result<(), Fault> {
        let parent = *self.open.last().expect("a step is taken within an open array or object");
        self.path.truncate(parent);
        if self.open.len() > 1 {
            self.path.push('/');
        }
        match step {
            Step::Key(key) => push_escaped(&mut self.path, without_nul(key)?),
            Step::Index(index) => self.path.push_str(&index.to_string()),
        }
        Ok(())
    }

    fn close(&mut self) {
        let own = self.open.pop().expect("what is closed was opened");
        self.path.truncate(own);
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Fault> {
        let Some(value) = value(scalar)? else { return Ok(()) };
        if self.readings.len() == READINGS_MAX {
            return Err(Fault::TooManyReadings);
        }
        let name = self.name()?;
        self.readings.push(Reading { name, unit: None, time_ms: self.time_ms, value: Some(value), sum: None });
        Ok(())
    }
}

fn value(scalar: Scalar<'_>) -> Result<Option<Value>, Fault> {
    Ok(Some(match scalar {
        Scalar::Null => return Ok(None),
        Scalar::Boolean(boolean) => Value::Boolean(boolean),
        Scalar::Integer(integer) => Value::Number(double(integer)),
        Scalar::Float(number) => Value::Number(finite(number)?),
        Scalar::Text(text) => Value::String(without_nul(&text)?.into()),
        Scalar::Bytes(bytes) => Value::Data(BASE64_URL_SAFE_NO_PAD.encode(bytes)),
    }))
}

// RFC 6901 section 3
fn push_escaped(path: &mut String, key: &str) {
    for character in key.chars() {
        match character {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            other => path.push(other),
        }
    }
}
