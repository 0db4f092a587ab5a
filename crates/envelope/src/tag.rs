//! The tag of an envelope, which stands for every authenticated byte of it.
//!
//! The stored tag tells a message that comes again from another one under the same counter.

use subtle::ConstantTimeEq;

use crate::header::Algorithm;

/// 32 bytes, or 8 where it is truncated. Its comparison takes the same time whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    bytes: [u8; BYTES_MAX],
    algorithm: Algorithm,
}

impl Tag {
    pub(crate) fn new(bytes: [u8; BYTES_MAX], algorithm: Algorithm) -> Self {
        Self { bytes, algorithm }
    }

    /// None if the length is not the algorithm's.
    pub(crate) fn from_slice(tag: &[u8], algorithm: Algorithm) -> Option<Self> {
        let mut bytes = [0; BYTES_MAX];
        if tag.len() != algorithm.tag_bytes() {
            return None;
        }
        bytes.get_mut(..tag.len())?.copy_from_slice(tag);
        Some(Self { bytes, algorithm })
    }

    /// The bytes as they are in the message.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.tag_bytes()).unwrap_or_default()
    }

    /// How it was made.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Tag {}

const BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_the_length_of_its_algorithm() {
        assert!(Tag::from_slice(&[7; 32], Algorithm::HmacSha256).is_some());
        assert!(Tag::from_slice(&[7; 8], Algorithm::HmacSha256Truncated).is_some());
        for len in [0, 7, 9, 31, 33, 64] {
            assert!(Tag::from_slice(&[7; 64][..len], Algorithm::HmacSha256).is_none(), "{len}");
            assert!(Tag::from_slice(&[7; 64][..len], Algorithm::HmacSha256Truncated).is_none(), "{len}");
        }
    }

    #[test]
    fn only_the_bytes_of_the_message_are_compared() {
        let made = Tag::new([7; 32], Algorithm::HmacSha256Truncated);
        let sent = Tag::from_slice(&[7; 8], Algorithm::HmacSha256Truncated).unwrap();
        assert_eq!(made, sent);
        assert_ne!(made, Tag::new([7; 32], Algorithm::HmacSha256));
    }
}
