//! Who may get what the gateway publishes of its own: while nobody may, it is not made.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::ingest::Wanted;
use crate::mqtt::topic::Filter;

/// Which of it a filter can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interest {
    /// `readings/{device}`, as far as the filter's first level tells.
    readings: bool,
    /// `devices/{device}/receipts`.
    receipts: bool,
}

impl Interest {
    /// That of a filter.
    pub(super) fn of(filter: &Filter) -> Self {
        let readings = matches!(filter.levels().next(), Some("readings" | "+" | "#"));
        Interest { readings, receipts: reaches_receipts(filter) }
    }

    /// Whether it can match any of it.
    pub(super) fn is_some(self) -> bool {
        self.readings || self.receipts
    }
}

fn reaches_receipts(filter: &Filter) -> bool {
    let levels: Vec<&str> = filter.levels().take(LEVELS_MAX).collect();
    let (devices, receipts) = (["devices", "+"], ["receipts", "+"]);
    match levels[..] {
        ["#"] => true,
        [first, "#"] | [first, _, "#"] => devices.contains(&first),
        // What ends in `#` matches the level above it too [MQTT 5 section 4.7.1.2].
        [first, _, last] | [first, _, last, "#"] => devices.contains(&first) && receipts.contains(&last),
        _ => false,
    }
}

/// One more than the longest that can match.
const LEVELS_MAX: usize = 5;

/// How many subscriptions have which interest, and for others to see whether any has.
#[derive(Default)]
pub(super) struct Interests {
    readings: usize,
    receipts: usize,
    wanted: Wanted,
}

impl Interests {
    /// True while somebody may get it.
    pub(super) fn wanted(&self) -> Wanted {
        self.wanted.clone()
    }

    /// A subscription came (1) or went (-1).
    pub(super) fn count(&mut self, Interest { readings, receipts }: Interest, change: isize) {
        let Wanted { readings: readings_wanted, receipts: receipts_wanted } = &self.wanted;
        count(&mut self.readings, readings_wanted, change * isize::from(readings));
        count(&mut self.receipts, receipts_wanted, change * isize::from(receipts));
    }
}

fn count(subscriptions: &mut usize, wanted: &AtomicBool, change: isize) {
    *subscriptions = subscriptions.saturating_add_signed(change);
    wanted.store(*subscriptions > 0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::topic::Topic;

    fn any_filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["devices", "pump", "receipts", "readings", "+", ""]);
        (prop::collection::vec(level, 1..6), any::<bool>())
            .prop_map(|(levels, all_below)| levels.join("/") + if all_below { "/#" } else { "" })
    }

    proptest! {
        /// Against the filter itself, and the names in it.
        #[test]
        fn receipts_are_wanted_by_who_can_get_them(text in any_filter()) {
            prop_assume!(!text.is_empty());
            let filter = Filter::new(text.as_str()).unwrap();
            let topics = ["devices/pump/receipts", "devices/devices/receipts", "devices/receipts/receipts",
                "devices/readings/receipts", "devices//receipts"];
            let matches = topics.iter().any(|topic| filter.matches(&Topic::new(*topic).unwrap()));
            prop_assert_eq!(Interest::of(&filter).receipts, matches, "{}", text);
        }
    }

    #[test]
    fn a_filter_for_something_else_wants_nothing() {
        for text in
            ["devices/+/status", "devices/pump/commands/#", "devices/+/receipts/more", "devices", "a/b/receipts"]
        {
            let interest = Interest::of(&Filter::new(text).unwrap());
            assert_eq!(interest, Interest { readings: false, receipts: false }, "{text}");
        }
        let all = Interest::of(&Filter::new("#").unwrap());
        assert_eq!(all, Interest { readings: true, receipts: true });
        let shared = Interest::of(&Filter::new("$share/group/devices/+/receipts").unwrap());
        assert_eq!(shared, Interest { readings: false, receipts: true });
    }

    #[test]
    fn it_is_wanted_until_the_last_has_gone() {
        let (mut interests, receipts) = (Interests::default(), Interest { readings: false, receipts: true });
        let Wanted { readings: readings_wanted, receipts: receipts_wanted } = interests.wanted();
        let wanted = || (readings_wanted.load(Ordering::Relaxed), receipts_wanted.load(Ordering::Relaxed));
        for (change, wants) in [(1, true), (1, true), (-1, true), (-1, false)] {
            interests.count(receipts, change);
            assert_eq!(wanted(), (false, wants));
        }
    }
}
