//! Leaves in order of their devices, however many: in files without a name, one for each span of senders.
//!
//! A chain is in the order of time, and rows are compared device by device; so that memory does not grow with the database, the leaves of
//! a span wait in a file until it is its turn.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use crate::store::{Leaf, Span};

/// Leaves of one span, about: those of one device stay together.
const LEAVES: u64 = 200_000;
const LEAF_BYTES: usize = 41;

/// The leaves of a span, in a file.
pub(super) struct Spilled {
    /// Whose they are.
    pub(super) span: Span,
    file: BufWriter<File>,
    count: u64,
}

/// Files for all senders, by how many leaves each has; a sender without leaves is in a span too.
pub(super) fn files(counts: &BTreeMap<i64, u64>, only: Option<i64>) -> io::Result<Vec<Spilled>> {
    let spans = match only {
        Some(device) => vec![Span { first: device, last: device }],
        None => spans(counts),
    };
    spans.into_iter().map(|span| Ok(Spilled { span, file: BufWriter::new(tempfile::tempfile()?), count: 0 })).collect()
}

fn spans(counts: &BTreeMap<i64, u64>) -> Vec<Span> {
    let (mut spans, mut first, mut leaves) = (Vec::new(), i64::MIN, 0);
    for (device, count) in counts {
        leaves += count;
        if leaves >= LEAVES && *device < i64::MAX {
            spans.push(Span { first, last: *device });
            (first, leaves) = (device + 1, 0);
        }
    }
    spans.push(Span { first, last: i64::MAX });
    spans
}

/// Puts a leaf into the file of its span; one that is in none is passed over.
pub(super) fn put(files: &mut [Spilled], leaf: &Leaf) -> io::Result<()> {
    let place = files.partition_point(|spilled| spilled.span.last < leaf.device);
    match files.get_mut(place) {
        Some(spilled) if spilled.span.first <= leaf.device => spilled.put(leaf),
        _ => Ok(()),
    }
}

impl Spilled {
    fn put(&mut self, leaf: &Leaf) -> io::Result<()> {
        self.count += 1;
        let Leaf { device, key_version, counter, received_at_ms, tag } = leaf;
        self.file.write_all(&device.to_le_bytes())?;
        self.file.write_all(&[*key_version])?;
        self.file.write_all(&counter.to_le_bytes())?;
        self.file.write_all(&received_at_ms.to_le_bytes())?;
        self.file.write_all(tag)
    }

    /// All that was put in.
    pub(super) fn read(self) -> io::Result<Vec<Leaf>> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut file = BufReader::new(file);
        let mut bytes = [0; LEAF_BYTES];
        (0..self.count)
            .map(|_| {
                file.read_exact(&mut bytes)?;
                Ok(leaf(&bytes))
            })
            .collect()
    }
}

fn leaf(bytes: &[u8; LEAF_BYTES]) -> Leaf {
    let number = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"));
    Leaf {
        device: number(0),
        key_version: bytes[8],
        counter: number(9),
        received_at_ms: number(17),
        tag: bytes[25..].try_into().expect("the rest is the tag"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf_of(device: i64, counter: i64) -> Leaf {
        Leaf { device, key_version: 3, counter, received_at_ms: -counter, tag: [device as u8; 16] }
    }

    #[test]
    fn each_leaf_is_in_the_span_of_its_device_and_every_device_is_in_one() {
        let counts = BTreeMap::from([(-4, 1), (2, LEAVES - 1), (3, 1), (7, LEAVES * 2), (9, 5)]);
        let mut files = files(&counts, None).unwrap();
        let spans: Vec<(i64, i64)> = files.iter().map(|file| (file.span.first, file.span.last)).collect();
        assert_eq!(spans, [(i64::MIN, 2), (3, 7), (8, i64::MAX)]);
        let leaves = [leaf_of(9, 1), leaf_of(-4, 2), leaf_of(3, 3), leaf_of(2, i64::MAX), leaf_of(3, 4)];
        leaves.iter().for_each(|leaf| put(&mut files, leaf).unwrap());
        let read: Vec<Vec<Leaf>> = files.into_iter().map(|file| file.read().unwrap()).collect();
        assert_eq!(read, [vec![leaves[1], leaves[3]], vec![leaves[2], leaves[4]], vec![leaves[0]]]);
    }

    #[test]
    fn of_one_device_only_its_leaves_are_kept() {
        let mut files = files(&BTreeMap::new(), Some(3)).unwrap();
        [leaf_of(2, 1), leaf_of(3, 1), leaf_of(4, 1)].iter().for_each(|leaf| put(&mut files, leaf).unwrap());
        assert_eq!(files.remove(0).read().unwrap(), [leaf_of(3, 1)]);
    }
}
