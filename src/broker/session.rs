//! One client's session: packets, receipts and time in, [`Output`]s out. Pure.
//!
//! A session has two parts. [`SessionState`] is what MQTT calls session state: subscriptions, what was sent and not
//! acknowledged, QoS 2 identifiers; it outlives the connection if the client asked for that. The rest belongs to the
//! connection: the answers owed, the clocks, the will. CONNECT is `edge`'s; a session begins after it.

mod output;
mod publish;
mod retained;
mod terms;

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

pub use output::{Ended, Output, Telemetry};
pub use publish::telemetry_of;
pub use terms::{ProblemInformation, Terms, TopicBounds};

use retained::{Granted, Known};

use super::backlog::Backlog;
use super::inbound::{Answer, Inbound, Owed};
use super::mailbox::Queued;
use super::metrics::{Denied, Drop as DropCause, OverLimit};
use super::outbound::Outbound;
use super::will::Will;
use super::{Echo, Metrics, answers};
use crate::auth::Grant;
use crate::ingest::Settled;
use crate::mqtt::topic::Filter;
use crate::mqtt::{
    Ack, Disconnect, Packet, Publish, QoS, ReasonCode, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe, Version,
};

/// What MQTT calls the session state, as far as the session itself holds it; what waits is in its mailbox.
#[derive(Default)]
pub struct SessionState {
    subscriptions: HashMap<Filter, Granted>,
    /// Identifiers of QoS 2 whose message has gone to its subscribers, until PUBREL. At most 65,535, as many as there are.
    received: HashSet<NonZeroU16>,
    outbound: Outbound,
    /// Retained messages that are still to come for subscriptions.
    backlog: Backlog,
}

impl SessionState {
    /// The filters that the session has subscribed to.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Filter> {
        self.subscriptions.keys()
    }

    /// Takes out what a new grant does not hold any more, and gives the filters back that ended.
    pub fn narrow(&mut self, grant: &Grant) -> Vec<Filter> {
        self.outbound.retain(|queued| grant.may_hear(&queued.message.topic));
        self.backlog.retain(|filter| grant.may_subscribe(filter));
        let ended = self.subscriptions.keys().filter(|filter| !grant.may_subscribe(filter)).cloned();
        let ended: Vec<Filter> = ended.collect();
        self.subscriptions.retain(|filter, _| grant.may_subscribe(filter));
        ended
    }
}

/// One client's session while it is connected.
pub struct Session {
    terms: Terms,
    state: SessionState,
    inbound: Inbound,
    /// Identifiers of QoS 2 that this connection has answered with PUBREC: they count against the receive maximum.
    unreleased: HashSet<NonZeroU16>,
    outputs: VecDeque<Output>,
    metrics: Metrics,
    heard: Instant,
    ended: Option<Ended>,
}

impl Session {
    /// A session that has just been accepted. With a `state` that is taken up again, what was not acknowledged goes out first.
    pub fn new(terms: Terms, mut state: SessionState, metrics: Metrics, now: Instant) -> Self {
        state.outbound.reconnect();
        state.outbound.charge_to(&terms.together);
        Session {
            terms,
            state,
            inbound: Inbound::default(),
            unreleased: HashSet::new(),
            outputs: VecDeque::new(),
            metrics,
            heard: now,
            ended: None,
        }
    }

    /// A packet has come.
    pub fn handle_packet(&mut self, packet: Packet, now: Instant) {
        self.heard = now;
        if self.ended.is_some() {
            return;
        }
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish, now),
            Packet::PubAck(ack) => self.handle_puback(ack.packet_id),
            Packet::PubRel(ack) => self.handle_pubrel(ack.packet_id),
            Packet::PubRec(ack) => self.handle_pubrec(ack.packet_id),
            Packet::PubComp(_) => {}
            Packet::Subscribe(subscribe) => self.handle_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(unsubscribe),
            Packet::PingReq => self.send(Packet::PingResp),
            Packet::Disconnect(disconnect) => self.handle_disconnect(&disconnect),
            // [MQTT-3.1.0-2] A second CONNECT; the others are a server's to send. AUTH without a method is an error too.
            _ => self.end(Ended::PeerMisbehaved(ReasonCode::ProtocolError)),
        }
    }

    /// True: the packet answers a message that was sent to the client, and so is none of its own.
    pub fn awaits(&self, packet: &Packet) -> bool {
        matches!(packet, Packet::PubAck(ack) if self.state.outbound.has(ack.packet_id))
    }

    /// The receipt of a message has settled.
    pub fn handle_settled(&mut self, ticket: u64, settled: Settled) {
        match answers::answer(settled) {
            Some(answer) => {
                self.inbound.answer(ticket, answer);
                self.send_answers();
            }
            None => self.end(Ended::MessageLost),
        }
    }

    /// The next message that an earlier connection sent and the client did not acknowledge. It has to be sent.
    pub fn poll_again(&mut self) -> Option<Packet> {
        let (id, queued) = self.state.outbound.poll_again()?;
        Some(Packet::Publish(Publish { dup: true, packet_id: Some(id), ..publish(queued) }))
    }

    /// The packet for a message from the mailbox. It has to be sent, and waits for no [`Output`].
    pub fn address(&mut self, mut queued: Queued) -> Packet {
        queued.retain |= self.state.passes_retain_on(&queued.message);
        let mut publish = publish(&queued);
        if queued.qos != QoS::AtMostOnce {
            publish.packet_id = Some(self.state.outbound.keep(queued));
        }
        Packet::Publish(publish)
    }

    /// A packet that was to be sent is larger than the client takes. An answer goes without its words then
    /// [MQTT-3.4.2-2] [MQTT-3.5.2-2], a message not at all, as if it had arrived [MQTT-3.1.2-25].
    pub fn handle_too_large(&mut self, packet: Packet) {
        match packet {
            Packet::PubAck(ack) if ack != wordless(&ack) => {
                self.outputs.push_front(Output::Send(Packet::PubAck(wordless(&ack))))
            }
            Packet::PubRec(ack) if ack != wordless(&ack) => {
                self.outputs.push_front(Output::Send(Packet::PubRec(wordless(&ack))))
            }
            Packet::Publish(publish) => {
                self.metrics.dropped.inc(DropCause::TooLarge);
                publish.packet_id.map(|id| self.state.outbound.acknowledge(id));
            }
            _ => {}
        }
    }

    /// Time has come to [`Session::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.terms.grant_ends {
            self.end(Ended::TokenExpired);
        } else if self.silent_at().is_some_and(|silent| now >= silent) {
            self.end(Ended::Silent);
        }
    }

    /// The socket was not read for a while, by our choice: the client's silence begins anew.
    pub fn handle_resumed(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The connection is to end.
    pub fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives back memory that was needed while something was under way, if nothing is.
    pub fn rest(&mut self) {
        if self.outputs.is_empty() && self.inbound.is_empty() {
            self.outputs = VecDeque::new();
            self.inbound.rest();
        }
    }

    /// When to call [`Session::handle_timeout`], while the socket is read.
    pub fn poll_timeout(&self) -> Instant {
        self.silent_at().map_or(self.terms.grant_ends, |silent| silent.min(self.terms.grant_ends))
    }

    /// When the grant ends, whether the socket is read or not.
    pub fn grant_ends(&self) -> Instant {
        self.terms.grant_ends
    }

    /// Why the connection ends, once it does.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// False: as much is under way as may be, and the socket should not be read. A client of MQTT 5 stops by itself at its
    /// receive maximum, so there only QoS 0 has to be held back.
    pub fn wants_packets(&self) -> bool {
        let under_way = match self.terms.version {
            Version::V311 => self.inbound.len(),
            Version::V5 => self.inbound.len() - self.inbound.unacknowledged(),
        };
        self.ended.is_none() && under_way < self.terms.in_flight_max
    }

    /// True: a message from the mailbox may go out [MQTT-4.9.0-1].
    pub fn wants_mail(&self) -> bool {
        self.ended.is_none() && self.mail_max() > 0
    }

    /// How many messages from the mailbox may go out.
    pub fn mail_max(&self) -> usize {
        self.state.outbound.room(self.terms.client_receive_maximum.into(), self.terms.client_bytes_max)
    }

    /// True: no answer is owed.
    pub fn is_settled(&self) -> bool {
        self.inbound.is_empty()
    }

    /// The largest packet that may be sent [MQTT-3.1.2-24].
    pub fn client_packet_bytes_max(&self) -> u32 {
        self.terms.client_packet_bytes_max
    }

    /// The protocol that the client speaks.
    pub fn version(&self) -> Version {
        self.terms.version
    }

    /// What is left when the connection is gone: the state, how long it is kept, and the will, if it is to be published.
    pub fn into_remains(self) -> (SessionState, Duration, Option<Will>) {
        let said_goodbye = self.ended == Some(Ended::ByClient);
        (self.state, self.terms.expiry, self.terms.will.filter(|_| !said_goodbye).map(|will| *will))
    }

    fn handle_puback(&mut self, id: NonZeroU16) {
        self.state.outbound.acknowledge(id);
    }

    fn handle_pubrel(&mut self, id: NonZeroU16) {
        let released = self.unreleased.remove(&id) | self.state.received.remove(&id);
        let code = if released { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send(Packet::PubComp(Ack::new(id, code))); // [MQTT-4.3.3-11]
    }

    /// Nothing is sent at QoS 2, so no PUBREC is awaited; the exchange is still brought to its end.
    fn handle_pubrec(&mut self, id: NonZeroU16) {
        self.send(Packet::PubRel(Ack::new(id, ReasonCode::PacketIdentifierNotFound)));
    }

    fn handle_subscribe(&mut self, subscribe: Subscribe) {
        if subscribe.subscription_id.is_some() {
            // CONNACK said that there are none.
            return self.end(Ended::PeerMisbehaved(ReasonCode::SubscriptionIdentifiersNotSupported));
        }
        let wanted = subscribe.subscriptions.into_iter();
        let codes = wanted.map(|wanted| self.subscribe(wanted)).collect(); // [MQTT-3.8.4-6]
        self.send(Packet::SubAck(SubAck::new(subscribe.packet_id, codes)));
    }

    fn subscribe(&mut self, wanted: Subscription) -> ReasonCode {
        let filter = wanted.filter.detached();
        if filter.shared().is_some() {
            return ReasonCode::SharedSubscriptionsNotSupported;
        }
        if !self.terms.topics.hold(filter.as_str()) {
            self.metrics.over_limit.inc(OverLimit::Filter);
            return ReasonCode::TopicFilterInvalid;
        }
        if !self.terms.grant.may_subscribe(&filter) {
            self.metrics.denied.inc(Denied::Subscribe);
            return ReasonCode::NotAuthorized;
        }
        let is_new = !self.state.subscriptions.contains_key(&filter);
        if is_new && self.state.subscriptions.len() >= self.terms.subscriptions_max {
            self.metrics.over_limit.inc(OverLimit::Subscriptions);
            return ReasonCode::QuotaExceeded;
        }
        let qos = wanted.qos.min(QoS::AtLeastOnce);
        let echo = if wanted.no_local { Echo::No } else { Echo::Yes };
        let known = if is_new { Known::No } else { Known::Yes };
        self.state.owe_retained(&filter, qos, wanted.retain_handling, known);
        let subscribed = Granted { qos, retain_as_published: wanted.retain_as_published };
        self.state.subscriptions.insert(filter.clone(), subscribed);
        self.outputs.push_back(Output::Subscribe(filter, qos, echo));
        granted(qos)
    }

    fn handle_unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        let codes = unsubscribe.filters.into_iter().map(|filter| self.unsubscribe(filter)).collect();
        self.send(Packet::UnsubAck(UnsubAck::new(unsubscribe.packet_id, codes)));
    }

    fn unsubscribe(&mut self, filter: Filter) -> ReasonCode {
        if self.state.subscriptions.remove(&filter).is_none() {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.state.backlog.end(&filter);
        self.outputs.push_back(Output::Unsubscribe(filter));
        ReasonCode::Success
    }

    fn handle_disconnect(&mut self, disconnect: &Disconnect) {
        if let Some(secs) = disconnect.session_expiry_secs {
            let wanted = Duration::from_secs(u64::from(secs));
            if self.terms.expiry.is_zero() && !wanted.is_zero() {
                return self.end(Ended::PeerMisbehaved(ReasonCode::ProtocolError)); // [MQTT-3.14.2-2]
            }
            self.terms.expiry = wanted.min(self.terms.expiry_max);
        }
        let ended = match disconnect.code {
            ReasonCode::Success => Ended::ByClient,
            // [MQTT-3.14.4-3] Any other goodbye lets the will stand.
            _ => Ended::Gone,
        };
        self.end(ended);
    }

    fn send_answers(&mut self) {
        while let Some((ack, answer)) = self.inbound.poll_answer() {
            self.send_ack(ack, answer);
        }
    }

    fn send_ack(&mut self, ack: Owed, answer: Answer) {
        let accepted = self.terms.version == Version::V311 || !answer.code.is_failure();
        let packet = match ack {
            Owed::None => return,
            Owed::PubAck(id) => Packet::PubAck(self.worded(id, answer)),
            Owed::PubRec(id) => {
                if accepted {
                    self.unreleased.insert(id);
                }
                Packet::PubRec(self.worded(id, answer))
            }
        };
        self.send(packet);
    }

    /// An answer with its words, if the client wants them [MQTT-3.1.2-29].
    fn worded(&self, id: NonZeroU16, answer: Answer) -> Ack {
        match self.terms.problem_information {
            ProblemInformation::Wanted => answers::ack(id, answer),
            ProblemInformation::Unwanted => Ack::new(id, answer.code),
        }
    }

    fn send(&mut self, packet: Packet) {
        self.outputs.push_back(Output::Send(packet));
    }

    fn silent_at(&self) -> Option<Instant> {
        self.terms.silence_max.map(|max| self.heard + max)
    }
}

fn publish(queued: &Queued) -> Publish {
    let message = &queued.message;
    Publish {
        qos: queued.qos,
        retain: queued.retain,
        properties: message.properties.clone(),
        ..Publish::new(message.topic.clone(), message.payload.clone())
    }
}

fn wordless(ack: &Ack) -> Ack {
    Ack::new(ack.packet_id, ack.code)
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

#[cfg(test)]
mod tests;
