//! The mailbox alone, and beside a model of what it promises.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::mqtt::topic::Topic;

const WHOLE: usize = 4;
const SECOND: Duration = Duration::from_secs(1);

fn message(payload: impl Into<Bytes>) -> Arc<Message> {
    Arc::new(Message::plain(Topic::new("a").unwrap(), payload.into(), QoS::AtLeastOnce))
}

fn bounds(messages_max: usize, bytes_max: usize) -> Bounds {
    Bounds { messages_max, bytes_max, together: Together::new(usize::MAX) }
}

fn mailbox(messages_max: usize, bytes_max: usize) -> Mailbox {
    let mailbox = Mailbox::new(bounds(messages_max, bytes_max));
    mailbox.connect();
    mailbox
}

#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn taken(mailbox: &Mailbox, count: usize, now: Instant) -> Vec<Bytes> {
    let mut taken = VecDeque::new();
    mailbox.take(count, &mut taken, now);
    taken.iter().map(|queued| queued.message.payload.clone()).collect()
}

/// A message that stands in line.
fn waiting(mailbox: &Mailbox, payload: &'static str, now: Instant) -> (Arc<Slip>, Instant) {
    match mailbox.put_or_wait(&message(payload), QoS::AtLeastOnce, now) {
        PutOrWait::Waits(slip, until) => (slip, until),
        PutOrWait::Put(put) => panic!("{payload} does not wait: {put:?}"),
    }
}

#[test]
fn at_its_bound_the_newest_message_is_dropped() {
    let by_count = mailbox(2, 10_000);
    let answers = ["1", "2", "3"].map(|payload| by_count.put(&message(payload), QoS::AtMostOnce));
    assert_eq!(answers, [Put::Queued, Put::Queued, Put::Full]);
    let by_bytes = mailbox(100, 2 * message("1").bytes());
    let answers = ["1", "2", "3"].map(|payload| by_bytes.put(&message(payload), QoS::AtMostOnce));
    assert_eq!(answers, [Put::Queued, Put::Queued, Put::Full]);
    assert_eq!(taken(&by_bytes, 1, start()), ["1"]);
    assert_eq!(by_bytes.put(&message("4"), QoS::AtMostOnce), Put::Queued);
}

#[test]
fn large_messages_are_taken_few_at_a_time() {
    let (now, mailbox) = (start(), mailbox(9, usize::MAX));
    for _ in 0..5 {
        mailbox.put(&message(vec![0; 40 * 1024]), QoS::AtLeastOnce);
    }
    let counts: Vec<usize> = (0..4).map(|_| taken(&mailbox, 9, now).len()).collect();
    assert_eq!(counts, [2, 2, 1, 0], "64 KiB, and the message that goes beyond");
}

#[test]
fn a_session_that_is_away_keeps_qos_1_alone_and_nobody_waits_for_it() {
    let now = start();
    let mailbox = mailbox(2, 10_000);
    mailbox.put(&message("0"), QoS::AtMostOnce);
    mailbox.put(&message("1"), QoS::AtLeastOnce);
    let (slip, _) = waiting(&mailbox, "held", now);
    mailbox.disconnect();
    assert_eq!(slip.outcome(), Some(Put::Full));
    assert_eq!(mailbox.put(&message("0"), QoS::AtMostOnce), Put::Away);
    assert_eq!(mailbox.put(&message("2"), QoS::AtLeastOnce), Put::Queued);
    let full = mailbox.put_or_wait(&message("3"), QoS::AtLeastOnce, now);
    assert!(matches!(full, PutOrWait::Put(Put::Full)));
    assert_eq!(taken(&mailbox, 9, now), ["1", "2"]);
}

#[test]
fn those_in_line_come_in_their_order_when_the_queue_is_nearly_empty() {
    let now = start();
    let mailbox = mailbox(4, 10_000);
    for payload in ["1", "2", "3", "4"] {
        mailbox.put(&message(payload), QoS::AtLeastOnce);
    }
    let slips = ["5", "6", "7"].map(|payload| waiting(&mailbox, payload, now).0);
    assert_eq!(taken(&mailbox, 3, now), ["1", "2", "3"]);
    assert_eq!(slips.each_ref().map(|slip| slip.outcome()), [None; 3]);
    assert_eq!(mailbox.put(&message("late"), QoS::AtLeastOnce), Put::Full, "nobody overtakes");
    assert_eq!(taken(&mailbox, 1, now), ["4"]);
    assert_eq!(slips.map(|slip| slip.outcome()), [Some(Put::Queued); 3]);
    assert_eq!(taken(&mailbox, 9, now), ["5", "6", "7"]);
}

#[test]
fn of_more_than_there_is_room_for_the_first_come_in() {
    let now = start();
    let mailbox = mailbox(1, 10_000);
    mailbox.put(&message("1"), QoS::AtLeastOnce);
    let slips = ["2", "3"].map(|payload| waiting(&mailbox, payload, now).0);
    assert_eq!(taken(&mailbox, 9, now), ["1"]);
    assert_eq!(slips.map(|slip| slip.outcome()), [Some(Put::Queued), None]);
    assert_eq!(taken(&mailbox, 9, now), ["2"]);
    assert_eq!(taken(&mailbox, 9, now), ["3"]);
}

#[test]
fn a_reader_that_takes_nothing_is_waited_for_once() {
    let (now, mailbox) = (start(), mailbox(1, 10_000));
    mailbox.put(&message("1"), QoS::AtLeastOnce);
    let (first, until) = waiting(&mailbox, "2", now);
    assert_eq!(until, now + SECOND);
    let (second, _) = waiting(&mailbox, "3", now + SECOND / 2);
    assert_eq!(mailbox.lose_patience(&first, until), None);
    assert_eq!([first.outcome(), second.outcome()], [Some(Put::Full); 2]);
    let later = mailbox.put_or_wait(&message("4"), QoS::AtLeastOnce, now + 9 * SECOND);
    assert!(matches!(later, PutOrWait::Put(Put::Full)));
    assert_eq!(taken(&mailbox, 9, now), ["1"]);
    mailbox.put(&message("5"), QoS::AtLeastOnce);
    waiting(&mailbox, "6", now + 10 * SECOND);
}

#[test]
fn a_reader_that_goes_while_others_wait_has_used_their_patience_up() {
    let (now, mailbox) = (start(), mailbox(1, 10_000));
    mailbox.put(&message("1"), QoS::AtLeastOnce);
    waiting(&mailbox, "2", now);
    mailbox.disconnect();
    mailbox.connect();
    let back = mailbox.put_or_wait(&message("3"), QoS::AtLeastOnce, now);
    assert!(matches!(back, PutOrWait::Put(Put::Full)));
}

#[test]
fn all_queues_together_have_a_bound_that_leaves_each_reader_a_message() {
    let one = message("1").bytes();
    let together = Together::new(2 * one);
    let all = |messages_max| Bounds { messages_max, bytes_max: 10_000, together: together.clone() };
    let [greedy, other] = [Mailbox::new(all(9)), Mailbox::new(all(9))];
    [&greedy, &other].iter().for_each(|mailbox| mailbox.connect());
    let put = |mailbox: &Mailbox| mailbox.put(&message("1"), QoS::AtMostOnce);
    assert_eq!([put(&greedy), put(&greedy), put(&greedy)], [Put::Queued, Put::Queued, Put::AllFull]);
    assert_eq!([put(&other), put(&other)], [Put::Queued, Put::AllFull]);
    assert_eq!(together.bytes(), 3 * one);
    drop(greedy);
    assert_eq!((together.bytes(), put(&other)), (one, Put::Queued));
    other.clear();
    assert_eq!(together.bytes(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Put { publisher: usize, qos: QoS, waits: bool },
    Take(usize),
    Pass(u64),
    Disconnect,
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0..6usize, any::<bool>(), prop::bool::weighted(0.8)).prop_map(|(publisher, once, waits)| {
        let qos = if once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        Step::Put { publisher, qos, waits }
    });
    prop_oneof![
        8 => put,
        4 => (1..4usize).prop_map(Step::Take),
        2 => (1..800u64).prop_map(Step::Pass),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Connect),
    ]
}

/// What is to be in the queue and in line, as lists of numbers.
struct Model {
    queue: Queue,
    together: Together,
    now: Instant,
    number: u32,
    queued: Vec<(u32, QoS)>,
    line: Vec<Standing>,
    connected: bool,
    taken: usize,
    waited: Duration,
}

struct Standing {
    number: u32,
    publisher: usize,
    slip: Arc<Slip>,
    until: Instant,
}

impl Model {
    fn new() -> Self {
        let bounds = bounds(WHOLE, usize::MAX);
        Model {
            together: bounds.together.clone(),
            queue: Queue::new(bounds),
            now: start(),
            number: 0,
            queued: Vec::new(),
            line: Vec::new(),
            connected: false,
            taken: 0,
            waited: Duration::ZERO,
        }
    }

    fn go(&mut self, step: Step) {
        match step {
            Step::Put { publisher, .. } if self.line.iter().any(|standing| standing.publisher == publisher) => {}
            Step::Put { publisher, qos, waits } => self.put(publisher, qos, waits),
            Step::Take(count) => self.take(count),
            Step::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Step::Disconnect => {
                self.queue.disconnect();
                self.connected = false;
                self.queued.retain(|(_, qos)| *qos != QoS::AtMostOnce);
            }
            Step::Connect => {
                self.queue.connect();
                self.connected = true;
            }
        }
        self.follow_line();
        self.check();
    }

    fn put(&mut self, publisher: usize, qos: QoS, waits: bool) {
        self.number += 1;
        let queued = Queued { message: message(self.number.to_be_bytes().to_vec()), qos, retain: false };
        let put = match waits {
            true => self.queue.put_or_wait(queued, self.now),
            false => PutOrWait::Put(self.queue.put(queued)),
        };
        let is_away = !self.connected && qos == QoS::AtMostOnce;
        let has_room = self.queued.len() < WHOLE && self.line.is_empty();
        match put {
            PutOrWait::Put(Put::Queued) => {
                assert!(has_room && !is_away);
                self.queued.push((self.number, qos));
            }
            PutOrWait::Put(Put::Away) => assert!(is_away),
            PutOrWait::Put(_) => assert!(!has_room && !is_away),
            PutOrWait::Waits(slip, until) => {
                assert!(waits && !has_room && self.connected && qos != QoS::AtMostOnce);
                self.line.push(Standing { number: self.number, publisher, slip, until });
            }
        }
    }

    fn take(&mut self, count: usize) {
        let mut taken = VecDeque::new();
        self.queue.take(count, &mut taken);
        self.queue.serve(self.now);
        let taken: Vec<u32> =
            taken.iter().map(|queued| u32::from_be_bytes(queued.message.payload[..].try_into().unwrap())).collect();
        let expected: Vec<u32> = self.queued.drain(..count.min(self.queued.len())).map(|(number, _)| number).collect();
        assert_eq!(taken, expected, "in the order in which they came");
        self.taken += taken.len();
    }

    /// Each timer goes off at its time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.line.iter().map(|standing| standing.until).min().unwrap_or(end).min(end);
            self.waited += if self.line.is_empty() { Duration::ZERO } else { next - self.now };
            self.now = next;
            for standing in self.line.iter_mut().filter(|standing| standing.until <= next) {
                if let Some(until) = self.queue.lose_patience(&standing.slip, next, &mut Vec::new()) {
                    assert!(until > next);
                    standing.until = until;
                }
            }
            self.follow_line();
        }
    }

    /// Those who were let in were the first.
    fn follow_line(&mut self) {
        let outcomes: Vec<Option<Put>> = self.line.iter().map(|standing| standing.slip.outcome()).collect();
        let let_in = outcomes.iter().take_while(|outcome| **outcome == Some(Put::Queued)).count();
        self.queued.extend(self.line.drain(..let_in).map(|standing| (standing.number, QoS::AtLeastOnce)));
        let rest = &outcomes[let_in..];
        assert!(rest.iter().all(Option::is_none) || rest.iter().all(|outcome| *outcome == Some(Put::Full)));
        self.line.retain(|standing| standing.slip.outcome().is_none());
    }

    fn check(&self) {
        assert!(self.queued.len() <= WHOLE);
        let bytes = self.queued.len() * message(vec![0; 4]).bytes();
        assert_eq!(self.together.bytes(), bytes);
        // Nobody waits for a reader that has nothing to take, or is not there.
        assert!(self.line.is_empty() || (self.connected && !self.queued.is_empty()));
        let paid = u32::try_from(1 + self.taken / WHOLE).unwrap();
        assert!(self.waited <= SECOND * paid, "{:?} for {} messages", self.waited, self.taken);
    }
}

proptest! {
    #[test]
    fn order_bounds_and_patience_hold_whatever_happens(steps in prop::collection::vec(step(), 1..80)) {
        let mut model = Model::new();
        steps.into_iter().for_each(|step| model.go(step));
        // Whoever stands in line comes in when the reader goes on.
        while !model.queued.is_empty() {
            model.go(Step::Take(1));
        }
        prop_assert!(model.line.is_empty());
        let together = model.together.clone();
        drop(model);
        prop_assert_eq!(together.bytes(), 0);
    }
}
