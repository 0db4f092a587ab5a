//! The subscription tree: which subscribers does a topic reach?
//!
//! A node a level, so that matching costs what the topic is deep and what it matches, however many filters there are. A branch
//! that holds no subscription any more is cut off. The tree does not know what a subscriber is.

use std::collections::HashMap;
use std::str::Split;

use crate::mqtt::topic::{Filter, Topic};

const ANY_LEVEL: &str = "+";
const ALL_BELOW: &str = "#";

/// Subscriptions of `S`, found by topic. Each subscriber has at most one entry a filter.
pub(super) struct Tree<S> {
    root: Node<S>,
}

struct Node<S> {
    children: HashMap<Box<str>, Node<S>>,
    /// The branch of `+`.
    any: Option<Box<Node<S>>>,
    /// Whose filter ends here.
    here: Vec<S>,
    /// Whose filter ends in `#` below here.
    below: Vec<S>,
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Node { children: HashMap::new(), any: None, here: Vec::new(), below: Vec::new() }
    }
}

impl<S> Default for Tree<S> {
    fn default() -> Self {
        Tree { root: Node::default() }
    }
}

impl<S: PartialEq> Tree<S> {
    /// Adds a subscription; one that is equal takes the place of the older one [MQTT-3.8.4-3]. True: there was none.
    pub(super) fn insert(&mut self, filter: &Filter, subscriber: S) -> bool {
        let entries = self.root.entries(filter.levels());
        let replaced = entries.iter().position(|known| *known == subscriber).map(|place| entries.swap_remove(place));
        entries.push(subscriber);
        replaced.is_none()
    }

    /// Takes a subscription out; true: it was there.
    pub(super) fn remove(&mut self, filter: &Filter, subscriber: &S) -> bool {
        let levels: Vec<&str> = filter.levels().collect();
        self.root.remove(&levels, subscriber)
    }

    /// Calls `found` for each subscription whose filter matches; a subscriber with several such filters comes several times.
    pub(super) fn matches<'t>(&'t self, topic: &Topic, mut found: impl FnMut(&'t S)) {
        self.root.matches(topic.levels(), topic.is_dollar(), &mut found);
    }

    /// Takes out every subscription that `keep` does not want, and calls `removed` with the first level of its filter.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&S) -> bool, mut removed: impl FnMut(&str)) {
        let root = &mut self.root;
        root.below.retain(|subscriber| keep_or(keep(subscriber), || removed(ALL_BELOW)));
        if let Some(branch) = &mut root.any {
            branch.retain(&mut keep, &mut || removed(ANY_LEVEL));
        }
        for (name, branch) in &mut root.children {
            branch.retain(&mut keep, &mut || removed(name));
        }
        root.cut_off();
    }
}

impl<S: PartialEq> Node<S> {
    fn entries<'f>(&mut self, levels: impl Iterator<Item = &'f str>) -> &mut Vec<S> {
        let mut node = self;
        for level in levels {
            match level {
                ALL_BELOW => return &mut node.below,
                ANY_LEVEL => node = node.any.get_or_insert_default(),
                name => node = node.children.entry(name.into()).or_default(),
            }
        }
        &mut node.here
    }

    fn remove(&mut self, levels: &[&str], subscriber: &S) -> bool {
        match levels {
            [] => take_out(&mut self.here, subscriber),
            [ALL_BELOW, ..] => take_out(&mut self.below, subscriber),
            [ANY_LEVEL, rest @ ..] => {
                let Some(branch) = &mut self.any else { return false };
                let removed = branch.remove(rest, subscriber);
                self.any.take_if(|branch| branch.is_empty());
                removed
            }
            [name, rest @ ..] => {
                let Some(branch) = self.children.get_mut(*name) else { return false };
                let removed = branch.remove(rest, subscriber);
                if branch.is_empty() {
                    self.children.remove(*name);
                    self.children.shrink_to(self.children.len() * 2);
                }
                removed
            }
        }
    }

    /// `hidden`: the topic starts with `$`, and wildcards of the first level must not match it [MQTT-4.7.2-1].
    fn matches<'t>(&'t self, mut levels: Split<'_, char>, hidden: bool, found: &mut impl FnMut(&'t S)) {
        if !hidden {
            self.below.iter().for_each(&mut *found);
        }
        let Some(level) = levels.next() else { return self.here.iter().for_each(found) };
        if let Some(branch) = self.children.get(level) {
            branch.matches(levels.clone(), false, found);
        }
        if let Some(branch) = self.any.as_ref().filter(|_| !hidden) {
            branch.matches(levels, false, found);
        }
    }

    fn retain(&mut self, keep: &mut impl FnMut(&S) -> bool, removed: &mut impl FnMut()) {
        self.here.retain(|subscriber| keep_or(keep(subscriber), &mut *removed));
        self.below.retain(|subscriber| keep_or(keep(subscriber), &mut *removed));
        let branches = self.any.iter_mut().map(|branch| &mut **branch).chain(self.children.values_mut());
        branches.for_each(|branch| branch.retain(keep, removed));
        self.cut_off();
    }

    fn cut_off(&mut self) {
        self.any.take_if(|branch| branch.is_empty());
        self.children.retain(|_, branch| !branch.is_empty());
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

fn keep_or(keep: bool, mut removed: impl FnMut()) -> bool {
    if !keep {
        removed();
    }
    keep
}

fn take_out<S: PartialEq>(entries: &mut Vec<S>, subscriber: &S) -> bool {
    let Some(place) = entries.iter().position(|known| known == subscriber) else { return false };
    entries.swap_remove(place);
    if entries.is_empty() {
        entries.shrink_to_fit();
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        assert!(tree.remove(&filter("devices/a/commands/#"), &1));
        assert!(!tree.remove(&filter("devices/a/commands/#"), &1));
        assert!(tree.remove(&filter("devices/+/status"), &1));
        assert!(tree.root.is_empty());
    }

    #[test]
    fn what_is_not_kept_is_told_by_its_first_level() {
        let mut tree = Tree::default();
        for text in ["#", "+/a", "readings/#", "readings/a", "x"] {
            tree.insert(&filter(text), 1);
            tree.insert(&filter(text), 2);
        }
        let mut removed = Vec::new();
        tree.retain(|subscriber| *subscriber == 2, |level| removed.push(level.to_owned()));
        removed.sort();
        assert_eq!(removed, ["#", "+", "readings", "readings", "x"]);
        assert_eq!(found(&tree, "readings/a"), [2, 2, 2, 2]);
        tree.retain(|_| false, |_| {});
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

    fn levels(wildcards: &'static [&'static str]) -> impl Strategy<Value = String> {
        let level = prop::sample::select([&["", "a", "b", "$x"], wildcards].concat());
        prop::collection::vec(level, 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_each_filter_matches_alone(
            filters in prop::collection::vec(levels(&["+", "#"]), 1..12),
            removed in prop::collection::vec(any::<bool>(), 12),
            topics in prop::collection::vec(levels(&[]), 1..12),
        ) {
            let filters: Vec<Filter> = filters.iter().filter_map(|text| Filter::new(text.as_str()).ok()).collect();
            let mut tree = Tree::default();
            for (id, filter) in filters.iter().enumerate() {
                tree.insert(filter, id as u32);
            }
            for (id, filter) in filters.iter().enumerate().filter(|(id, _)| removed[*id]) {
                prop_assert!(tree.remove(filter, &(id as u32)));
            }
            for text in topics.iter().filter(|text| !text.is_empty()) {
                let topic = Topic::new(text.as_str()).unwrap();
                let alone = filters.iter().enumerate().filter(|(id, filter)| !removed[*id] && filter.matches(&topic));
                let alone: Vec<u32> = alone.map(|(id, _)| id as u32).collect();
                prop_assert_eq!(found(&tree, text), alone);
            }
        }
    }
}
