//! What is found, what it costs, and what is left.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::mqtt::corpus::{mutate, mutations, seeds, text};

impl Subscriber for u32 {
    type Key = u32;

    fn key(&self) -> u32 {
        *self
    }
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn found(tree: &Tree<u32>, topic: &str) -> Vec<u32> {
    let mut found = Vec::new();
    tree.matches(&Topic::new(topic).unwrap(), |subscriber| found.push(*subscriber));
    found.sort_unstable();
    found
}

#[test]
fn a_branch_without_subscribers_is_cut_off() {
    let mut tree = Tree::default();
    assert!(tree.insert(&filter("devices/a/commands/#"), 1));
    assert!(tree.insert(&filter("devices/+/status"), 1));
    assert!(!tree.insert(&filter("devices/+/status"), 1), "[MQTT-3.8.4-3]");
    assert!(tree.remove(&filter("devices/a/commands/#"), 1));
    assert!(!tree.remove(&filter("devices/a/commands/#"), 1));
    assert!(tree.remove(&filter("devices/+/status"), 1));
    assert!(tree.root.is_empty());
}

#[test]
fn what_is_not_kept_is_gone_at_every_level() {
    let mut tree = Tree::default();
    for text in ["#", "+/a", "readings/#", "readings/a", "x"] {
        tree.insert(&filter(text), 1);
        tree.insert(&filter(text), 2);
    }
    let mut removed = 0;
    tree.retain(|subscriber| {
        removed += u32::from(*subscriber == 1);
        *subscriber == 2
    });
    assert_eq!(removed, 5);
    assert_eq!(found(&tree, "readings/a"), [2, 2, 2, 2]);
    tree.retain(|_| false);
    assert!(tree.root.is_empty());
}

#[test]
fn wildcards_of_the_first_level_do_not_match_dollar_topics() {
    let mut tree = Tree::default();
    tree.insert(&filter("#"), 1);
    tree.insert(&filter("+/broker"), 2);
    tree.insert(&filter("$SYS/#"), 3);
    assert_eq!(found(&tree, "$SYS/broker"), [3]); // [MQTT-4.7.2-1]
    assert_eq!(found(&tree, "x/broker"), [1, 2]);
}

/// How many nodes a topic reaches.
fn visited<S: Subscriber>(tree: &Tree<S>, topic: &str) -> usize {
    let topic = Topic::new(topic).unwrap();
    let mut count = 0;
    tree.root.visit(topic.levels(), topic.is_dollar(), &mut |_, _| count += 1);
    count
}

/// How many nodes there are, and for how many branches and subscribers memory is held.
#[derive(Debug, Default, PartialEq, Clone, Copy)]
struct Size {
    nodes: usize,
    places: usize,
}

impl Size {
    fn of<S: Subscriber>(tree: &Tree<S>) -> Size {
        let mut size = Size::default();
        size.add(&tree.root);
        size
    }

    fn add<S: Subscriber>(&mut self, node: &Node<S>) {
        self.nodes += 1;
        self.places += node.here.capacity() + node.below.capacity();
        if let Some(branch) = &node.any {
            self.add(branch);
        }
        match &node.children {
            Children::None => {}
            Children::One(only) => self.add(&only.1),
            Children::Many(table) => {
                self.places += table.capacity();
                table.values().for_each(|branch| self.add(branch));
            }
        }
    }
}

const OWN_TOPICS: [u32; 2] = [10, 100_000];

fn own_commands(device: u32) -> Filter {
    filter(&format!("devices/device-{device:06}/commands/#"))
}

#[test]
fn a_topic_reaches_as_many_nodes_among_a_hundred_thousand_filters_as_among_ten() {
    let reached = OWN_TOPICS.map(|devices| {
        let mut tree = Tree::default();
        (0..devices).for_each(|device| assert!(tree.insert(&own_commands(device), device)));
        tree.insert(&filter("readings/#"), 0);
        tree.insert(&filter("devices/+/status"), 0);
        assert_eq!(found(&tree, "devices/device-000007/commands/stop"), [7]);
        [
            "devices/device-000007/commands/stop",
            "devices/device-000007/status",
            "readings/device-000007",
            "none/of/them",
        ]
        .map(|topic| visited(&tree, topic))
    });
    // The root, `devices`, and below it the device's branch and that of `+`; the first has `commands` too, the second `status`.
    assert_eq!(reached[0], [5, 5, 2, 1]);
    assert_eq!(reached[0], reached[1]);
}

#[test]
fn filters_that_begin_alike_and_end_elsewhere_are_not_visited() {
    for count in OWN_TOPICS {
        let mut tree = Tree::default();
        for number in 0..count {
            tree.insert(&filter(&format!("+/+/+/{number}")), number);
            tree.insert(&filter(&format!("a/b/c/{number}/#")), number);
        }
        // Three levels, each by its name and by `+`, and the two ends.
        assert_eq!(visited(&tree, "a/b/c/7"), 1 + 3 + 3 + 2);
        assert_eq!(visited(&tree, "a/b/c/none"), 1 + 3 + 3);
        assert_eq!(found(&tree, "a/b/c/7"), [7, 7]);
    }
}

#[test]
fn wildcards_in_all_combinations_are_visited_at_most_two_a_level() {
    const LEVELS: u32 = 10;
    let mut tree = Tree::default();
    for combination in 0..1u32 << LEVELS {
        let levels: Vec<&str> =
            (0..LEVELS).map(|level| if combination >> level & 1 == 1 { "+" } else { "a" }).collect();
        tree.insert(&filter(&levels.join("/")), combination);
    }
    (0..100_000).for_each(|number| assert!(tree.insert(&filter(&format!("+/+/b/{number}")), number)));
    let topic = ["a"; LEVELS as usize].join("/");
    assert_eq!(found(&tree, &topic).len(), 1 << LEVELS);
    assert_eq!(visited(&tree, &topic), (1 << (LEVELS + 1)) - 1);
}

#[test]
fn one_sessions_wildcards_reach_no_more_nodes_than_they_have_levels() {
    let mut tree = Tree::default();
    let all = crate::mqtt::topic::LEVELS_MAX;
    for plus in 0..100 {
        let levels: Vec<&str> = (0..all).map(|level| if level == plus { "+" } else { "a" }).collect();
        tree.insert(&filter(&levels.join("/")), plus as u32);
    }
    let nodes = Size::of(&tree).nodes;
    assert!(nodes <= 1 + 100 * all);
    assert_eq!(visited(&tree, &["a"; 200].join("/")), nodes);
}

#[test]
fn what_is_unsubscribed_is_freed() {
    let mut tree = Tree::default();
    let devices = OWN_TOPICS[1];
    (0..10).for_each(|device| assert!(tree.insert(&own_commands(device), device)));
    let few = Size::of(&tree);
    (10..devices).for_each(|device| assert!(tree.insert(&own_commands(device), device)));
    (0..devices).for_each(|device| assert!(tree.insert(&filter("readings/#"), device)));
    assert_eq!(Size::of(&tree).nodes, 3 + 2 * devices as usize);
    (0..devices).rev().for_each(|device| assert!(tree.remove(&filter("readings/#"), device)));
    (10..devices).for_each(|device| assert!(tree.remove(&own_commands(device), device)));
    let left = Size::of(&tree);
    assert_eq!(left.nodes, few.nodes);
    assert!(left.places <= 2 * few.places, "{left:?} of {few:?}");
    (0..10).for_each(|device| assert!(tree.remove(&own_commands(device), device)));
    assert_eq!(Size::of(&tree), Size { nodes: 1, places: 0 });
}

/// Counts how often somebody asks who it is.
struct Asked<'c>(u32, &'c Cell<usize>);

impl Subscriber for Asked<'_> {
    type Key = u32;

    fn key(&self) -> u32 {
        self.1.set(self.1.get() + 1);
        self.0
    }
}

#[test]
fn a_fleet_that_shares_a_filter_and_goes_at_once_is_not_searched_for_each() {
    let (asked, sessions) = (Cell::new(0), 50_000);
    let mut tree = Tree::default();
    let readings = filter("readings/#");
    (0..sessions).for_each(|session| assert!(tree.insert(&readings, Asked(session, &asked))));
    (0..sessions).for_each(|session| assert!(!tree.insert(&readings, Asked(session, &asked))));
    (0..sessions).for_each(|session| assert!(tree.remove(&readings, session)));
    assert!(asked.get() < 10 * sessions as usize, "{} steps for {sessions} sessions", asked.get());
    assert!(tree.root.is_empty());
}

fn levels(wildcards: &'static [&'static str]) -> impl Strategy<Value = String> {
    let level = prop::sample::select([&["", "a", "b", "$x"], wildcards].concat());
    prop::collection::vec(level, 1..5).prop_map(|levels| levels.join("/"))
}

/// The lines of the corpus: a verdict about one or two words, and `valid` or `invalid` behind one.
fn seed_lines() -> Vec<(String, Vec<String>)> {
    let lines = seeds("topics").into_iter().flat_map(|seed| {
        let name = seed.name;
        seed.lines.into_iter().map(move |line| (name.clone(), line.split(' ').map(text).collect()))
    });
    lines.collect()
}

#[test]
fn each_seed_of_topics_is_what_it_says_alone_and_in_the_tree() {
    for (name, line) in seed_lines() {
        let is_so = match line.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["filter", word, verdict @ ("valid" | "invalid")] => Filter::new(word).is_ok() == (verdict == "valid"),
            ["topic", word, verdict @ ("valid" | "invalid")] => Topic::new(word).is_ok() == (verdict == "valid"),
            [verdict @ ("matches" | "differs"), wildcards, word] => {
                let mut tree = Tree::default();
                tree.insert(&filter(wildcards), 1);
                let is_found = !found(&tree, word).is_empty();
                let is_matched = filter(wildcards).matches(&Topic::new(word).unwrap());
                is_found == is_matched && is_matched == (verdict == "matches")
            }
            _ => panic!("{name}: this is no line of a seed: {line:?}"),
        };
        assert!(is_so, "{name}: {line:?}");
    }
}

/// A word of the corpus, as it is or mutated; the longest are cut, for they are too deep anyway.
fn seed_word() -> impl Strategy<Value = String> {
    let lines = seed_lines().into_iter();
    let words: Vec<Vec<u8>> =
        lines.flat_map(|(_, line)| line).map(|word| word.as_bytes()[..word.len().min(500)].to_vec()).collect();
    let all = words.clone();
    (select(words), prop::option::of(mutations())).prop_map(move |(mut word, changes)| {
        mutate(&mut word, &changes.unwrap_or_default(), &all);
        String::from_utf8_lossy(&word).into_owned()
    })
}

proptest! {
    #[test]
    fn the_tree_finds_what_each_filter_matches_alone(
        filters in prop::collection::vec(prop_oneof![levels(&["+", "#"]), seed_word()], 1..12),
        removed in prop::collection::vec(any::<bool>(), 12),
        topics in prop::collection::vec(prop_oneof![levels(&[]), seed_word()], 1..12),
    ) {
        let filters: Vec<Filter> = filters.iter().filter_map(|text| Filter::new(text.as_str()).ok()).collect();
        let mut tree = Tree::default();
        for (id, filter) in filters.iter().enumerate() {
            tree.insert(filter, id as u32);
        }
        for (id, filter) in filters.iter().enumerate().filter(|(id, _)| removed[*id]) {
            prop_assert!(tree.remove(filter, id as u32));
        }
        for text in &topics {
            let Ok(topic) = Topic::new(text.as_str()) else { continue };
            let alone = filters.iter().enumerate().filter(|(id, filter)| !removed[*id] && filter.matches(&topic));
            let alone: Vec<u32> = alone.map(|(id, _)| id as u32).collect();
            prop_assert_eq!(found(&tree, text), alone);
        }
    }

    /// Against a set, with so few names that tables of branches and lists come and go.
    #[test]
    fn who_is_in_is_found_whatever_came_and_went(
        steps in prop::collection::vec((any::<bool>(), 0..60u32, prop::sample::select(vec!["a", "b", "c/#", "+", "a/b"])), 1..300)
    ) {
        let (mut tree, mut known) = (Tree::default(), std::collections::BTreeSet::new());
        for (comes, who, text) in steps {
            match comes {
                true => prop_assert_eq!(tree.insert(&filter(text), who), known.insert((text, who))),
                false => prop_assert_eq!(tree.remove(&filter(text), who), known.remove(&(text, who))),
            }
        }
        for (topic, filters) in [("a", &["a", "+"][..]), ("b", &["b", "+"]), ("c/d", &["c/#"]), ("a/b", &["a/b"])] {
            let mut alone: Vec<u32> =
                known.iter().filter(|(text, _)| filters.contains(text)).map(|(_, who)| *who).collect();
            alone.sort_unstable();
            prop_assert_eq!(found(&tree, topic), alone);
        }
        known.iter().for_each(|(text, who)| assert!(tree.remove(&filter(text), *who)));
        prop_assert_eq!(Size::of(&tree), Size { nodes: 1, places: 0 });
    }
}
