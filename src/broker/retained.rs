//! Retained messages: the last one of each topic, found by topic and by filter.
//!
//! The tree of topics is kept as one ordered set in which `/` comes before every other character. So a topic stands right before
//! all that is below it, as in a tree with a node a level, but a topic costs one pointer instead of a node for each of its levels.
//! A filter is answered by a [`Walk`]: it seeks from a branch that matches to the next one, and a branch that does not match is
//! passed over whole. Between two steps it holds no more than the place from which it goes on, so that a filter that matches the
//! whole fleet is answered bit by bit while others publish.
//!
//! Only the gateway's own statuses are retained yet, so there are as many as there are devices.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::Message;
use crate::mqtt::topic::{Filter, Topic};

/// How many branches one step of a walk looks at, at most: a filter that matches nothing must not hold others up.
const SEEKS_MAX: usize = 64;

/// The last message of each topic.
#[derive(Default)]
pub(super) struct Retained {
    messages: BTreeSet<Kept>,
    changes: Change,
}

/// A number that grows with each message that is kept.
pub(super) type Change = u64;

/// The way of one filter through all topics.
pub(super) struct Walk {
    /// The first place that was not looked at yet; none: the walk is over.
    from: Option<String>,
    /// What was kept before is passed over.
    since: Change,
}

/// What a step of a walk comes to.
#[derive(Debug)]
pub(super) enum Step {
    /// The next message that the filter matches.
    Found(Arc<Message>),
    /// None yet, and the walk goes on.
    Pause,
    /// There are no more.
    End,
}

impl Retained {
    /// Keeps a message in place of an earlier one of its topic; an empty one only takes that away [MQTT-3.3.1-6] [MQTT-3.3.1-7].
    pub(super) fn insert(&mut self, message: Arc<Message>) {
        self.changes += 1;
        let kept = Kept { message, change: self.changes };
        if kept.message.payload.is_empty() {
            self.messages.remove(&kept);
        } else {
            self.messages.replace(kept);
        }
    }

    /// When what is kept of a topic was kept.
    pub(super) fn change_of(&self, topic: &Topic) -> Option<Change> {
        let topic: &dyn Placed = &topic.as_str();
        self.messages.get(topic).map(|kept| kept.change)
    }

    /// Goes on with a walk of `filter`.
    pub(super) fn step(&self, filter: &Filter, walk: &mut Walk) -> Step {
        for _ in 0..SEEKS_MAX {
            let Some(from) = &walk.from else { return Step::End };
            let Some(Kept { message, change }) = self.first_from(from) else {
                walk.from = None;
                return Step::End;
            };
            match place(filter, &message.topic) {
                Place::Match => {
                    walk.from = Some(below(&message.topic, ""));
                    if *change >= walk.since {
                        return Step::Found(message.clone());
                    }
                }
                Place::Before(from) => walk.from = Some(from),
                Place::Behind => walk.from = None,
            }
        }
        Step::Pause
    }

    fn first_from(&self, from: &str) -> Option<&Kept> {
        let from: &dyn Placed = &from;
        self.messages.range::<dyn Placed + '_, _>((Bound::Included(from), Bound::Unbounded)).next()
    }
}

impl Walk {
    /// Of everything.
    pub(super) fn new(filter: &Filter) -> Self {
        Self::since(filter, 0)
    }

    /// Of what was kept with this change and after it.
    pub(super) fn since(filter: &Filter, since: Change) -> Self {
        let named: Vec<&str> = filter.levels().take_while(|level| !matches!(*level, ANY_LEVEL | ALL_BELOW)).collect();
        Walk { from: Some(named.join("/")), since }
    }
}

/// Where a topic stands for a filter.
enum Place {
    /// The filter matches it.
    Match,
    /// What the filter matches comes later, and not before this place.
    Before(String),
    /// Nothing more comes that the filter matches.
    Behind,
}

fn place(filter: &Filter, topic: &Topic) -> Place {
    let mut names = topic.levels();
    let mut passed: Option<usize> = None;
    for wanted in filter.levels() {
        let above = passed.map(|end| &topic[..end]);
        let hidden = above.is_none() && topic.is_dollar();
        match (wanted, names.next()) {
            // [MQTT-4.7.2-1]
            (ANY_LEVEL | ALL_BELOW, Some(name)) if hidden => return Place::Before(behind(name)),
            (ALL_BELOW, _) => return Place::Match,
            (ANY_LEVEL, None) => return Place::Before(below(topic, "")),
            (wanted, None) => return Place::Before(below(topic, wanted)),
            (wanted, Some(name)) => match name.cmp(wanted) {
                Ordering::Less if wanted != ANY_LEVEL => {
                    return Place::Before(above.map_or_else(|| wanted.to_owned(), |above| below(above, wanted)));
                }
                Ordering::Greater if wanted != ANY_LEVEL => {
                    return above.map_or(Place::Behind, |above| Place::Before(behind(above)));
                }
                _ => passed = Some(passed.map_or(0, |end| end + 1) + name.len()),
            },
        }
    }
    match (names.next(), passed) {
        (Some(_), Some(end)) => Place::Before(behind(&topic[..end])),
        _ => Place::Match,
    }
}

/// The first place below a topic, or that of one level below it.
fn below(topic: &str, level: &str) -> String {
    format!("{topic}/{level}")
}

/// The first place behind all that is below a topic: no topic holds U+0000, which `/` is ordered as.
fn behind(topic: &str) -> String {
    format!("{topic}\u{1}")
}

const ANY_LEVEL: &str = "+";
const ALL_BELOW: &str = "#";

/// A message, in its place among the others.
struct Kept {
    message: Arc<Message>,
    change: Change,
}

/// What has a place in the order of topics: a message, or a text to seek from.
trait Placed {
    fn topic(&self) -> &str;
}

impl Placed for Kept {
    fn topic(&self) -> &str {
        &self.message.topic
    }
}

impl Placed for &str {
    fn topic(&self) -> &str {
        self
    }
}

impl<'a> Borrow<dyn Placed + 'a> for Kept {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |byte: u8| if byte == b'/' { 0 } else { byte };
        self.topic().bytes().map(order).cmp(other.topic().bytes().map(order))
    }
}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.topic() == other.topic()
    }
}

impl Eq for dyn Placed + '_ {}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        let this: &dyn Placed = self;
        this.cmp(other)
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.topic() == other.topic()
    }
}

impl Eq for Kept {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::QoS;

    fn retained(topics: &[&str]) -> Retained {
        let mut retained = Retained::default();
        topics.iter().for_each(|topic| retained.insert(message(topic, "x")));
        retained
    }

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        let payload = Bytes::from_static(payload.as_bytes());
        Arc::new(Message::plain(Topic::new(topic).unwrap(), payload, QoS::AtLeastOnce))
    }

    fn filter(text: &str) -> Filter {
        Filter::new(text).unwrap()
    }

    /// What a filter finds, and how many steps that takes.
    fn walked(retained: &Retained, filter: &Filter) -> (Vec<String>, usize) {
        let mut walk = Walk::new(filter);
        let mut found = Vec::new();
        for steps in 1.. {
            match retained.step(filter, &mut walk) {
                Step::Found(message) => found.push(message.topic.as_str().to_owned()),
                Step::Pause => {}
                Step::End => return (found, steps),
            }
        }
        unreachable!("a walk ends")
    }

    #[test]
    fn the_last_message_of_a_topic_is_kept_and_an_empty_one_takes_it_away() {
        let mut retained = retained(&["a"]);
        retained.insert(message("a", "y"));
        let mut walk = Walk::new(&filter("a"));
        let Step::Found(found) = retained.step(&filter("a"), &mut walk) else { panic!("one message") };
        assert_eq!(&found.payload[..], b"y");
        retained.insert(message("a", ""));
        assert!(retained.messages.is_empty(), "[MQTT-3.3.1-6]");
    }

    #[test]
    fn branches_that_do_not_match_are_passed_over_whole() {
        let mut topics: Vec<String> = (0..1000).map(|number| format!("devices/d{number:03}/status")).collect();
        topics.extend((0..1000).map(|number| format!("rooms/{number}/light")));
        let retained = retained(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let (found, steps) = walked(&retained, &filter("devices/+/status"));
        assert_eq!((found.len(), steps), (1000, 1001));
        assert_eq!(walked(&retained, &filter("devices/d500/status")), (vec!["devices/d500/status".to_owned()], 2));
        assert_eq!(walked(&retained, &filter("+/7/light")), (vec!["rooms/7/light".to_owned()], 2));
        assert_eq!(walked(&retained, &filter("devices/+/other")).0, [""; 0]);
    }

    #[test]
    fn a_walk_that_finds_nothing_pauses() {
        let topics: Vec<String> = (0..1000).map(|number| format!("devices/d{number}/status")).collect();
        let retained = retained(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let (found, steps) = walked(&retained, &filter("devices/+/none"));
        assert!(found.is_empty() && steps >= 1000 / SEEKS_MAX, "{steps} steps");
    }

    #[test]
    fn a_walk_since_a_change_passes_over_what_is_older() {
        let mut retained = retained(&["a/1", "a/2", "a/3"]);
        let since = retained.change_of(&Topic::new("a/2").unwrap()).unwrap();
        retained.insert(message("a/1", "y"));
        let filter = filter("a/+");
        let mut walk = Walk::since(&filter, since + 1);
        for found in ["a/1", "a/3"] {
            assert!(
                matches!(retained.step(&filter, &mut walk), Step::Found(message) if message.topic.as_str() == found)
            );
        }
        assert!(matches!(retained.step(&filter, &mut walk), Step::End));
    }

    #[test]
    fn what_comes_and_goes_during_a_walk_does_not_disturb_it() {
        let mut retained = retained(&["a/1", "a/2", "a/3"]);
        let filter = filter("a/+");
        let mut walk = Walk::new(&filter);
        assert!(matches!(retained.step(&filter, &mut walk), Step::Found(found) if found.topic.as_str() == "a/1"));
        retained.insert(message("a/1", ""));
        retained.insert(message("a/2", ""));
        retained.insert(message("a/4", "x"));
        for left in ["a/3", "a/4"] {
            assert!(matches!(retained.step(&filter, &mut walk), Step::Found(found) if found.topic.as_str() == left));
        }
        assert!(matches!(retained.step(&filter, &mut walk), Step::End));
        assert!(matches!(retained.step(&filter, &mut walk), Step::End), "an end stays one");
    }

    fn levels(wildcards: &'static [&'static str]) -> impl Strategy<Value = String> {
        // `!` comes before `/` among the bytes, U+0001 before all, and one name begins another.
        let level = prop::sample::select([&["", "a", "ab", "a!", "a\u{1}", "b", "$x"], wildcards].concat());
        prop::collection::vec(level, 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn a_walk_finds_what_the_filter_matches_each_once(
            topics in prop::collection::btree_set(levels(&[]), 0..40),
            wanted in levels(&["+", "+", "#"]),
        ) {
            let Ok(filter) = Filter::new(wanted.as_str()) else { return Ok(()) };
            let topics: Vec<Topic> = topics.iter().filter_map(|text| Topic::new(text.as_str()).ok()).collect();
            let retained = retained(&topics.iter().map(Topic::as_str).collect::<Vec<_>>());
            let mut found = walked(&retained, &filter).0;
            found.sort_unstable();
            let matched: Vec<&str> =
                topics.iter().filter(|topic| filter.matches(topic)).map(Topic::as_str).collect();
            prop_assert_eq!(found, matched);
        }
    }
}
