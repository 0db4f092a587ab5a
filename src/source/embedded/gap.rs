//! How much of a log was overwritten before it was read, by the places of what is read.

/// The reader of one log.
#[derive(Debug, Default)]
pub(super) struct Reader {
    next: Option<u64>,
}

impl Reader {
    /// Something is read at this place, counted from the log's beginning; gives how many before it were never read.
    pub(super) fn read(&mut self, place: u64) -> u64 {
        let missed = self.next.map_or(0, |next| place.saturating_sub(next));
        self.next = Some(place + 1);
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_places_was_missed() {
        let mut reader = Reader::default();
        assert_eq!([7, 8, 9, 20, 21].map(|place| reader.read(place)), [0, 0, 0, 10, 0]);
    }

    #[test]
    fn a_log_that_begins_anew_has_lost_nothing_that_is_known() {
        let mut reader = Reader::default();
        assert_eq!([7, 0, 1].map(|place| reader.read(place)), [0, 0, 0]);
    }
}
