//! Which entries of a batch are new: the rule that a row is there exactly once, apart from any database.
//!
//! The entries are judged in their order, each as if it came alone after the one before. What the database knows is handed
//! in; nothing is read or written here.

use super::batch::{Entry, Kept, Outcome, Seen, Tag};
use super::quarantine::Suspect;
use std::collections::HashMap;

/// Counters that are used up, each with what used it.
#[derive(Default)]
pub(super) struct Known(HashMap<Place, Used>);

/// What used a counter up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Used {
    By(Tag),
    /// Retention has dropped what it was, if there was anything.
    Forgotten,
}

/// What is unique.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    device: i64,
    key_version: u8,
    counter: i64,
}

/// What is to be done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Store it: its counter is new.
    Store,
    /// Nothing: the same is stored.
    Duplicate,
    /// Quarantine it: its counter is another's.
    Replay,
    /// Quarantine it: nobody can tell whether its counter is another's.
    Forgotten,
    /// Quarantine it for the reason that it brings.
    Refuse,
}

/// Judges a batch, one judgement for each entry; `known` is what was stored before it.
pub(super) fn judge(batch: &[Entry], mut known: Known) -> Vec<Judgement> {
    let judge_next = |entry: &Entry| match entry {
        Entry::Accepted(accepted) => match known.use_up(&accepted.seen) {
            None => Judgement::Store,
            Some(Used::By(tag)) if tag == accepted.seen.tag => Judgement::Duplicate,
            Some(Used::By(_)) => Judgement::Replay,
            Some(Used::Forgotten) => Judgement::Forgotten,
        },
        Entry::Refused(refused) if refused.unless_stored.is_some_and(|seen| known.holds(&seen)) => Judgement::Duplicate,
        Entry::Refused(_) => Judgement::Refuse,
    };
    batch.iter().map(judge_next).collect()
}

impl Judgement {
    /// What goes into quarantine by this judgement, if anything.
    pub(super) fn suspect(self, entry: &Entry) -> Option<Suspect<'_>> {
        match (self, entry) {
            (Judgement::Replay | Judgement::Forgotten, Entry::Accepted(accepted)) => {
                Some(Suspect::accepted(accepted, "replayed"))
            }
            (Judgement::Refuse, Entry::Refused(refused)) => Some(Suspect::refused(refused)),
            _ => None,
        }
    }
}

/// The outcomes of what was judged; `kept` says, for each suspect in their order, whether the quarantine has it.
pub(super) fn outcomes(judged: &[Judgement], kept: Vec<Kept>) -> Vec<Outcome> {
    let mut kept = kept.into_iter();
    let mut next = || kept.next().expect("each suspect was either admitted or not");
    let outcome = |judgement: &Judgement| match judgement {
        Judgement::Store => Outcome::Stored,
        Judgement::Duplicate => Outcome::Duplicate,
        Judgement::Replay => Outcome::Replayed(next()),
        Judgement::Forgotten => Outcome::Forgotten(next()),
        Judgement::Refuse => Outcome::Refused(next()),
    };
    judged.iter().map(outcome).collect()
}

impl Known {
    /// Notes that this counter is used up, and by which tag.
    pub(super) fn insert(&mut self, seen: Seen) {
        self.0.insert(Place::from(&seen), Used::By(seen.tag));
    }

    /// Notes that this counter is used up, and that nobody knows by what.
    pub(super) fn insert_forgotten(&mut self, seen: Seen) {
        self.0.insert(Place::from(&seen), Used::Forgotten);
    }

    /// Uses a counter up; answers what used it before, if anything did.
    fn use_up(&mut self, seen: &Seen) -> Option<Used> {
        let mut before = None;
        self.0.entry(Place::from(seen)).and_modify(|used| before = Some(*used)).or_insert(Used::By(seen.tag));
        before
    }

    fn holds(&self, seen: &Seen) -> bool {
        self.0.get(&Place::from(seen)) == Some(&Used::By(seen.tag))
    }
}

impl From<&Seen> for Place {
    fn from(seen: &Seen) -> Place {
        Place { device: seen.device, key_version: seen.key_version, counter: seen.counter }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{accepted, refused, seen};
    use super::*;

    #[test]
    fn a_counter_is_used_up_once_within_a_batch() {
        let batch = [
            accepted(seen(1, 7, b"a")),
            accepted(seen(1, 7, b"a")),
            accepted(seen(1, 7, b"b")),
            accepted(seen(2, 7, b"b")),
        ];
        let judged = judge(&batch, Known::default());
        assert_eq!(judged, [Judgement::Store, Judgement::Duplicate, Judgement::Replay, Judgement::Store]);
    }

    #[test]
    fn what_is_known_is_not_stored_again() {
        let mut known = Known::default();
        known.insert(seen(1, 7, b"a"));
        let judged = judge(&[accepted(seen(1, 7, b"b")), accepted(seen(1, 7, b"a"))], known);
        assert_eq!(judged, [Judgement::Replay, Judgement::Duplicate]);
    }

    #[test]
    fn what_is_forgotten_is_neither_stored_nor_a_duplicate() {
        let mut known = Known::default();
        known.insert_forgotten(seen(1, 7, b""));
        let judged = judge(&[accepted(seen(1, 7, b"")), refused("stale", Some(seen(1, 7, b"")))], known);
        assert_eq!(judged, [Judgement::Forgotten, Judgement::Refuse]);
    }

    #[test]
    fn a_refusal_is_a_duplicate_only_of_what_came_before_it() {
        let stale = || refused("stale", Some(seen(1, 7, b"a")));
        let batch = [stale(), accepted(seen(1, 7, b"a")), stale(), refused("stale", Some(seen(1, 7, b"b")))];
        let judged = judge(&batch, Known::default());
        assert_eq!(judged, [Judgement::Refuse, Judgement::Store, Judgement::Duplicate, Judgement::Refuse]);
    }
}
