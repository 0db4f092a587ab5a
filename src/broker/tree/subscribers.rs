//! Those whose filter is the same: a list, and where in it each stands as soon as there are many.
//!
//! A message goes through the list. Who subscribes again or ends has to be found in it, and if a whole fleet shares a filter and
//! goes at once, a search of the list for each of them would cost the square of their number.

use std::collections::HashMap;

use super::Subscriber;

/// Up to so many are searched, which costs less than a table.
const SEARCHED_MAX: usize = 16;

/// The subscribers of one filter.
#[expect(clippy::box_collection, reason = "most filters have few subscribers, and need no room for a table")]
pub(super) struct Subscribers<S: Subscriber> {
    list: Vec<S>,
    /// The place of each in the list, while there are more than are searched.
    places: Option<Box<HashMap<S::Key, usize>>>,
}

impl<S: Subscriber> Default for Subscribers<S> {
    fn default() -> Self {
        Subscribers { list: Vec::new(), places: None }
    }
}

impl<S: Subscriber> Subscribers<S> {
    pub(super) fn as_slice(&self) -> &[S] {
        &self.list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one, or puts it in the place of the one with its key. True: there was none.
    pub(super) fn insert(&mut self, subscriber: S) -> bool {
        if let Some(place) = self.place(subscriber.key()) {
            self.list[place] = subscriber;
            return false;
        }
        if self.list.is_empty() {
            // One alone is what most filters have.
            self.list.reserve_exact(1);
        }
        if let Some(places) = &mut self.places {
            places.insert(subscriber.key(), self.list.len());
        }
        self.list.push(subscriber);
        if self.places.is_none() && self.list.len() > SEARCHED_MAX {
            self.note_places();
        }
        true
    }

    /// Takes out the one with this key; true: it was there.
    pub(super) fn remove(&mut self, key: S::Key) -> bool {
        let Some(place) = self.place(key) else { return false };
        self.list.swap_remove(place);
        if let Some(places) = &mut self.places {
            places.remove(&key);
            if let Some(moved) = self.list.get(place) {
                places.insert(moved.key(), place);
            }
        }
        self.shrink();
        true
    }

    /// Keeps those that `keep` wants.
    pub(super) fn retain(&mut self, keep: impl FnMut(&S) -> bool) {
        self.list.retain(keep);
        if self.places.is_some() {
            self.note_places();
        }
        self.shrink();
    }

    fn place(&self, key: S::Key) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&key).copied(),
            None => self.list.iter().position(|known| known.key() == key),
        }
    }

    fn note_places(&mut self) {
        let places = self.list.iter().enumerate().map(|(place, subscriber)| (subscriber.key(), place));
        self.places = Some(Box::new(places.collect()));
    }

    /// Gives memory back when three quarters of it are not needed, so that one that comes and goes moves none.
    fn shrink(&mut self) {
        if self.list.len() <= self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        if self.list.len() <= SEARCHED_MAX / 2 {
            self.places = None;
        }
        if let Some(places) = &mut self.places {
            places.shrink_to(self.list.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.list.capacity() + self.places.as_ref().map_or(0, |places| places.capacity())
    }
}
