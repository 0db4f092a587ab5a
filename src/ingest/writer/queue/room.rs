//! How much of those that are behind a batch takes while live devices are there.
//!
//! A live message waits for the commit that is under way, and a commit costs something however little is in it: a sync, a round trip. What a
//! backlog adds to it may take as long as that again. Where commits are quick that is little; where they are slow it is much, and to take
//! less would make the backlog pay for what the live ones do not gain.

use std::time::Duration;

/// The least, and where it begins.
const ROWS_MIN: usize = 32;
/// The most.
const ROWS_MAX: usize = 4096;
/// A commit may take so many times as long as the quickest one.
const TIMES: u32 = 2;
/// The quickest one is forgotten slowly, a hundredth with each commit: a disk or a network may become slower.
const FORGET: u32 = 100;

/// What commits have taught so far.
#[derive(Debug)]
pub(super) struct Room {
    rows: usize,
    quickest: Option<Duration>,
}

impl Default for Room {
    fn default() -> Self {
        Room { rows: ROWS_MIN, quickest: None }
    }
}

impl Room {
    /// How many messages of those that are behind the next batch takes beside live ones.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// A commit took so long; `was_short`: it would have been larger but for live devices.
    pub(super) fn learn(&mut self, took: Duration, was_short: bool) {
        let quickest = self.quickest.map_or(took, |quickest| (quickest + quickest / FORGET).min(took));
        self.quickest = Some(quickest);
        if !was_short {
            return;
        }
        self.rows = if took <= quickest * TIMES { self.rows + self.rows / 2 } else { self.rows / 2 };
        self.rows = self.rows.clamp(ROWS_MIN, ROWS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database whose commit takes so long, and so much more for each message.
    fn settled(fixed: Duration, row: Duration) -> usize {
        let mut room = Room::default();
        let mut last = Vec::new();
        for batch in 0..400 {
            // Now and then there is nothing but a live message.
            let (rows, was_short) = if batch % 10 == 0 { (1, false) } else { (room.rows() as u32, true) };
            room.learn(fixed + row * rows, was_short);
            last.push(room.rows());
        }
        last[300..].iter().sum::<usize>() / 100
    }

    #[test]
    fn a_backlog_adds_about_as_much_as_a_commit_takes_without_it() {
        let row = Duration::from_micros(10);
        let quick = settled(Duration::from_millis(1), row);
        assert!((60..=110).contains(&quick), "a hundred messages take as long as the commit: {quick}");
        let slow = settled(Duration::from_millis(20), row);
        assert!((1200..=2200).contains(&slow), "two thousand do: {slow}");
    }

    #[test]
    fn it_has_a_least_and_a_most() {
        assert_eq!(settled(Duration::from_micros(10), Duration::from_millis(1)), ROWS_MIN);
        assert_eq!(settled(Duration::from_secs(1), Duration::ZERO), ROWS_MAX);
    }

    #[test]
    fn what_was_not_short_changes_the_measure_alone() {
        let mut room = Room::default();
        room.learn(Duration::from_secs(1), false);
        room.learn(Duration::from_millis(1), false);
        assert_eq!(room.rows(), ROWS_MIN);
    }
}
