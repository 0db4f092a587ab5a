//! The branches of a node by the name of their level: none, one, or many.
//!
//! Of ten thousand devices each has a node of its own with one branch, `commands`: a table there would cost half a kilobyte each.

use std::collections::HashMap;

use super::{Node, Subscriber};

/// The branches of a node.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "most nodes have no branch or one, and need no room for a table")]
pub(super) enum Children<S: Subscriber> {
    #[default]
    None,
    One(Box<(Box<str>, Node<S>)>),
    /// By name. Clients choose the names, so the hash is one that they cannot foresee.
    Many(Box<HashMap<Box<str>, Node<S>>>),
}

impl<S: Subscriber> Children<S> {
    pub(super) fn get(&self, name: &str) -> Option<&Node<S>> {
        match self {
            Children::None => None,
            Children::One(only) => (*only.0 == *name).then_some(&only.1),
            Children::Many(table) => table.get(name),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node<S>> {
        match self {
            Children::None => None,
            Children::One(only) => (*only.0 == *name).then_some(&mut only.1),
            Children::Many(table) => table.get_mut(name),
        }
    }

    /// The branch of this name; it grows if there is none.
    pub(super) fn grow(&mut self, name: &str) -> &mut Node<S> {
        let has_another = matches!(self, Children::One(only) if *only.0 != *name);
        if has_another && let Children::One(only) = std::mem::take(self) {
            *self = Children::Many(Box::new(HashMap::from([*only])));
        }
        if let Children::None = self {
            *self = Children::One(Box::new((name.into(), Node::default())));
        }
        match self {
            Children::Many(table) => table.entry(name.into()).or_default(),
            Children::One(only) => &mut only.1,
            Children::None => unreachable!("there is one since the lines above"),
        }
    }

    /// Cuts the branch of this name off, and gives back the memory that is not needed any more.
    pub(super) fn cut(&mut self, name: &str) {
        match self {
            Children::None => {}
            Children::One(only) => {
                if *only.0 == *name {
                    *self = Children::None;
                }
            }
            Children::Many(table) => {
                table.remove(name);
                self.shrink();
            }
        }
    }

    /// Keeps the branches that `keep` wants.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, &mut Node<S>) -> bool) {
        match self {
            Children::None => {}
            Children::One(only) => {
                if !keep(&only.0, &mut only.1) {
                    *self = Children::None;
                }
            }
            Children::Many(table) => {
                table.retain(|name, node| keep(name, node));
                self.shrink();
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Children::None)
    }

    /// A table grows when it is seven eighths full and is halved when it is less than half of that, so that one that comes and
    /// goes moves none.
    fn shrink(&mut self) {
        let Children::Many(table) = self else { return };
        match table.len() {
            0 => *self = Children::None,
            1 => {
                let last = std::mem::take(&mut **table).into_iter().next();
                *self = last.map_or(Children::None, |only| Children::One(Box::new(only)));
            }
            count => table.shrink_to(count * 2),
        }
    }
}
