//! What a fleet has sent and what came back, counted as it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::fault::{Expected, Fault};

/// Clones count together.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

/// The counts of one moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages and logins by what went wrong with them and what must become of them.
    pub cells: BTreeMap<(Option<Fault>, Expected), Cell>,
    /// Readings that were made into messages.
    pub readings: u64,
    /// Devices that have been connected, ever.
    pub heard: u64,
    /// Readings that found no room in the outbox and were dropped at the device.
    pub held_back: u64,
    /// Messages that were sent and are not acknowledged.
    pub unacknowledged: u64,
    /// Connections that stand.
    pub connected: u64,
    /// Connections that were made, ever.
    pub connections: u64,
    /// Attempts to connect or to log in that failed, though nothing was wrong with them.
    pub failed_attempts: u64,
    /// Connections that ended without being asked to.
    pub lost_connections: u64,
    /// Answers that are not those that the specification gives.
    pub surprises: u64,
    /// What the first of them were.
    pub first_surprises: Vec<String>,
    /// What came on the topic of receipts.
    pub receipts: Receipts,
    /// Why the last attempt failed, or the last connection was lost.
    pub last_trouble: Option<String>,
}

/// What came on the devices' topics of receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Receipts {
    /// Those that the gateway had sealed.
    pub believed: u64,
    /// Those that were damaged, or forged.
    pub ignored: u64,
    /// Messages that a receipt said were refused, by the reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// What became of messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Made and put into an outbox; logins: tried.
    pub made: u64,
    /// Acknowledged, or named by a receipt if that is what they are kept for, whatever it says of them; logins: refused.
    pub settled: u64,
    /// Sent once more, after a connection was lost or because no receipt came.
    pub sent_again: u64,
}

/// More would not be read.
const SURPRISES_KEPT: usize = 10;

impl Tally {
    /// The counts of this moment.
    pub fn counts(&self) -> Counts {
        self.locked().clone()
    }

    /// A quicker look: what is acknowledged, and what is sent and is not.
    pub fn acknowledged(&self) -> (u64, u64) {
        let counts = self.locked();
        (counts.settled(), counts.unacknowledged)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.locked());
    }

    /// Counts are whole after each step.
    fn locked(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Messages that were acknowledged.
    pub fn settled(&self) -> u64 {
        self.messages().map(|cell| cell.settled).sum()
    }

    /// Messages that were put into an outbox.
    pub fn made(&self) -> u64 {
        self.messages().map(|cell| cell.made).sum()
    }

    /// How often a message was sent once more.
    pub fn sent_again(&self) -> u64 {
        self.messages().map(|cell| cell.sent_again).sum()
    }

    /// All cells of one expectation together.
    pub fn of(&self, expected: Expected) -> Cell {
        let cells = self.cells.iter().filter(|((_, of), _)| *of == expected);
        cells.fold(Cell::default(), |sum, (_, cell)| Cell {
            made: sum.made + cell.made,
            settled: sum.settled + cell.settled,
            sent_again: sum.sent_again + cell.sent_again,
        })
    }

    pub(super) fn cell(&mut self, fault: Option<Fault>, expected: Expected) -> &mut Cell {
        self.cells.entry((fault, expected)).or_default()
    }

    pub(super) fn surprise(&mut self, what: impl FnOnce() -> String) {
        self.surprises += 1;
        if self.first_surprises.len() < SURPRISES_KEPT {
            self.first_surprises.push(what());
        }
    }

    fn messages(&self) -> impl Iterator<Item = &Cell> {
        let message = |(_, expected): &(Option<Fault>, Expected)| *expected != Expected::WrongSignature;
        self.cells.iter().filter(move |(kind, _)| message(kind)).map(|(_, cell)| cell)
    }
}
