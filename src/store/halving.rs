//! Finds the rows that a database refuses for their content, by halving.
//!
//! Says only which part of a batch to try next. The parts come in the order of the batch, so that what is stored of an earlier part is
//! known to a later one.

use std::ops::Range;

/// The parts that are still to be tried, the next one last.
pub(super) struct Halving(Vec<Range<usize>>);

/// What a refused part turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// One entry: this is what the database does not take.
    Entry(usize),
    /// More than one: its halves come next.
    Halved,
}

impl Halving {
    /// For a batch of `len` entries that was refused as a whole.
    pub(super) fn new(len: usize) -> Halving {
        let mut halving = Halving(Vec::new());
        if len == 1 {
            halving.0.push(0..1);
        } else {
            halving.split(0..len);
        }
        halving
    }

    /// The next part to try.
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        self.0.pop()
    }

    /// Takes note that the part was refused.
    pub(super) fn refused(&mut self, part: Range<usize>) -> Refusal {
        if part.len() == 1 {
            return Refusal::Entry(part.start);
        }
        self.split(part);
        Refusal::Halved
    }

    fn split(&mut self, part: Range<usize>) {
        let middle = part.start + part.len() / 2;
        self.0.extend([middle..part.end, part.start..middle].into_iter().filter(|half| !half.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_bad_entry_is_found_and_every_good_one_tried_once_and_in_order(bad in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mut halving = Halving::new(bad.len());
            let mut settled = Vec::new();
            while let Some(part) = halving.next() {
                if !bad[part.clone()].contains(&true) {
                    settled.extend(part.map(|index| (index, false)));
                } else if let Refusal::Entry(index) = halving.refused(part) {
                    settled.push((index, true));
                }
            }
            prop_assert_eq!(settled, bad.iter().copied().enumerate().collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_bad_entry_among_a_thousand_takes_twenty_tries() {
        let mut halving = Halving::new(1000);
        let mut tries = 0;
        while let Some(part) = halving.next() {
            tries += 1;
            if part.contains(&617) {
                halving.refused(part);
            }
        }
        assert!(tries <= 20, "{tries} tries");
    }
}
