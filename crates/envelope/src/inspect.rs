//! Takes an envelope apart for an operator: what stands where, and why it is refused.
//!
//! The judgement is the one of [`Sealed::parse`] and [`Sealed::open`], with the words of the check that failed. The fields are
//! read on their own and as far as they go, since a message that is asked about is most often a broken one; they promise
//! nothing. What is said here is never for the sender.

mod fields;

use core::fmt;
use core::ops::Range;
use std::string::String;
use std::vec::Vec;

use crate::{DeviceId, Direction, Encoding, Key, Policy, Reason, Sealed};

/// Takes `bytes` apart, and checks the seal if it is said who should have sealed them.
pub fn explain(bytes: &[u8], policy: &Policy, sealer: Option<(&Key, &DeviceId, Direction)>) -> Explanation {
    let encoding = Encoding::of(bytes.first().copied());
    // What is over the limit is not looked at here either.
    let looked_at = bytes.get(..policy.bytes_max).unwrap_or(bytes);
    Explanation {
        len: bytes.len(),
        encoding,
        fields: encoding.map(|encoding| fields::of(encoding, looked_at)).unwrap_or_default(),
        finding: find(bytes, policy, sealer),
    }
}

/// What an envelope holds and whether it opens. It is printed as a table and one sentence.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The length of the message.
    pub len: usize,
    /// What its first byte tells.
    pub encoding: Option<Encoding>,
    /// Its parts in their order, as far as they could be read.
    pub fields: Vec<Field>,
    /// What came of it.
    pub finding: Finding,
}

/// A part of a message. All that is foreign in it is escaped, so that it may go to a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it stands in the message; in a JWS, where the base64url of its part does.
    pub range: Range<usize>,
    /// The name that the specification gives it.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// What came of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is refused at a step.
    Refused {
        /// The step that failed; those before it passed.
        step: Step,
        /// The word that the sender and the quarantine get.
        reason: Reason,
        /// What is wrong, in words.
        why: &'static str,
    },
    /// It is whole; who sealed it is not known, as no key was given.
    Unverified,
    /// It is whole and sealed as was said.
    Genuine,
}

/// The steps of opening that need nothing but the message and the key, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It is within the limit.
    Length,
    /// It parses, with all members in range.
    Form,
    /// A frame's CRC fits.
    Crc,
    /// The tag fits.
    Seal,
}

fn find(bytes: &[u8], policy: &Policy, sealer: Option<(&Key, &DeviceId, Direction)>) -> Finding {
    let judged = Sealed::take_apart(bytes, policy).and_then(|sealed| match sealer {
        Some((key, device, direction)) => sealed.verify(key, device, direction).map(|()| Finding::Genuine),
        None => Ok(Finding::Unverified),
    });
    judged.unwrap_or_else(|fault| Finding::Refused {
        step: Step::of(fault.reason),
        reason: fault.reason,
        why: fault.why,
    })
}

impl Step {
    fn of(reason: Reason) -> Self {
        match reason {
            Reason::TooLarge => Self::Length,
            Reason::Corrupt => Self::Crc,
            Reason::BadSeal => Self::Seal,
            _ => Self::Form,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoding = self.encoding.map_or("no known encoding", Encoding::as_str);
        writeln!(f, "{encoding}, {} bytes", self.len)?;
        for field in &self.fields {
            writeln!(f, "  {:>5}..{:<5}  {:<14}  {}", field.range.start, field.range.end, field.name, field.value)?;
        }
        self.finding.fmt(f)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { step, reason, why } => write!(f, "Refused as {reason}, at the {step}: {why}."),
            Self::Unverified => f.write_str("It is whole. Who sealed it was not checked, as no key was given."),
            Self::Genuine => f.write_str("It is whole and genuine."),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "length",
            Self::Form => "form",
            Self::Crc => "CRC",
            Self::Seal => "seal",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, DeviceKey, Message, seal_frame};
    use std::string::ToString;
    use std::vec;

    fn frame() -> Vec<u8> {
        let message = Message {
            algorithm: Algorithm::HmacSha256,
            key_version: 2,
            content_format: 50,
            counter: (7 << 32) | 41,
            time_ms: Some(1_790_000_000_250),
            payload: b"{\"t\":\"\x1b[2J\"}",
        };
        let mut frame = vec![0; 100];
        let len = seal_frame(&mut frame, &message, &key(), &device(), Direction::FromDevice).unwrap();
        frame.truncate(len);
        frame
    }

    fn key() -> Key {
        Key::new(&DeviceKey::from([7; 32]))
    }

    fn device() -> DeviceId {
        "pump".parse().unwrap()
    }

    #[test]
    fn a_frame_is_taken_apart_with_offsets_and_values() {
        let printed = explain(&frame(), &Policy::default(), None).to_string();
        for line in [
            "frame, 72 bytes",
            "      4..5      key             2",
            "      6..8      format          50",
            "      8..16     counter         30064771113 (boot 7, message 41)",
            "     16..24     time            1790000000250 (2026-09-21T14:13:20.250Z)",
            r#"     24..36     payload         {"t":"\u{1b}[2J"}"#,
            "It is whole. Who sealed it was not checked, as no key was given.",
        ] {
            assert!(printed.contains(line), "{line}\n{printed}");
        }
    }

    #[test]
    fn damage_shows_both_checksums() {
        let mut bytes = frame();
        bytes[30] ^= 1;
        let printed = explain(&bytes, &Policy::default(), None).to_string();
        assert!(printed.contains("given, computed 0x"), "{printed}");
        assert!(
            printed
                .ends_with("Refused as corrupt, at the CRC: the CRC does not fit: the frame was damaged on its way.")
        );
    }

    #[test]
    fn the_seal_is_checked_if_a_key_is_given() {
        let bytes = frame();
        let finding = |direction| explain(&bytes, &Policy::default(), Some((&key(), &device(), direction))).finding;
        assert_eq!(finding(Direction::FromDevice), Finding::Genuine);
        assert!(matches!(
            finding(Direction::Command),
            Finding::Refused { reason: Reason::BadSeal, step: Step::Seal, .. }
        ));
    }

    #[test]
    fn what_is_cut_is_shown_as_far_as_it_goes() {
        let whole = frame();
        for len in 0..whole.len() {
            let explained = explain(&whole[..len], &Policy::default(), None);
            assert!(matches!(explained.finding, Finding::Refused { .. }), "{len}");
            assert!(explained.fields.iter().all(|field| field.range.end <= len), "{len}");
        }
    }
}
