//! Leaves: what a checkpoint says of each envelope, and how many of them are kept in few bytes.
//!
//! They are written with their envelopes, in the transaction of the batch, and taken into the next checkpoint (`proof`). A list of leaves
//! is one CBOR array (RFC 8949) of five items a leaf: how far its device is from that of the leaf before; its key version; its counter,
//! or, under the same key, how far it is from the counter before; how far its time of arrival is from the one before; and its tag. So a
//! leaf takes about 22 bytes, 16 of them of the tag.

use super::batch::Accepted;
use minicbor::{Decoder, Encoder};
use std::convert::Infallible;

/// What a checkpoint says of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf {
    /// [`super::Device::row`] of its sender.
    pub device: i64,
    /// The version of the key that sealed it.
    pub key_version: u8,
    /// Its counter.
    pub counter: i64,
    /// When it arrived, Unix ms.
    pub received_at_ms: i64,
    /// The first bytes of its tag, and zeros where the tag is shorter.
    pub tag: [u8; Leaf::TAG_BYTES],
}

/// A list that nobody of ours wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leaves cannot be read")]
pub struct BadLeaves;

impl Leaf {
    /// Enough to tell one seal from another; that a seal is genuine is told by its key.
    pub const TAG_BYTES: usize = 16;

    /// The first bytes of a tag.
    pub fn tag_of(tag: &[u8]) -> [u8; Leaf::TAG_BYTES] {
        let mut first = [0; Leaf::TAG_BYTES];
        let known = tag.len().min(Leaf::TAG_BYTES);
        first[..known].copy_from_slice(&tag[..known]);
        first
    }

    pub(super) fn of(accepted: &Accepted) -> Leaf {
        let Accepted { seen, received_at_ms, .. } = accepted;
        Leaf {
            device: seen.device,
            key_version: seen.key_version,
            counter: seen.counter,
            received_at_ms: *received_at_ms,
            tag: Leaf::tag_of(seen.tag.as_bytes()),
        }
    }

    /// A list of leaves; in order it takes the fewest bytes.
    pub fn encode(leaves: &[Leaf]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::with_capacity(leaves.len() * 24 + 9));
        encode(&mut encoder, leaves).expect("a vector takes all");
        encoder.into_writer()
    }

    /// The leaves of a list.
    pub fn decode(list: &[u8]) -> Result<Vec<Leaf>, BadLeaves> {
        decode(list).ok_or(BadLeaves)
    }
}

const ITEMS: u64 = 5;
const NONE: Leaf = Leaf { device: 0, key_version: 0, counter: 0, received_at_ms: 0, tag: [0; Leaf::TAG_BYTES] };

fn encode(encoder: &mut Encoder<Vec<u8>>, leaves: &[Leaf]) -> Result<(), minicbor::encode::Error<Infallible>> {
    encoder.array(leaves.len() as u64 * ITEMS)?;
    let mut before = NONE;
    for leaf in leaves {
        encoder.i64(leaf.device.wrapping_sub(before.device))?.u8(leaf.key_version)?;
        encoder.i64(leaf.counter.wrapping_sub(before.counter_under(leaf)))?;
        encoder.i64(leaf.received_at_ms.wrapping_sub(before.received_at_ms))?.bytes(&leaf.tag)?;
        before = *leaf;
    }
    Ok(())
}

fn decode(list: &[u8]) -> Option<Vec<Leaf>> {
    let mut decoder = Decoder::new(list);
    let items = decoder.array().ok()??;
    // An item is a byte at least: what is said of the length is not believed further than that.
    let is_possible = items.is_multiple_of(ITEMS) && items <= list.len() as u64;
    let count = usize::try_from(items / ITEMS).ok().filter(|_| is_possible)?;
    let mut leaves = Vec::with_capacity(count);
    let mut before = NONE;
    for _ in 0..count {
        let device = before.device.wrapping_add(decoder.i64().ok()?);
        let mut leaf = Leaf { device, key_version: decoder.u8().ok()?, ..NONE };
        leaf.counter = before.counter_under(&leaf).wrapping_add(decoder.i64().ok()?);
        leaf.received_at_ms = before.received_at_ms.wrapping_add(decoder.i64().ok()?);
        leaf.tag = decoder.bytes().ok()?.try_into().ok()?;
        leaves.push(leaf);
        before = leaf;
    }
    (decoder.position() == list.len()).then_some(leaves)
}

impl Leaf {
    /// From which counter that of the next leaf is counted.
    fn counter_under(&self, next: &Leaf) -> i64 {
        if (self.device, self.key_version) == (next.device, next.key_version) { self.counter } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves() -> impl Strategy<Value = Vec<Leaf>> {
        let leaf = (any::<i64>(), any::<u8>(), any::<i64>(), any::<i64>(), any::<[u8; Leaf::TAG_BYTES]>());
        let leaf = leaf.prop_map(|(device, key_version, counter, received_at_ms, tag)| Leaf {
            device: device % 3,
            key_version: key_version % 2,
            counter,
            received_at_ms,
            tag,
        });
        proptest::collection::vec(leaf, 0..20)
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_was_written(leaves in leaves()) {
            prop_assert_eq!(Leaf::decode(&Leaf::encode(&leaves)), Ok(leaves));
        }

        #[test]
        fn foreign_bytes_are_no_list_or_one(bytes in proptest::collection::vec(any::<u8>(), 0..64), leaves in leaves(), at in any::<usize>()) {
            let _ = Leaf::decode(&bytes);
            let mut list = Leaf::encode(&leaves);
            let at = at % list.len();
            list[at] ^= bytes.first().copied().unwrap_or(1);
            let _ = Leaf::decode(&list);
        }
    }

    #[test]
    fn a_fleet_takes_about_22_bytes_a_leaf() {
        let leaf = |device, counter| Leaf {
            device,
            key_version: 1,
            counter,
            received_at_ms: 1_800_000_000_000 + counter,
            tag: [7; 16],
        };
        let leaves: Vec<Leaf> =
            (0..1_000).flat_map(|device| (100..110).map(move |counter| leaf(device, counter))).collect();
        let bytes = Leaf::encode(&leaves).len();
        assert!(bytes < leaves.len() * 23, "{bytes}");
    }

    #[test]
    fn a_length_that_is_not_there_is_not_allocated() {
        assert_eq!(Leaf::decode(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(BadLeaves));
    }
}
