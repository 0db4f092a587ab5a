//! How much of what was refused is kept: bounds in messages and bytes, per device and in all.
//!
//! What the quarantine holds is handed in; here it is only decided what still fits, in the order in which it came. What does
//! not fit is not kept, and nothing older makes room for it: an operator looks for the first message that went wrong, not
//! for the last.
//!
//! So that a crowd cannot take all the room, the second half of it is shared out: the less is left, the less may a device have, and
//! each that has nothing may have one message as long as there is room at all.

use super::Usage;
use super::batch::{Accepted, Kept, Refused};
use super::config::Config;
use std::collections::HashMap;

/// A message that belongs in quarantine.
#[derive(Clone, Copy)]
pub(super) struct Suspect<'a> {
    pub(super) device_id: &'a str,
    pub(super) received_at_ms: i64,
    pub(super) reason: &'static str,
    pub(super) encoding: &'static str,
    pub(super) bytes: &'a [u8],
}

impl<'a> Suspect<'a> {
    /// A message that ingest accepted and the database does not.
    pub(super) fn accepted(accepted: &'a Accepted, reason: &'static str) -> Suspect<'a> {
        let Accepted { device_id, received_at_ms, encoding, bytes, .. } = accepted;
        Suspect { device_id, received_at_ms: *received_at_ms, reason, encoding, bytes }
    }

    /// A message that ingest refused.
    pub(super) fn refused(refused: &'a Refused) -> Suspect<'a> {
        let Refused { device_id, received_at_ms, reason, encoding, bytes, .. } = refused;
        Suspect { device_id, received_at_ms: *received_at_ms, reason, encoding, bytes }
    }
}

/// The bounds, from the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    all: Usage,
    device: Usage,
    /// Whether what is refused is counted by its device.
    counts: bool,
}

/// What the quarantine holds, for the devices of one batch and in all, and what it may hold.
pub(super) struct Room {
    bounds: Bounds,
    all: Usage,
    devices: HashMap<String, Usage>,
}

impl Bounds {
    /// For what comes out of the quarantine: nothing fits, and it was counted when it came.
    pub(super) const NOTHING: Bounds =
        Bounds { all: Usage { rows: 0, bytes: 0 }, device: Usage { rows: 0, bytes: 0 }, counts: false };

    /// As the settings say.
    pub(super) fn new(config: &Config) -> Bounds {
        let device = Usage { rows: config.quarantine_device_rows_max, bytes: config.quarantine_device_bytes_max };
        let all = Usage { rows: config.quarantine_rows_max, bytes: config.quarantine_bytes_max };
        Bounds { all, device, counts: true }
    }

    /// Whether what is refused is counted by its device.
    pub(super) fn count(&self) -> bool {
        self.counts
    }

    /// What a device may have, by what all have.
    fn part_of_device(&self, all: Usage) -> Usage {
        let part = |of_device: u64, max: u64, used: u64| {
            let (half, free) = (max / 2, max.saturating_sub(used));
            let shared = u128::from(of_device) * u128::from(free) / u128::from(half.max(1));
            if used <= half { of_device } else { u64::try_from(shared).unwrap_or(of_device).min(of_device) }
        };
        Usage {
            rows: part(self.device.rows, self.all.rows, all.rows),
            bytes: part(self.device.bytes, self.all.bytes, all.bytes),
        }
    }

    /// Whether not even an empty message fits.
    pub(super) fn is_full(&self, all: Usage) -> bool {
        with(all, 0, self.all).is_none()
    }
}

impl Room {
    /// `usage` is what it holds, by device, and under the empty name in all; of a device that is not named it holds nothing.
    pub(super) fn new(bounds: Bounds, usage: impl IntoIterator<Item = (String, Usage)>) -> Room {
        let mut devices: HashMap<_, _> = usage.into_iter().collect();
        Room { bounds, all: devices.remove("").unwrap_or_default(), devices }
    }

    /// Decides about the next message, and counts it if it fits.
    pub(super) fn admit(&mut self, device_id: &str, len: usize) -> Kept {
        let of_device = self.devices.get(device_id).copied().unwrap_or_default();
        let part = if of_device.rows == 0 { self.bounds.device } else { self.bounds.part_of_device(self.all) };
        let fits = with(self.all, len, self.bounds.all).zip(with(of_device, len, part));
        let Some((all, of_device)) = fits else {
            return Kept::OverBound;
        };
        self.all = all;
        self.devices.insert(device_id.to_owned(), of_device);
        Kept::Quarantined
    }
}

fn with(usage: Usage, len: usize, max: Usage) -> Option<Usage> {
    let more = Usage { rows: usage.rows.saturating_add(1), bytes: usage.bytes.saturating_add(len as u64) };
    (more.rows <= max.rows && more.bytes <= max.bytes).then_some(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds { all: Usage { rows: 3, bytes: 100 }, device: Usage { rows: 2, bytes: 60 }, counts: true }
    }

    #[test]
    fn a_device_fills_its_own_part_and_leaves_the_others_theirs() {
        let mut room = Room::new(bounds(), []);
        assert_eq!(room.admit("a", 1), Kept::Quarantined);
        assert_eq!(room.admit("a", 1), Kept::Quarantined);
        assert_eq!(room.admit("a", 1), Kept::OverBound);
        assert_eq!(room.admit("b", 1), Kept::Quarantined);
        assert_eq!(room.admit("c", 1), Kept::OverBound);
    }

    #[test]
    fn a_crowd_leaves_room_for_those_who_have_nothing() {
        let (all, device) = (Usage { rows: 10_000, bytes: 1 << 30 }, Usage { rows: 100, bytes: 1 << 20 });
        let mut room = Room::new(Bounds { all, device, counts: true }, []);
        for _ in 0..200 {
            (0..500).for_each(|attacker| {
                room.admit(&format!("attacker-{attacker}"), 100);
            });
        }
        assert!(room.all.rows < 9_500, "{}", room.all.rows);
        let kept = (0..500).filter(|other| room.admit(&format!("other-{other}"), 100) == Kept::Quarantined);
        assert_eq!(kept.count(), 500);
    }

    #[test]
    fn bytes_are_shared_out_as_messages_are() {
        let (all, device) = (Usage { rows: 1 << 30, bytes: 1_000_000 }, Usage { rows: 1 << 20, bytes: 10_000 });
        let mut room = Room::new(Bounds { all, device, counts: true }, []);
        for _ in 0..200 {
            (0..500).for_each(|attacker| {
                room.admit(&format!("attacker-{attacker}"), 1_000);
            });
        }
        assert!(room.all.bytes < 950_000, "{}", room.all.bytes);
        assert_eq!(room.admit("other", 10_000), Kept::Quarantined);
    }

    #[test]
    fn bytes_are_bounded_and_a_smaller_message_may_still_fit() {
        let usage = Usage { rows: 1, bytes: 50 };
        let mut room = Room::new(bounds(), [("a".to_owned(), usage), (String::new(), usage)]);
        assert_eq!(room.admit("a", 11), Kept::OverBound);
        assert_eq!(room.admit("a", 10), Kept::Quarantined);
        assert_eq!(room.admit("b", 41), Kept::OverBound);
        assert_eq!(room.admit("b", 40), Kept::Quarantined);
        assert!(bounds().is_full(room.all));
    }
}
