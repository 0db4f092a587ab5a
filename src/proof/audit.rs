//! The rows of some senders against their leaves, and their readings against the envelopes.
//!
//! Pure: rows go in, findings come out. Readings of an envelope are compared by a sum of hashes under a key of this run, so that they may come
//! in any order and none has to be kept: nobody who wrote the rows could know which others have the same sum.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use super::finding::{Finding, Kind};
use crate::ingest::decode;
use crate::seal::{DeviceId, Genuine, Opener};
use crate::store::{Audit, Leaf, MeasuredRow, Reading, Seen, StoredEnvelope};

/// What is unique.
type Place = (i64, i64, i64);

/// Names that rows have numbers for.
pub(super) type Words = HashMap<i64, String>;

/// The senders of a span, at work.
pub(super) struct Auditor<'a> {
    words: &'a Words,
    hasher: &'a RandomState,
    names: HashMap<i64, Arc<str>>,
    opener: Opener,
    /// What arrived, and is of, before this may be gone.
    horizon: i64,
    /// Whether all envelopes of the span are looked at, so that a reading without one is a finding.
    is_whole: bool,
    leaves: HashMap<Place, Expected>,
    envelopes: HashMap<i64, Readings>,
    /// Envelopes whose key was destroyed: what they say cannot be read as their device's word.
    unprovable: HashSet<i64>,
    /// What was found out.
    pub(super) outcome: Outcome,
}

/// What came of a span.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) findings: Vec<Finding>,
    /// Envelopes without a leaf, which may have come since the chain was read.
    pub(super) without_leaf: Vec<(Leaf, Finding)>,
    pub(super) envelopes: u64,
    pub(super) readings: u64,
    /// Envelopes whose key was destroyed.
    pub(super) unprovable: u64,
}

/// An envelope that a leaf speaks of.
struct Expected {
    leaf: Leaf,
    is_seen: bool,
}

/// Readings that an envelope has, less those that were found.
struct Readings {
    place: Place,
    sum: u64,
    count: i64,
    /// Those that are older than the horizon, and so may be gone.
    old: Vec<u64>,
}

impl<'a> Auditor<'a> {
    pub(super) fn new(
        words: &'a Words,
        hasher: &'a RandomState,
        names: HashMap<i64, Arc<str>>,
        opener: Opener,
        horizon: i64,
        since_ms: i64,
    ) -> Auditor<'a> {
        Auditor {
            words,
            hasher,
            names,
            opener,
            horizon,
            is_whole: since_ms == i64::MIN,
            leaves: HashMap::new(),
            envelopes: HashMap::new(),
            unprovable: HashSet::new(),
            outcome: Outcome::default(),
        }
    }

    /// The leaves of the span.
    pub(super) fn expect(&mut self, leaves: Vec<Leaf>) {
        let place = |leaf: &Leaf| (leaf.device, i64::from(leaf.key_version), leaf.counter);
        self.leaves = leaves.into_iter().map(|leaf| (place(&leaf), Expected { leaf, is_seen: false })).collect();
    }

    /// When all rows were seen: what is missing.
    pub(super) fn finish(mut self) -> Outcome {
        for (place, expected) in std::mem::take(&mut self.leaves) {
            if !expected.is_seen && expected.leaf.received_at_ms >= self.horizon {
                let finding = self.finding(Kind::Missing, place, "it was stored, and is not there");
                self.outcome.findings.push(finding);
            }
        }
        for (envelope, readings) in std::mem::take(&mut self.envelopes) {
            if let Some(detail) = readings.fault() {
                let finding = self.finding(Kind::Readings, readings.place, detail);
                self.outcome.findings.push(Finding { envelope: Some(envelope), ..finding });
            }
        }
        self.outcome
    }

    fn finding(&self, kind: Kind, (device, key_version, counter): Place, detail: &str) -> Finding {
        Finding {
            device_id: Some(self.name_of(device)),
            key_version: Some(key_version),
            counter: Some(counter),
            ..Finding::new(kind, detail)
        }
    }

    fn name_of(&self, device: i64) -> String {
        self.names.get(&device).map_or_else(|| format!("#{device}"), |name| name.to_string())
    }

    fn report(&mut self, kind: Kind, row: &StoredEnvelope, detail: &str) {
        let finding = self.finding(kind, (row.device, row.key_version, row.counter), detail);
        self.outcome.findings.push(Finding { envelope: Some(row.id), ..finding });
    }

    /// Opens an envelope again, and notes which readings it has.
    fn open(&mut self, mut row: StoredEnvelope) {
        let leaf = self.leaf_of(&row);
        let name = self.names.get(&row.device).cloned();
        let device = name.as_deref().and_then(|name| name.parse::<DeviceId>().ok());
        let Some((name, device)) = name.zip(device) else {
            return self.report(Kind::Changed, &row, "its device has no name");
        };
        let bytes = Bytes::from(std::mem::take(&mut row.bytes));
        let genuine = match self.opener.open(row.device, &device, &bytes) {
            Ok(genuine) => genuine,
            Err(reason) => {
                let Some(seen) = self.opener.unprovable(row.device, &bytes) else {
                    return self.report(Kind::Changed, &row, &format!("it does not open: {}", reason.as_str()));
                };
                self.outcome.unprovable += 1;
                self.unprovable.insert(row.id);
                return self.hold_against_leaf(leaf, &row, &seen);
            }
        };
        if let Some(fault) = self.fault_beside(&row, &genuine) {
            self.report(Kind::Changed, &row, fault);
        }
        self.hold_against_leaf(leaf, &row, &genuine.seen);
        match decode(&name, &bytes, row.received_at_ms, &genuine) {
            Ok(accepted) => self.note_readings(&row, &accepted.readings),
            Err(_) => self.report(Kind::Changed, &row, "its payload is none that is stored"),
        }
    }

    /// What stands beside the envelope and is not what it says itself.
    fn fault_beside(&self, row: &StoredEnvelope, genuine: &Genuine<'_>) -> Option<&'static str> {
        let header = &genuine.header;
        let encoding = self.words.get(&row.encoding).map(String::as_str);
        let faults = [
            (
                (row.key_version, row.counter) != (genuine.seen.key_version.into(), genuine.seen.counter),
                "it is another's",
            ),
            (row.device_time_ms != header.time_ms, "its device_time is not the device's"),
            (encoding != Some(header.encoding.as_str()), "its encoding is another"),
            (header.content_format.map(i64::from) != Some(row.content_format), "its content_format is another"),
        ];
        faults.into_iter().find_map(|(is_wrong, fault)| is_wrong.then_some(fault))
    }

    /// The leaf that speaks of it; it is seen now.
    fn leaf_of(&mut self, row: &StoredEnvelope) -> Option<Leaf> {
        let expected = self.leaves.get_mut(&(row.device, row.key_version, row.counter))?;
        let leaf = expected.leaf;
        if std::mem::replace(&mut expected.is_seen, true) {
            self.report(Kind::Added, row, "it is there twice");
        }
        Some(leaf)
    }

    fn hold_against_leaf(&mut self, leaf: Option<Leaf>, row: &StoredEnvelope, seen: &Seen) {
        let tag = Leaf::tag_of(seen.tag.as_bytes());
        let own = Leaf {
            device: row.device,
            key_version: seen.key_version,
            counter: row.counter,
            received_at_ms: row.received_at_ms,
            tag,
        };
        match leaf {
            None => {
                let place = (row.device, row.key_version, row.counter);
                let finding = self.finding(Kind::Added, place, "no checkpoint speaks of it");
                self.outcome.without_leaf.push((own, Finding { envelope: Some(row.id), ..finding }));
            }
            Some(leaf) if leaf.tag != tag => {
                self.report(Kind::Changed, row, "it is another envelope than the one that was stored");
            }
            Some(leaf) if leaf.received_at_ms != row.received_at_ms => {
                self.report(Kind::Changed, row, "its received_at is not the one that it was stored with");
            }
            Some(_) => {}
        }
    }

    fn note_readings(&mut self, row: &StoredEnvelope, readings: &[Reading]) {
        let mut noted =
            Readings { place: (row.device, row.key_version, row.counter), sum: 0, count: 0, old: Vec::new() };
        for (place, reading) in (0..).zip(readings) {
            let (value, text) = reading.value_and_text();
            let hash = self.hash(
                row.device,
                place,
                reading.time_ms,
                &reading.name,
                reading.unit.as_deref(),
                value,
                text,
                reading.sum,
            );
            noted.expect(hash, reading.time_ms < self.horizon);
        }
        self.envelopes.insert(row.id, noted);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the columns of a row")]
    fn hash(
        &self,
        device: i64,
        place: i64,
        time_ms: i64,
        name: &str,
        unit: Option<&str>,
        value: Option<f64>,
        text: Option<&str>,
        sum: Option<f64>,
    ) -> u64 {
        // A negative zero is stored as zero.
        let bits = |number: Option<f64>| number.map(|number| (number + 0.0).to_bits());
        self.hasher.hash_one((device, place, time_ms, name, unit, bits(value), text, bits(sum)))
    }
}

impl Audit for Auditor<'_> {
    fn envelope(&mut self, row: StoredEnvelope) {
        self.outcome.envelopes += 1;
        self.open(row);
    }

    fn reading(&mut self, row: MeasuredRow) {
        self.outcome.readings += 1;
        let word = |number: i64| self.words.get(&number).map_or("", String::as_str);
        let (name, unit) = (word(row.name), row.unit.map(word));
        let hash = self.hash(row.device, row.place, row.time_ms, name, unit, row.value, row.text.as_deref(), row.sum);
        match self.envelopes.get_mut(&row.envelope) {
            Some(readings) => readings.found(hash, row.time_ms < self.horizon),
            None if self.is_whole && !self.unprovable.contains(&row.envelope) => {
                let finding = Finding::new(Kind::Readings, format!("a reading of {} ms has no envelope", row.time_ms));
                let device_id = Some(self.name_of(row.device));
                self.outcome.findings.push(Finding { device_id, envelope: Some(row.envelope), ..finding });
            }
            None => {}
        }
    }
}

impl Readings {
    fn expect(&mut self, hash: u64, is_old: bool) {
        match is_old {
            true => self.old.push(hash),
            false => (self.sum, self.count) = (self.sum.wrapping_add(hash), self.count + 1),
        }
    }

    fn found(&mut self, hash: u64, is_old: bool) {
        match self.old.iter().position(|old| *old == hash) {
            Some(place) if is_old => drop(self.old.swap_remove(place)),
            _ => (self.sum, self.count) = (self.sum.wrapping_sub(hash), self.count - 1),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        match self.count {
            0 => (self.sum != 0).then_some("its readings were changed"),
            1.. => Some("readings of it are missing or changed"),
            _ => Some("it has readings that it did not come with"),
        }
    }
}
