//! Sequences of packets, receipts, mail and time, of the corpus and at random: the session does what the model foretells, step by step.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::bench::*;
use super::model::{Fate, Model, Said};
use super::*;
use crate::metrics::Registry;
use crate::mqtt::corpus::{Mutation, Seed, bytes, mutate, mutations, seeds};
use crate::mqtt::{Auth, Connect, Decoder, Text, encode};
use ::bytes::BytesMut;

/// What happens to a session.
#[derive(Clone, Debug)]
enum Step {
    Packet(Packet),
    /// Whatever they are.
    Bytes(Vec<u8>),
    /// The envelope at this place among those that are open.
    Settle(usize, Fate),
    Mail(QoS),
    Wait(Duration),
    /// The client comes back and takes its session up again.
    Resume(Version),
}

/// A session and its model.
struct Run {
    session: Session,
    model: Model,
    decoder: Decoder,
    /// Of the envelopes that are open, oldest first.
    tickets: Vec<u64>,
    /// An envelope of this connection was lost, and is never answered.
    has_lost: bool,
    now: Instant,
}

fn session(version: Version, state: SessionState, now: Instant) -> Session {
    let grant = Grant::device("pump", i64::MAX).unwrap();
    Session::new(terms(version, grant, now), state, Metrics::new(&Registry::default()), now)
}

/// A decoder that has seen the CONNECT.
fn decoder(version: Version) -> Decoder {
    let (mut decoder, mut buffer) = (Decoder::new(1 << 16), BytesMut::new());
    let connect = Packet::Connect(Box::new(Connect::new(version, Text::from_static("a"))));
    encode(&connect, version, &mut buffer);
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(connect)));
    decoder
}

impl Run {
    fn start(version: Version) -> Self {
        let now = start();
        let (session, model) = (session(version, SessionState::default(), now), Model::new(version, now));
        Run { session, model, decoder: decoder(version), tickets: Vec::new(), has_lost: false, now }
    }

    fn all(version: Version, steps: &[Step]) -> Self {
        steps.iter().fold(Run::start(version), |run, step| run.step(step))
    }

    fn step(mut self, step: &Step) -> Self {
        match step {
            Step::Packet(packet) => self.packet(packet.clone()),
            Step::Bytes(bytes) => self.bytes(bytes),
            Step::Settle(place, fate) => self.settle(*place, *fate),
            Step::Mail(qos) => self.mail(*qos),
            Step::Wait(duration) => self.wait(*duration),
            Step::Resume(version) => self = self.resume(*version),
        }
        self.agrees(step);
        self
    }

    /// As a driver has it: a packet that the session does not want stays in the socket, but for a PINGREQ. One that comes after the
    /// end is given to the session all the same, and brings nothing.
    fn packet(&mut self, packet: Packet) {
        let is_read = self.session.wants_packets() || packet == Packet::PingReq || self.model.ended().is_some();
        if is_read {
            let foretold = self.model.packet(&packet, self.now);
            self.session.handle_packet(packet, self.now);
            assert_eq!(self.said(), foretold);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        while self.model.ended().is_none() {
            match self.decoder.decode(&mut buffer) {
                Ok(Some(packet)) => self.packet(packet),
                Ok(None) => return,
                Err(error) => {
                    self.session.end(Ended::PeerMisbehaved(error.reason()));
                    self.model.misbehaved(error.reason());
                }
            }
        }
    }

    /// A receipt may settle in the same moment in which another ended the session: what was stored is still acknowledged.
    fn settle(&mut self, place: usize, fate: Fate) {
        if self.tickets.is_empty() {
            return;
        }
        let place = place % self.tickets.len();
        let settled = match fate {
            Fate::Stored => Settled::Stored,
            Fate::Rejected => rejected(Reason::BadSeal),
            Fate::Lost => Settled::Lost,
        };
        self.has_lost |= fate == Fate::Lost;
        let foretold = self.model.settle(place, fate);
        let ticket = self.tickets.remove(place);
        self.session.handle_settled(ticket, settled.clone());
        assert_eq!(self.said(), foretold);
        self.session.handle_settled(ticket, settled);
        assert_eq!(self.said(), [], "a receipt settles once");
    }

    fn mail(&mut self, qos: QoS) {
        if self.model.ended().is_some() {
            self.session.handle_queued(queued(qos));
            return assert_eq!(self.said(), [], "nothing is sent after the end");
        }
        if !self.session.wants_mail() {
            return;
        }
        let again = self.model.again();
        assert_eq!(self.session.send_again(), again.is_some());
        if again.is_none() {
            self.session.handle_queued(queued(qos));
        }
        let Some(Output::Send(Packet::Publish(sent))) = self.session.poll_output() else {
            panic!("a message goes out")
        };
        assert_eq!((sent.dup, self.said()), (again.is_some(), Vec::new()));
        match again {
            Some(id) => assert_eq!(sent.packet_id.map(NonZeroU16::get), Some(id), "[MQTT-4.6.0-1]"),
            None => self.model.mail(sent.packet_id.map(NonZeroU16::get), sent.qos),
        }
    }

    /// Until a moment before the deadline nothing ends for the time's sake.
    fn wait(&mut self, duration: Duration) {
        let early = self.session.poll_timeout() - Duration::from_millis(1);
        self.session.handle_timeout(early.min(self.now + duration));
        assert_eq!(self.session.ended(), self.model.ended());
        self.now += duration;
        self.session.handle_timeout(self.now);
        self.model.time(self.now);
    }

    fn resume(self, version: Version) -> Self {
        let (state, ..) = self.session.into_remains();
        Run {
            session: session(version, state, self.now),
            model: self.model.resume(version, self.now),
            decoder: decoder(version),
            tickets: Vec::new(),
            has_lost: false,
            now: self.now,
        }
    }

    /// What the session wants done now; the tickets of what it submits are kept.
    fn said(&mut self) -> Vec<Said> {
        let outputs = std::iter::from_fn(|| self.session.poll_output());
        let said = outputs.map(|output| match output {
            Output::Send(Packet::PubAck(ack)) => Said::PubAck(ack.packet_id.get(), ack.code),
            Output::Send(Packet::PubRec(ack)) => Said::PubRec(ack.packet_id.get(), ack.code),
            Output::Send(Packet::PubRel(ack)) => Said::PubRel(ack.packet_id.get(), ack.code),
            Output::Send(Packet::PubComp(ack)) => Said::PubComp(ack.packet_id.get(), ack.code),
            Output::Send(Packet::SubAck(ack)) => Said::SubAck(ack.packet_id.get(), ack.codes),
            Output::Send(Packet::UnsubAck(ack)) => Said::UnsubAck(ack.packet_id.get(), ack.codes),
            Output::Send(Packet::PingResp) => Said::PingResp,
            Output::Send(other) => panic!("nobody asked for {other:?}"),
            Output::Publish(_) => Said::HandedOn,
            Output::Subscribe(filter, ..) => Said::Subscribed(filter.as_str().to_owned()),
            Output::Unsubscribe(filter) => Said::Unsubscribed(filter.as_str().to_owned()),
            Output::Submit(telemetry) => {
                self.tickets.push(telemetry.ticket);
                Said::Submitted(telemetry.origin)
            }
        });
        said.collect()
    }

    fn agrees(&self, step: &Step) {
        let (session, model) = (&self.session, &self.model);
        assert_eq!(session.ended(), model.ended(), "{step:?}");
        assert_eq!(session.wants_packets(), model.wants_packets(), "{step:?}");
        assert_eq!(session.wants_mail(), model.wants_mail(), "{step:?}");
        assert_eq!(session.poll_timeout(), model.deadline(), "{step:?}");
        assert_eq!(session.is_settled(), model.owes_nothing(), "{step:?}");
        assert_eq!(self.tickets.len(), model.open(), "{step:?}");
        assert!(session.state.subscriptions().map(Filter::as_str).eq(model.filters().iter().map(String::as_str)));
        assert!(model.keeps_its_bounds(), "{step:?}");
    }

    /// All receipts settle, the newest first, and every message is answered then.
    fn settle_all(mut self) -> Self {
        while !self.tickets.is_empty() {
            self.settle(self.tickets.len() - 1, Fate::Stored);
        }
        assert!(self.session.is_settled() || self.has_lost, "an answer is owed");
        self
    }
}

/// The steps of a seed, as `tests/corpus/README.md` has them.
fn steps(seed: &Seed) -> Vec<Step> {
    seed.lines.iter().map(|line| step(line).unwrap_or_else(|| panic!("{}: {line}", seed.name))).collect()
}

fn step(line: &str) -> Option<Step> {
    let words: Vec<&str> = line.split(' ').collect();
    Some(match words[..] {
        ["settle", place, "stored"] => Step::Settle(place.parse().ok()?, Fate::Stored),
        ["settle", place, "rejected"] => Step::Settle(place.parse().ok()?, Fate::Rejected),
        ["settle", place, "lost"] => Step::Settle(place.parse().ok()?, Fate::Lost),
        ["mail", qos] => Step::Mail(QoS::from_u8(qos.parse().ok()?)?),
        ["wait", secs] => Step::Wait(Duration::from_secs(secs.parse().ok()?)),
        ["resume", version] => Step::Resume(named(version)),
        _ => Step::Bytes(bytes(line)?),
    })
}

fn named(version: &str) -> Version {
    match version {
        "3.1.1" => Version::V311,
        "5.0" => Version::V5,
        other => panic!("there is no version {other}"),
    }
}

#[test]
fn each_seed_ends_as_it_says() {
    for seed in seeds("sequences") {
        let steps = steps(&seed);
        assert!(!seed.expected.is_empty(), "{} expects nothing", seed.name);
        for expected in &seed.expected {
            let (version, end) = expected.split_once(' ').expect("a version and an end");
            let run = Run::all(named(version), &steps);
            let ended = run.session.ended().map_or("open".to_owned(), |ended| format!("{ended:?}"));
            assert_eq!(ended, end, "{}", seed.name);
            run.settle_all();
        }
        for version in VERSIONS {
            Run::all(version, &steps).settle_all();
        }
    }
}

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

const TOPICS: [&str; 6] = [
    "devices/pump/telemetry",
    "devices/pump/telemetry/fast",
    "devices/pump/answers",
    "devices/other/telemetry",
    "devices/pump/commands/stop",
    "a/b/c/d/e/f/g/h/i",
];

const FILTERS: [&str; 7] = [
    "devices/pump/commands/#",
    "devices/pump/commands/a",
    "devices/pump/commands/+",
    "devices/pump/receipts",
    "#",
    "$share/g/devices/pump/commands/a",
    "a/b/c/d/e/f/g/h/i",
];

fn any_qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

/// Few, so that they come again.
fn any_id() -> impl Strategy<Value = NonZeroU16> {
    (1..=5u16).prop_map(id)
}

fn any_publish() -> impl Strategy<Value = Packet> {
    let rarely = || prop::bool::weighted(0.01);
    (select(TOPICS.to_vec()), any_qos(), any_id(), any::<bool>(), rarely(), rarely()).prop_map(
        |(topic, qos, id, dup, retain, has_alias)| {
            let has_id = qos != QoS::AtMostOnce;
            let plain = publish_packet(topic, qos, if has_id { id.get() } else { 0 });
            let topic_alias = has_alias.then_some(id);
            Packet::Publish(Publish { dup: dup && has_id, retain, topic_alias, ..plain })
        },
    )
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let ack = || any_id().prop_map(|id| Ack::new(id, ReasonCode::Success));
    let filters = || vec(select(FILTERS.to_vec()), 1..4);
    let unsubscribe = |filters: Vec<&str>| Unsubscribe {
        packet_id: id(8),
        filters: filters.into_iter().map(|filter| Filter::new(filter).unwrap()).collect(),
        user_properties: Vec::new(),
    };
    let auth = Auth {
        code: ReasonCode::ReAuthenticate,
        authentication: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    prop_oneof![
        60 => any_publish(),
        8 => ack().prop_map(Packet::PubAck),
        2 => ack().prop_map(Packet::PubRec),
        12 => ack().prop_map(Packet::PubRel),
        2 => ack().prop_map(Packet::PubComp),
        8 => (filters(), any_qos()).prop_map(|(filters, qos)| subscribe_packet(&filters, qos)),
        4 => filters().prop_map(move |filters| Packet::Unsubscribe(unsubscribe(filters))),
        4 => Just(Packet::PingReq),
        1 => select(vec![ReasonCode::Success, ReasonCode::DisconnectWithWill])
            .prop_map(|code| Packet::Disconnect(Disconnect::new(code))),
        1 => select(vec![Packet::PingResp, Packet::Auth(auth)]),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![20 => Just(Fate::Stored), 5 => Just(Fate::Rejected), 1 => Just(Fate::Lost)];
    prop_oneof![
        60 => any_packet().prop_map(Step::Packet),
        30 => (0..8usize, fate).prop_map(|(place, fate)| Step::Settle(place, fate)),
        10 => any_qos().prop_map(|qos| Step::Mail(qos.min(QoS::AtLeastOnce))),
        6 => (0..40u64).prop_map(|secs| Step::Wait(Duration::from_secs(secs))),
        3 => select(VERSIONS.to_vec()).prop_map(Step::Resume),
    ]
}

/// A change to a sequence.
#[derive(Clone, Debug)]
enum Change {
    Remove(Index),
    Repeat(Index, usize),
    Swap(Index, Index),
    Insert(Index, Step),
    /// From here on it is another seed, from there on.
    Splice(Index, Index, Index),
    /// A change to the bytes of a packet.
    Bytes(Index, Vec<Mutation>),
}

fn any_change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        place().prop_map(Change::Remove),
        (place(), 1..6usize).prop_map(|(place, count)| Change::Repeat(place, count)),
        (place(), place()).prop_map(|(one, other)| Change::Swap(one, other)),
        (place(), any_step()).prop_map(|(place, step)| Change::Insert(place, step)),
        (place(), place(), place()).prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
        (place(), mutations()).prop_map(|(place, mutations)| Change::Bytes(place, mutations)),
    ]
}

fn change(steps: &mut Vec<Step>, change: &Change, seeds: &[Vec<Step>]) {
    let length = steps.len();
    if length == 0 {
        return;
    }
    match change {
        Change::Remove(place) => drop(steps.remove(place.index(length))),
        Change::Swap(one, other) => steps.swap(one.index(length), other.index(length)),
        Change::Insert(place, step) => steps.insert(place.index(length), step.clone()),
        Change::Repeat(place, count) => {
            let again = vec![steps[place.index(length)].clone(); *count];
            let at = place.index(length);
            steps.splice(at..at, again);
        }
        Change::Splice(at, seed, from) => {
            let other = &seeds[seed.index(seeds.len())];
            steps.truncate(at.index(length));
            steps.extend_from_slice(&other[from.index(other.len())..]);
        }
        Change::Bytes(place, mutations) => {
            if let Step::Bytes(bytes) = &mut steps[place.index(length)] {
                let all = [bytes.clone()];
                mutate(bytes, mutations, &all);
            }
        }
    }
}

fn changed() -> impl Strategy<Value = Vec<Step>> {
    let seeds: Vec<Vec<Step>> = seeds("sequences").iter().map(steps).collect();
    let all = seeds.clone();
    (select(seeds), vec(any_change(), 1..8)).prop_map(move |(mut steps, changes)| {
        changes.iter().for_each(|one| change(&mut steps, one, &all));
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_session_does_what_the_model_foretells(
        version in select(VERSIONS.to_vec()),
        steps in vec(any_step(), 1..80),
    ) {
        Run::all(version, &steps).settle_all();
    }

    #[test]
    fn a_mutated_sequence_goes_as_the_model_foretells(version in select(VERSIONS.to_vec()), steps in changed()) {
        Run::all(version, &steps).settle_all();
    }
}
