//! The root of a list of leaves: the Merkle tree hash of RFC 9162, section 2.1.1, with SHA-256.

use sha2::{Digest as _, Sha256};

use crate::store::Leaf;

/// A hash of the tree.
pub(super) type Hash = [u8; 32];

/// The root over the leaves in their order.
pub(super) fn root(leaves: &[Leaf]) -> Hash {
    root_of(leaves.iter().map(leaf_hash))
}

/// Whole subtrees to the left are kept, each half as high as the one before at most; the rest is joined from the right.
fn root_of(hashes: impl Iterator<Item = Hash>) -> Hash {
    let mut trees: Vec<(u32, Hash)> = Vec::new();
    for hash in hashes {
        let mut tree = (0, hash);
        while let Some(left) = trees.pop_if(|(height, _)| *height == tree.0) {
            tree = (tree.0 + 1, node_hash(&left.1, &tree.1));
        }
        trees.push(tree);
    }
    let joined = trees.into_iter().rev().map(|(_, hash)| hash).reduce(|right, left| node_hash(&left, &right));
    joined.unwrap_or_else(|| Sha256::digest([]).into())
}

fn leaf_hash(leaf: &Leaf) -> Hash {
    let Leaf { device, key_version, counter, received_at_ms, tag } = leaf;
    let mut bytes = [0; 42];
    bytes[1..9].copy_from_slice(&device.to_be_bytes());
    bytes[9] = *key_version;
    bytes[10..18].copy_from_slice(&counter.to_be_bytes());
    bytes[18..26].copy_from_slice(&received_at_ms.to_be_bytes());
    bytes[26..].copy_from_slice(tag);
    Sha256::digest(bytes).into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the standard writes it.
    fn by_the_book(hashes: &[Hash]) -> Hash {
        match hashes {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            many => {
                let k = (1..many.len()).filter(|k| k.is_power_of_two()).max().unwrap();
                node_hash(&by_the_book(&many[..k]), &by_the_book(&many[k..]))
            }
        }
    }

    #[test]
    fn roots_are_those_of_rfc_9162() {
        for count in 0..70_u8 {
            let hashes: Vec<Hash> = (0..count).map(|number| Sha256::digest([0, number]).into()).collect();
            assert_eq!(root_of(hashes.iter().copied()), by_the_book(&hashes), "{count}");
        }
    }

    /// The published vectors of Certificate Transparency's reference implementation: the empty tree, and one empty leaf.
    #[test]
    fn the_first_two_roots_are_known() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(root_of(std::iter::empty())), empty);
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex::encode(root_of(std::iter::once(Sha256::digest([0]).into()))), one);
    }

    #[test]
    fn each_fact_of_a_leaf_changes_the_root() {
        let leaf = Leaf { device: 1, key_version: 1, counter: 1, received_at_ms: 1, tag: [1; 16] };
        let mut tag = leaf.tag;
        tag[15] = 2;
        let others = [
            Leaf { device: 2, ..leaf },
            Leaf { key_version: 2, ..leaf },
            Leaf { counter: 2, ..leaf },
            Leaf { received_at_ms: 2, ..leaf },
            Leaf { tag, ..leaf },
        ];
        assert!(others.iter().all(|other| root(&[*other]) != root(&[leaf])));
    }
}
