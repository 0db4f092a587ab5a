//! The labels of SenML: a closed set, with one name in JSON and one number in CBOR each.

use std::fmt;

use crate::ingest::content::Fault;

/// The fields of RFC 8428 section 4.3, table 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the RFC's table")]
pub enum Label {
    BaseVersion,
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    Name,
    Unit,
    Value,
    StringValue,
    BooleanValue,
    Sum,
    Time,
    UpdateTime,
    DataValue,
}

/// Each field with its label in JSON and in CBOR, in the order of [`Label`].
const LABELS: [(Label, &str, i128); 15] = [
    (Label::BaseVersion, "bver", -1),
    (Label::BaseName, "bn", -2),
    (Label::BaseTime, "bt", -3),
    (Label::BaseUnit, "bu", -4),
    (Label::BaseValue, "bv", -5),
    (Label::BaseSum, "bs", -6),
    (Label::Name, "n", 0),
    (Label::Unit, "u", 1),
    (Label::Value, "v", 2),
    (Label::StringValue, "vs", 3),
    (Label::BooleanValue, "vb", 4),
    (Label::Sum, "s", 5),
    (Label::Time, "t", 6),
    (Label::UpdateTime, "ut", 7),
    (Label::DataValue, "vd", 8),
];

impl Label {
    pub(super) const VALUES: &[Self] = &[Self::Value, Self::StringValue, Self::BooleanValue, Self::DataValue];

    pub(in super::super) fn of_text(text: &str) -> Option<Self> {
        LABELS.iter().find(|(_, name, _)| *name == text).map(|(label, ..)| *label)
    }

    pub(in super::super) fn of_number(number: i128) -> Option<Self> {
        LABELS.iter().find(|(.., own)| *own == number).map(|(label, ..)| *label)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LABELS[*self as usize].1)
    }
}

/// The labels that a record has, one bit each.
#[derive(Clone, Copy, Default)]
pub(super) struct Labels(u16);

impl Labels {
    pub(super) fn insert(&mut self, label: Label) -> Result<(), Fault> {
        if self.0 & bit(label) != 0 {
            return Err(Fault::RepeatedKey);
        }
        self.0 |= bit(label);
        Ok(())
    }

    pub(super) fn count_of(self, labels: &[Label]) -> usize {
        labels.iter().filter(|label| self.0 & bit(**label) != 0).count()
    }

    /// Base fields, and nothing else.
    pub(super) fn are_base(self) -> bool {
        self.0 != 0 && self.0 < bit(Label::Name)
    }
}

fn bit(label: Label) -> u16 {
    1 << label as u16
}
