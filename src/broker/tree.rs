//! The subscription tree: which subscribers does a topic reach?
//!
//! A node a level. A topic reaches at most two nodes a level from each that it has reached before, the branch of its name and the
//! branch of `+`, and only nodes that a filter has made. So matching visits no more nodes than 2^(levels + 1), nor more than there are
//! beginnings of filters that match a beginning of the topic, and neither grows with filters that do not match. Ten thousand filters
//! of devices' own cost the others nothing. Who wants to make a topic visit 2^n nodes has to hold 2^n filters of wildcards and names
//! in all combinations; a session may hold `broker.subscriptions_per_session_max`.
//!
//! A branch that holds no subscription any more is cut off, and its memory goes back. The tree does not know what a subscriber is.

mod children;
mod subscribers;

use std::hash::Hash;
use std::str::Split;

use children::Children;
use subscribers::Subscribers;

use crate::mqtt::topic::{Filter, Topic};

const ANY_LEVEL: &str = "+";
const ALL_BELOW: &str = "#";

/// What stands in the tree.
pub(super) trait Subscriber {
    /// What tells subscribers apart.
    type Key: Copy + Eq + Hash;

    /// Whose subscription it is; each has at most one a filter.
    fn key(&self) -> Self::Key;
}

/// Subscriptions of `S`, found by topic.
pub(super) struct Tree<S: Subscriber> {
    root: Node<S>,
}

struct Node<S: Subscriber> {
    children: Children<S>,
    /// The branch of `+`.
    any: Option<Box<Node<S>>>,
    /// Whose filter ends here.
    here: Subscribers<S>,
    /// Whose filter ends in `#` below here.
    below: Subscribers<S>,
}

impl<S: Subscriber> Default for Node<S> {
    fn default() -> Self {
        Node { children: Children::None, any: None, here: Subscribers::default(), below: Subscribers::default() }
    }
}

impl<S: Subscriber> Default for Tree<S> {
    fn default() -> Self {
        Tree { root: Node::default() }
    }
}

impl<S: Subscriber> Tree<S> {
    /// Adds a subscription; it takes the place of one with the same key [MQTT-3.8.4-3]. True: there was none.
    pub(super) fn insert(&mut self, filter: &Filter, subscriber: S) -> bool {
        self.root.subscribers(filter.levels()).insert(subscriber)
    }

    /// Takes a subscription out; true: it was there.
    pub(super) fn remove(&mut self, filter: &Filter, key: S::Key) -> bool {
        let levels: Vec<&str> = filter.levels().collect();
        self.root.remove(&levels, key)
    }

    /// Calls `found` for each subscription whose filter matches; a subscriber with several such filters comes several times.
    pub(super) fn matches<'t>(&'t self, topic: &Topic, mut found: impl FnMut(&'t S)) {
        self.root.visit(topic.levels(), topic.is_dollar(), &mut |below, here| {
            below.iter().chain(here).for_each(&mut found);
        });
    }

    /// Takes out every subscription that `keep` does not want.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&S) -> bool) {
        self.root.retain(&mut keep);
    }
}

impl<S: Subscriber> Node<S> {
    fn subscribers<'f>(&mut self, levels: impl Iterator<Item = &'f str>) -> &mut Subscribers<S> {
        let mut node = self;
        for level in levels {
            match level {
                ALL_BELOW => return &mut node.below,
                ANY_LEVEL => node = node.any.get_or_insert_default(),
                name => node = node.children.grow(name),
            }
        }
        &mut node.here
    }

    fn remove(&mut self, levels: &[&str], key: S::Key) -> bool {
        match levels {
            [] => self.here.remove(key),
            [ALL_BELOW, ..] => self.below.remove(key),
            [ANY_LEVEL, rest @ ..] => {
                let Some(branch) = &mut self.any else { return false };
                let removed = branch.remove(rest, key);
                self.any.take_if(|branch| branch.is_empty());
                removed
            }
            [name, rest @ ..] => {
                let Some(branch) = self.children.get_mut(name) else { return false };
                let removed = branch.remove(rest, key);
                if branch.is_empty() {
                    self.children.cut(name);
                }
                removed
            }
        }
    }

    /// Calls `reached` once for each node that the topic reaches, with the subscribers below it and those at it.
    /// `hidden`: the topic starts with `$`, and wildcards of the first level must not match it [MQTT-4.7.2-1].
    fn visit<'t>(&'t self, mut levels: Split<'_, char>, hidden: bool, reached: &mut impl FnMut(&'t [S], &'t [S])) {
        let below = if hidden { &[] } else { self.below.as_slice() };
        let Some(level) = levels.next() else { return reached(below, self.here.as_slice()) };
        reached(below, &[]);
        if let Some(branch) = self.children.get(level) {
            branch.visit(levels.clone(), false, reached);
        }
        if let Some(branch) = self.any.as_ref().filter(|_| !hidden) {
            branch.visit(levels, false, reached);
        }
    }

    fn retain(&mut self, keep: &mut impl FnMut(&S) -> bool) {
        self.here.retain(&mut *keep);
        self.below.retain(&mut *keep);
        if let Some(branch) = &mut self.any {
            branch.retain(keep);
        }
        self.any.take_if(|branch| branch.is_empty());
        self.children.retain(|_, branch| {
            branch.retain(keep);
            !branch.is_empty()
        });
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

#[cfg(test)]
mod tests;
