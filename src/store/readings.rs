//! Readings as they are stored, to be taken out again.
//!
//! They are read device by device and in the order of time, a page at a time: the place of the last one leads to the next page,
//! however many came before it and whatever is added meanwhile.

/// Who has ever been a device: it stays here when the device is deleted, and so do its readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The number that stands for it, [`super::Device::row`].
    pub row: i64,
    /// Its name.
    pub device_id: String,
}

/// The place of a reading among those of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingPlace {
    /// As the database counts, so that nothing is rounded.
    pub(super) time: i64,
    pub(super) envelope: i64,
    pub(super) place: i16,
}

/// A reading in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReading {
    /// Where it stands.
    pub place: ReadingPlace,
    /// When, Unix ms.
    pub time_ms: i64,
    /// What was measured.
    pub name: String,
    /// In which unit.
    pub unit: Option<String>,
    /// The value, if it is a number.
    pub value: Option<f64>,
    /// The value, if it is none.
    pub text: Option<String>,
    /// The SenML sum.
    pub sum: Option<f64>,
}

impl StoredReading {
    /// The number of the envelope that it came in.
    pub fn envelope(&self) -> i64 {
        self.place.envelope
    }
}
