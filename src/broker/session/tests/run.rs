//! A session and its model beside it: each step goes to both, and both have to say the same.

use std::collections::BTreeSet;

use ::bytes::BytesMut;

use super::bench::*;
use super::model::{Fate, Model, Said};
use super::*;
use crate::metrics::Registry;
use crate::mqtt::{Connect, Decoder, Text, encode};

/// What happens to a session.
#[derive(Clone, Debug)]
pub(super) enum Step {
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
pub(super) struct Run {
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

    pub(super) fn all(version: Version, steps: &[Step]) -> Self {
        steps.iter().fold(Run::start(version), |run, step| run.step(step))
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.session.ended()
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
            return assert!(!self.session.wants_mail(), "nothing is sent after the end");
        }
        if !self.session.wants_mail() {
            return;
        }
        let again = self.model.again();
        let sent = self.session.poll_again().unwrap_or_else(|| {
            assert_eq!(again, None, "what was not acknowledged goes first");
            self.session.address(queued(qos))
        });
        let Packet::Publish(sent) = sent else { panic!("a message goes out") };
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
        let subscriptions: BTreeSet<String> =
            session.state.subscriptions().map(|filter| filter.as_str().to_owned()).collect();
        assert_eq!(&subscriptions, model.filters(), "{step:?}");
        assert!(model.keeps_its_bounds(), "{step:?}");
    }

    /// All receipts settle, the newest first, and every message is answered then.
    pub(super) fn settle_all(mut self) -> Self {
        while !self.tickets.is_empty() {
            self.settle(self.tickets.len() - 1, Fate::Stored);
        }
        assert!(self.session.is_settled() || self.has_lost, "an answer is owed");
        self
    }
}
