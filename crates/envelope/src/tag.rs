//! The tag of an envelope, which stands for every authenticated byte of it.
//!
//! The stored tag tells a message that comes again from another one under the same counter.

use subtle::ConstantTimeEq;

use crate::header::Algorithm;

/// 32 bytes, or 8 where it is truncated. Its comparison takes the same time whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    // Zero beyond the length of the tag.
    bytes: [u8; BYTES_MAX],
    algorithm: Algorithm,
}

impl Tag {
    /// Of the whole HMAC, of which the algorithm may keep a part.
    pub(crate) fn new(hmac: [u8; BYTES_MAX], algorithm: Algorithm) -> Self {
        let bytes = match algorithm {
            Algorithm::HmacSha256 => hmac,
            Algorithm::HmacSha256Truncated => hmac.first_chunk().map_or(hmac, padded),
        };
        Self { bytes, algorithm }
    }

    /// None if the length is not the algorithm's.
    pub(crate) fn from_slice(tag: &[u8], algorithm: Algorithm) -> Option<Self> {
        let bytes = match algorithm {
            Algorithm::HmacSha256 => tag.try_into().ok()?,
            Algorithm::HmacSha256Truncated => padded(tag.try_into().ok()?),
        };
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
        let difference =
            words(&self.bytes).zip(words(&other.bytes)).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        self.algorithm == other.algorithm && bool::from(difference.ct_eq(&0))
    }
}

impl Eq for Tag {}

/// Eight bytes at a time, and one comparison at the end: `subtle` takes each element past an optimisation barrier.
fn words(bytes: &[u8; BYTES_MAX]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
}

fn padded(tag: &[u8; 8]) -> [u8; BYTES_MAX] {
    let mut bytes = [0; BYTES_MAX];
    bytes[..8].copy_from_slice(tag);
    bytes
}

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
