//! What became of a message, as a receipt tells it in one number.
//!
//! Writing and reading whole receipts is done by who sends and who receives them.

use crate::Reason;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is in the database.
    Stored,
    /// The same envelope is in the database from before.
    Duplicate,
    /// It is kept on disk until the database is back.
    Spooled,
    /// It is refused.
    Rejected(Reason),
}

impl Verdict {
    /// 0 = stored, 1 = duplicate, 2 = spooled, else 3 + the place of the reason in [`Reason::ALL`].
    pub const fn code(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Duplicate => 1,
            Self::Spooled => 2,
            Self::Rejected(reason) => REJECTED + reason as u8,
        }
    }

    /// The verdict of a code; none of a code that this version does not know.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Stored),
            1 => Some(Self::Duplicate),
            2 => Some(Self::Spooled),
            _ => Reason::ALL.get(usize::from(code - REJECTED)).copied().map(Self::Rejected),
        }
    }
}

const REJECTED: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_specification() {
        assert_eq!(Verdict::Rejected(Reason::Malformed).code(), 3);
        assert_eq!(Verdict::Rejected(Reason::UnknownKey).code(), 8);
        assert_eq!(Verdict::Rejected(Reason::Replayed).code(), 13);
    }

    #[test]
    fn every_code_is_read_back_or_unknown() {
        for code in 0..=255 {
            match Verdict::from_code(code) {
                Some(verdict) => assert_eq!(verdict.code(), code),
                None => assert!(code > 13, "{code}"),
            }
        }
    }
}
