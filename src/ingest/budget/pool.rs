//! Who may take how much of the common bytes, and who is served next.
//!
//! Pure: members ask, release and leave; who has been served is read back. Three rules:
//!
//! 1. What is granted in all never exceeds the bound; what a message turned out to need besides ([`Pool::grow`]) may.
//! 2. While others wait, a member that holds something takes no more than the bound divided by the number of members that hold
//!    or wait. One that holds nothing may always take one message, so that a message greater than a part gets through.
//! 3. Those that wait are served in the order in which they asked. Nobody overtakes, so a great message is not starved by small
//!    ones. A member over its part steps aside until its own bytes come back, and then queues anew.
//!
//! A member is served where the bytes come back, not where it asks again: one that is slow to ask again holds its own bytes and
//! nobody up. What was taken while nobody waited is not taken back.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// A member's name in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MemberId(u64);

/// The common bytes. `T` is what is handed back of a member that was served.
pub(super) struct Pool<T> {
    bytes_max: usize,
    members: HashMap<MemberId, Member<T>, BuildHasherDefault<NumberHasher>>,
    /// The members whose request is [`Request::Queued`], each once, by their turn: one that leaves is found without a search. As many
    /// as members at most.
    queue: BTreeMap<Turn, MemberId>,
    last_turn: Turn,
    served: Vec<MemberId>,
    next_id: u64,
    used: usize,
    waiting: usize,
    active: usize,
}

/// Lower ones are served first.
type Turn = u64;

struct Member<T> {
    tag: T,
    held: usize,
    request: Request,
    left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    None,
    /// Waits for its turn.
    Queued(usize, Turn),
    /// Over its part: waits for its own bytes to come back.
    Aside(usize),
    /// Served, and charged already; waits for its member to fetch it.
    Granted(usize),
}

impl<T: Clone> Pool<T> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Pool {
            bytes_max,
            members: HashMap::default(),
            queue: BTreeMap::new(),
            last_turn: 0,
            served: Vec::new(),
            next_id: 0,
            used: 0,
            waiting: 0,
            active: 0,
        }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn join(&mut self, tag: T) -> MemberId {
        let id = MemberId(self.next_id);
        self.next_id += 1;
        self.members.insert(id, Member { tag, held: 0, request: Request::None, left: false });
        id
    }

    /// Asks for `bytes`; what is charged if they are granted at once or were granted since the same was asked before.
    pub(super) fn take(&mut self, id: MemberId, bytes: usize) -> Option<usize> {
        let cost = bytes.min(self.bytes_max);
        if self.fits_at_once(id, cost) {
            self.update(id, |member| member.held += cost);
            return Some(cost);
        }
        self.ask(id, cost);
        self.serve();
        self.fetch(id)
    }

    /// Charges a member more, whatever the bound; what it holds comes back by [`Pool::release`].
    pub(super) fn grow(&mut self, id: MemberId, bytes: usize) {
        self.update(id, |member| member.held += bytes);
    }

    /// Gives `charged` bytes back.
    pub(super) fn release(&mut self, id: MemberId, charged: usize) {
        self.update(id, |member| member.held -= charged);
        if let Some(Request::Aside(cost)) = self.members.get(&id).map(|member| member.request) {
            self.ask(id, cost);
        }
        self.serve();
    }

    /// Ends a membership. What the member holds comes back by [`Pool::release`] all the same.
    pub(super) fn leave(&mut self, id: MemberId) {
        self.withdraw(id);
        self.update(id, |member| member.left = true);
        self.serve();
    }

    /// Those that were served while they did not ask, since the last call.
    pub(super) fn take_served(&mut self) -> Vec<T> {
        let served = std::mem::take(&mut self.served);
        served.iter().filter_map(|id| Some(self.members.get(id)?.tag.clone())).collect()
    }

    /// Whether asking, being served and fetching would come to no more than being charged: nobody is in the queue before.
    fn fits_at_once(&self, id: MemberId, cost: usize) -> bool {
        self.queue.is_empty()
            && self.used + cost <= self.bytes_max
            && self.members[&id].request == Request::None
            && self.within_part(id, cost)
    }

    /// Notes the request, in the place that it has or at the end.
    fn ask(&mut self, id: MemberId, cost: usize) {
        let member = &self.members[&id];
        match member.request {
            Request::Granted(granted) if granted == cost => return,
            Request::Queued(_, turn) => return self.update(id, |member| member.request = Request::Queued(cost, turn)),
            Request::Granted(_) => self.withdraw(id),
            Request::None | Request::Aside(_) => {}
        }
        if self.within_part(id, cost) {
            self.last_turn += 1;
            let turn = self.last_turn;
            self.update(id, |member| member.request = Request::Queued(cost, turn));
            self.queue.insert(turn, id);
        } else {
            self.update(id, |member| member.request = Request::Aside(cost));
        }
    }

    /// Grants what fits, in order, and stops at the first that does not.
    fn serve(&mut self) {
        while let Some((_, &id)) = self.queue.first_key_value() {
            let Request::Queued(cost, _) = self.members[&id].request else {
                unreachable!("the queue holds who is queued")
            };
            let within_part = self.within_part(id, cost);
            if within_part && self.used + cost > self.bytes_max {
                return;
            }
            self.queue.pop_first();
            if within_part {
                self.grant(id, cost);
            } else {
                self.update(id, |member| member.request = Request::Aside(cost));
            }
        }
    }

    fn grant(&mut self, id: MemberId, cost: usize) {
        self.update(id, |member| {
            member.held += cost;
            member.request = Request::Granted(cost);
        });
        self.served.push(id);
    }

    fn fetch(&mut self, id: MemberId) -> Option<usize> {
        let Request::Granted(cost) = self.members[&id].request else { return None };
        self.update(id, |member| member.request = Request::None);
        self.served.retain(|served| *served != id);
        Some(cost)
    }

    /// Takes the request back, and what was granted for it.
    fn withdraw(&mut self, id: MemberId) {
        match self.members[&id].request {
            Request::Granted(cost) => self.update(id, |member| member.held -= cost),
            Request::Queued(_, turn) => drop(self.queue.remove(&turn)),
            Request::None | Request::Aside(_) => {}
        }
        self.update(id, |member| member.request = Request::None);
    }

    /// Rule 2.
    fn within_part(&self, id: MemberId, cost: usize) -> bool {
        let member = &self.members[&id];
        let others_waiting = self.waiting - usize::from(member.waits());
        member.held == 0 || others_waiting == 0 || member.held + cost <= self.bytes_max / self.active
    }

    /// The only place where a member changes: the sums follow it.
    fn update(&mut self, id: MemberId, change: impl FnOnce(&mut Member<T>)) {
        let member = self.members.get_mut(&id).expect("a member stays until it has left and holds nothing");
        self.used -= member.held;
        self.waiting -= usize::from(member.waits());
        self.active -= usize::from(member.is_active());
        change(member);
        self.used += member.held;
        self.waiting += usize::from(member.waits());
        self.active += usize::from(member.is_active());
        if member.left && member.held == 0 {
            self.members.remove(&id);
        }
    }
}

impl<T> Member<T> {
    fn waits(&self) -> bool {
        matches!(self.request, Request::Queued(..) | Request::Aside(_))
    }

    fn is_active(&self) -> bool {
        self.held > 0 || self.waits()
    }
}

/// Hashes a member's name, several times a message. The pool gives the names out itself, so nobody can choose some that collide.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a member's name is one number")
    }

    /// 2^64 divided by the golden ratio (Knuth, volume 3, section 6.4): names that follow each other lie apart.
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_alone_may_take_all() {
        let mut pool = Pool::new(100);
        let one = pool.join(());
        assert!((0..10).all(|_| pool.take(one, 10) == Some(10)));
        assert_eq!((pool.take(one, 10), pool.used()), (None, 100));
    }

    #[test]
    fn one_that_floods_keeps_to_its_part_while_another_waits() {
        let mut pool = Pool::new(100);
        let (flood, other) = (pool.join("flood"), pool.join("other"));
        (0..10).for_each(|_| assert!(pool.take(flood, 10).is_some()));
        assert!(pool.take(flood, 10).is_none());
        assert!(pool.take(other, 10).is_none());
        pool.release(flood, 10);
        assert_eq!(pool.take_served(), ["other"]);
        for held_after in [80, 70, 60, 50] {
            assert_eq!(pool.take(other, 10), Some(10));
            assert!(pool.take(other, 10).is_none());
            pool.release(flood, 10);
            assert_eq!(pool.members[&flood].held, held_after);
        }
    }

    #[test]
    fn a_great_message_is_not_overtaken_by_small_ones() {
        let mut pool = Pool::new(100);
        let (small, great) = (pool.join("small"), pool.join("great"));
        (0..9).for_each(|_| assert!(pool.take(small, 10).is_some()));
        assert!(pool.take(great, 60).is_none());
        assert!(pool.take(small, 10).is_none(), "there is room, but it is not its turn");
        (0..4).for_each(|_| pool.release(small, 10));
        assert!(pool.take_served().is_empty());
        pool.release(small, 10);
        assert_eq!(pool.take_served(), ["great"]);
        assert_eq!(pool.take(great, 60), Some(60));
    }

    #[test]
    fn asking_for_another_size_gives_back_what_was_granted() {
        let mut pool = Pool::new(100);
        let (one, two) = (pool.join("one"), pool.join("two"));
        assert!(pool.take(one, 100).is_some());
        assert!(pool.take(two, 100).is_none());
        pool.release(one, 100);
        assert_eq!(pool.take(two, 30), Some(30));
        assert_eq!(pool.used(), 30);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask { member: usize, bytes: usize },
        Release { nth: usize },
        Replace { member: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..8usize, 1..400usize).prop_map(|(member, bytes)| Step::Ask { member, bytes }),
            3 => any::<usize>().prop_map(|nth| Step::Release { nth }),
            1 => (0..8usize).prop_map(|member| Step::Replace { member }),
        ];
        proptest::collection::vec(step, 1..200)
    }

    /// Eight connections, each with at most one message that waits, and what they have in flight.
    struct World {
        pool: Pool<usize>,
        members: Vec<MemberId>,
        asks: Vec<Option<usize>>,
        in_flight: Vec<(MemberId, usize)>,
    }

    const BOUND: usize = 1_000;

    impl World {
        fn new() -> Self {
            let mut pool = Pool::new(BOUND);
            let members = (0..8).map(|member| pool.join(member)).collect();
            World { pool, members, asks: vec![None; 8], in_flight: Vec::new() }
        }

        fn step(&mut self, step: &Step) {
            match *step {
                Step::Ask { member, bytes } => {
                    let bytes = *self.asks[member].get_or_insert(bytes);
                    self.ask(member, bytes);
                }
                Step::Release { nth } => self.release(nth),
                Step::Replace { member } => {
                    self.pool.leave(self.members[member]);
                    self.members[member] = self.pool.join(member);
                    self.asks[member] = None;
                }
            }
            self.let_the_served_fetch();
        }

        fn ask(&mut self, member: usize, bytes: usize) {
            let id = self.members[member];
            let held = self.pool.members[&id].held;
            let others_wait = (0..8).any(|other| other != member && self.asks[other].is_some());
            let Some(charged) = self.pool.take(id, bytes) else { return };
            assert!(!others_wait || held == 0 || held + charged <= BOUND / self.pool.active);
            self.asks[member] = None;
            self.in_flight.push((id, charged));
        }

        fn release(&mut self, nth: usize) {
            if !self.in_flight.is_empty() {
                let (id, charged) = self.in_flight.swap_remove(nth % self.in_flight.len());
                self.pool.release(id, charged);
            }
        }

        fn let_the_served_fetch(&mut self) {
            for member in self.pool.take_served() {
                let charged = self.pool.take(self.members[member], self.asks[member].unwrap());
                self.asks[member] = None;
                self.in_flight.push((self.members[member], charged.expect("it was served")));
            }
        }

        fn check(&self) {
            let held: usize = self.in_flight.iter().map(|(_, charged)| charged).sum();
            assert_eq!(self.pool.used(), held);
            assert!(held <= BOUND);
            assert_eq!(self.pool.waiting, self.asks.iter().flatten().count());
        }
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_everyone_who_waits_is_served(steps in steps()) {
            let mut world = World::new();
            for step in &steps {
                world.step(step);
                world.check();
            }
            while world.asks.iter().any(Option::is_some) {
                prop_assert!(!world.in_flight.is_empty(), "someone waits though nothing is in flight");
                world.step(&Step::Release { nth: 0 });
                world.check();
            }
        }

        /// Connections that always have more to send get the same number of bytes, whatever the size of their messages, as far
        /// as whole messages fill a part.
        #[test]
        fn connections_that_flood_get_the_same(bytes in proptest::collection::vec(5..25usize, 4)) {
            let mut pool = Pool::new(BOUND);
            let members: Vec<MemberId> = (0..4).map(|member| pool.join(member)).collect();
            let (mut through, mut in_flight) = ([0; 4], VecDeque::new());
            for _ in 0..5_000 {
                for member in 0..4 {
                    while let Some(charged) = pool.take(members[member], bytes[member]) {
                        through[member] += charged;
                        in_flight.push_back((members[member], charged));
                    }
                }
                let (id, charged) = in_flight.pop_front().unwrap();
                pool.release(id, charged);
            }
            let (least, most) = (through.iter().min().unwrap(), through.iter().max().unwrap());
            prop_assert!(most * 4 <= least * 5, "{through:?} of messages of {bytes:?}");
        }
    }
}
