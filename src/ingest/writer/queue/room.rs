//! How much of those that are behind a batch takes while live devices are there.
//!
//! A live message waits for the commit that is under way, and a commit costs something however little is in it: a sync, a round trip. What a
//! backlog adds to it may take a quarter of that. Where commits are quick that is little; where they are slow it is much, and to take
//! less would make the backlog pay for what the live ones do not gain. What a commit costs without much in it is tried now and then.
//!
//! A device that sends as it is acknowledged has no more waiting than its window, however little of it is taken. Where what waits grows all the
//! same, devices send at a pace of their own, and to take little would make them wait ever longer: then more is taken.

use std::time::Duration;

/// The least, and where it begins.
const ROWS_MIN: usize = 32;
/// The most.
const ROWS_MAX: usize = 4096;
/// What waits has grown when it is an eighth more than it was, and this.
const GROWN_BY: usize = 64;
/// Of so many batches one is the least, which tells what a commit costs by itself.
const TRIED_EVERY: u32 = 32;
/// The quickest one is forgotten slowly, so much of it with each commit: a disk or a network may become slower.
const FORGET: u32 = 256;

/// What commits have taught so far.
#[derive(Debug)]
pub(super) struct Room {
    rows: usize,
    quickest: Option<Duration>,
    batches: u32,
    /// The least that has waited since it grew last.
    least_waiting: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { rows: ROWS_MIN, quickest: None, batches: 0, least_waiting: 0 }
    }
}

impl Room {
    /// How many messages of those that are behind the next batch takes beside live ones, where so much waits in all.
    pub(super) fn rows(&mut self, waiting: usize) -> usize {
        self.least_waiting = self.least_waiting.min(waiting);
        if waiting > self.least_waiting + self.least_waiting / 8 + GROWN_BY {
            (self.least_waiting, self.rows) = (waiting, (self.rows * 2).min(ROWS_MAX));
        }
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(TRIED_EVERY) { ROWS_MIN } else { self.rows }
    }

    /// A commit took so long; `was_short`: it would have been larger but for live devices.
    pub(super) fn learn(&mut self, took: Duration, was_short: bool) {
        let quickest = self.quickest.map_or(took, |quickest| (quickest + quickest / FORGET).min(took));
        self.quickest = Some(quickest);
        if !was_short {
            return;
        }
        self.rows = if took <= quickest * 5 / 4 { self.rows + self.rows / 4 } else { self.rows - self.rows / 4 };
        self.rows = self.rows.clamp(ROWS_MIN, ROWS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a database whose commit takes so long, and so much more for each message; the mean after many commits.
    fn settled(fixed: Duration, row: Duration) -> usize {
        let mut room = Room::default();
        let mut taken = Vec::new();
        for _ in 0..4000 {
            let rows = room.rows(0);
            room.learn(fixed + row * u32::try_from(rows).unwrap(), true);
            taken.push(rows);
        }
        taken[3000..].iter().sum::<usize>() / 1000
    }

    #[test]
    fn a_backlog_adds_about_a_quarter_of_what_a_commit_takes_without_it() {
        let row = Duration::from_micros(10);
        let quick = settled(Duration::from_millis(1), row);
        assert!(
            (40..=90).contains(&quick),
            "with those that are the least it takes 1.3 ms, and may take 1.65: {quick}"
        );
        let slow = settled(Duration::from_millis(20), row);
        assert!((350..=700).contains(&slow), "five hundred take a quarter of the commit: {slow}");
    }

    /// It must not take what it has made of a commit for what a commit costs.
    #[test]
    fn it_does_not_creep_up() {
        let row = Duration::from_micros(10);
        let mut room = Room::default();
        for _ in 0..100_000 {
            let rows = u32::try_from(room.rows(0)).unwrap();
            room.learn(Duration::from_millis(1) + row * rows, true);
            assert!(room.rows < 300, "{room:?}");
        }
    }

    #[test]
    fn it_has_a_least_and_a_most() {
        let dear = settled(Duration::from_micros(10), Duration::from_millis(1));
        assert!((ROWS_MIN..=2 * ROWS_MIN).contains(&dear), "each message costs more than the commit: {dear}");
        assert!(settled(Duration::from_secs(1), Duration::ZERO) > ROWS_MAX * 9 / 10);
    }

    const FIXED: Duration = Duration::from_millis(1);
    const ROW: Duration = Duration::from_micros(8);

    /// A batch of what `room` allows out of what waits; gives how much it took, and the time.
    fn commit(room: &mut Room, waiting: usize) -> (usize, Duration) {
        let rows = room.rows(waiting).min(waiting);
        let took = FIXED + ROW * u32::try_from(rows).unwrap();
        room.learn(took, rows < waiting);
        (rows, took)
    }

    /// Fifty devices with a window of 32 each: what is acknowledged is sent again, and no more than that.
    #[test]
    fn beside_those_who_send_as_they_are_acknowledged_batches_stay_small() {
        let mut room = Room::default();
        let taken: Vec<usize> = (0..2000).map(|batch| commit(&mut room, (batch * 200).min(1600)).0).collect();
        assert!(taken[1000..].iter().all(|rows| *rows <= 150), "{:?}", &taken[1000..1100]);
    }

    #[test]
    fn where_what_waits_grows_more_is_taken() {
        let mut room = Room::default();
        let rows: Vec<usize> = (0..6).map(|batch| room.rows(batch * 400)).collect();
        assert_eq!(rows, [32, 64, 128, 256, 512, 1024]);
    }

    #[test]
    fn what_was_not_short_changes_the_measure_alone() {
        let mut room = Room::default();
        room.learn(Duration::from_secs(1), false);
        room.learn(Duration::from_millis(1), false);
        assert_eq!(room.rows(0), ROWS_MIN);
    }
}
