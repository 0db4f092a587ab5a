//! A session in lists and sets: what the standard and the plan want of each step, said without the session's own parts.

use std::collections::{BTreeSet, VecDeque};

use super::bench::{KEEP_ALIVE, RECEIVE_MAXIMUM};
use super::*;

/// What a session says or does, as far as the model foretells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    PubAck(u16, ReasonCode),
    PubRec(u16, ReasonCode),
    PubRel(u16, ReasonCode),
    PubComp(u16, ReasonCode),
    SubAck(u16, Vec<ReasonCode>),
    UnsubAck(u16, Vec<ReasonCode>),
    PingResp,
    Submitted(Origin),
    HandedOn,
    Subscribed(String),
    Unsubscribed(String),
}

/// What becomes of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    Rejected,
    Lost,
}

/// A PUBLISH that came and was not answered; its code, once it is known.
struct Due {
    number: usize,
    qos: QoS,
    id: u16,
    code: Option<ReasonCode>,
}

/// What the model knows of a session.
pub(super) struct Model {
    version: Version,
    owed: VecDeque<Due>,
    /// Numbers of the envelopes whose fate is open, oldest first.
    open: Vec<usize>,
    count: usize,
    /// Identifiers of QoS 2 from their PUBREC to their PUBREL, on this connection.
    unreleased: BTreeSet<u16>,
    /// Identifiers of QoS 2 whose message was handed on, to their PUBREL, on any connection.
    handed_on: BTreeSet<u16>,
    filters: BTreeSet<String>,
    /// What the client was sent and has not acknowledged, and whether it was on this connection.
    kept: Vec<(u16, bool)>,
    heard: Instant,
    began: Instant,
    ended: Option<Ended>,
}

/// The bounds of [`terms`](super::bench::terms).
const SUBSCRIPTIONS_MAX: usize = 2;
const CLIENT_RECEIVE_MAXIMUM: usize = 2;
const WINDOW: usize = RECEIVE_MAXIMUM as usize;
const GRANT_LASTS: Duration = Duration::from_secs(3600);
const RETRIES_LAST: Duration = Duration::from_secs(60);

fn is_too_long(topic: &str) -> bool {
    topic.len() > 100 || topic.split('/').count() > 8
}

impl Model {
    pub(super) fn new(version: Version, now: Instant) -> Self {
        Model {
            version,
            owed: VecDeque::new(),
            open: Vec::new(),
            count: 0,
            unreleased: BTreeSet::new(),
            handed_on: BTreeSet::new(),
            filters: BTreeSet::new(),
            kept: Vec::new(),
            heard: now,
            began: now,
            ended: None,
        }
    }

    /// The client is on a new connection, and takes its session up again.
    pub(super) fn resume(self, version: Version, now: Instant) -> Self {
        let kept = self.kept.into_iter().map(|(id, _)| (id, false)).collect();
        Model { handed_on: self.handed_on, filters: self.filters, kept, ..Model::new(version, now) }
    }

    pub(super) fn packet(&mut self, packet: &Packet, now: Instant) -> Vec<Said> {
        self.heard = now;
        if self.ended.is_some() {
            return Vec::new();
        }
        match packet {
            Packet::Publish(publish) => self.publish(publish, now),
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Packet::PingReq => vec![Said::PingResp],
            Packet::PubComp(_) => Vec::new(),
            Packet::PubRec(ack) => vec![Said::PubRel(ack.packet_id.get(), ReasonCode::PacketIdentifierNotFound)],
            Packet::PubAck(ack) => {
                self.kept.retain(|(id, _)| *id != ack.packet_id.get());
                Vec::new()
            }
            Packet::PubRel(ack) => {
                let id = ack.packet_id.get();
                let code = match (self.unreleased.remove(&id), self.handed_on.remove(&id)) {
                    (false, false) => ReasonCode::PacketIdentifierNotFound,
                    _ => ReasonCode::Success,
                };
                vec![Said::PubComp(id, code)]
            }
            Packet::Disconnect(Disconnect { code: ReasonCode::Success, .. }) => self.end(Ended::ByClient),
            Packet::Disconnect(_) => self.end(Ended::Gone),
            _ => self.misbehaved(ReasonCode::ProtocolError),
        }
    }

    /// What becomes of the envelope at this place among those that are open.
    pub(super) fn settle(&mut self, place: usize, fate: Fate) -> Vec<Said> {
        let number = self.open.remove(place);
        let due = self.owed.iter_mut().find(|due| due.number == number).expect("an open envelope is owed its answer");
        match fate {
            Fate::Stored => due.code = Some(ReasonCode::Success),
            Fate::Rejected => due.code = Some(ReasonCode::PayloadFormatInvalid),
            Fate::Lost => return self.end(Ended::MessageLost),
        }
        self.answers()
    }

    /// A message went out to the client for the first time.
    pub(super) fn mail(&mut self, id: Option<u16>, qos: QoS) {
        assert_eq!(id.is_some(), qos != QoS::AtMostOnce);
        let Some(id) = id else { return };
        assert!(self.kept.iter().all(|(other, _)| *other != id), "[MQTT-2.2.1-3]");
        self.kept.push((id, true));
    }

    /// The message that goes out again next, if one does; it is on this connection then.
    pub(super) fn again(&mut self) -> Option<u16> {
        let kept = self.kept.iter_mut().find(|(_, is_sent)| !is_sent)?;
        kept.1 = true;
        Some(kept.0)
    }

    pub(super) fn time(&mut self, now: Instant) {
        if now >= self.began + GRANT_LASTS {
            self.end(Ended::TokenExpired);
        } else if now >= self.heard + KEEP_ALIVE {
            self.end(Ended::Silent);
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        (self.heard + KEEP_ALIVE).min(self.began + GRANT_LASTS)
    }

    pub(super) fn misbehaved(&mut self, reason: ReasonCode) -> Vec<Said> {
        self.end(Ended::PeerMisbehaved(reason))
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn owes_nothing(&self) -> bool {
        self.owed.is_empty()
    }

    pub(super) fn filters(&self) -> &BTreeSet<String> {
        &self.filters
    }

    /// What the gateway has not answered, of which a client of 3.1.1 is told nothing, and one of 5.0 nothing of QoS 0.
    pub(super) fn wants_packets(&self) -> bool {
        let held_back = |due: &&Due| self.version == Version::V311 || due.qos == QoS::AtMostOnce;
        self.ended.is_none() && self.owed.iter().filter(held_back).count() < WINDOW
    }

    pub(super) fn wants_mail(&self) -> bool {
        let under_way = self.kept.iter().filter(|(_, is_sent)| *is_sent).count();
        self.ended.is_none() && under_way < CLIENT_RECEIVE_MAXIMUM
    }

    /// No more is under way than the windows of both sides allow, whatever came.
    pub(super) fn keeps_its_bounds(&self) -> bool {
        let of_qos_0 = self.owed.iter().filter(|due| due.qos == QoS::AtMostOnce).count();
        let under_way = match self.version {
            Version::V311 => self.owed.len() <= WINDOW,
            Version::V5 => of_qos_0 <= WINDOW && self.distinct() <= WINDOW,
        };
        under_way && self.filters.len() <= SUBSCRIPTIONS_MAX && self.open.len() <= self.owed.len()
    }

    fn end(&mut self, ended: Ended) -> Vec<Said> {
        self.ended.get_or_insert(ended);
        Vec::new()
    }

    /// Messages of QoS 1 and 2 under way: one of QoS 2 that is sent again after its PUBREC is the same.
    fn distinct(&self) -> usize {
        let of_qos_1 = self.owed.iter().filter(|due| due.qos == QoS::AtLeastOnce).count();
        let of_qos_2 = self.owed.iter().filter(|due| due.qos == QoS::ExactlyOnce).map(|due| due.id);
        of_qos_1 + self.unreleased.iter().copied().chain(of_qos_2).collect::<BTreeSet<u16>>().len()
    }

    /// What counts against the Receive Maximum: each PUBLISH that was sent (section 4.9), also one that is sent again, which no client
    /// does on the same connection [MQTT-4.4.0-1].
    fn counted(&self) -> usize {
        self.owed.iter().filter(|due| due.qos != QoS::AtMostOnce).count() + self.unreleased.len()
    }

    fn publish(&mut self, publish: &Publish, now: Instant) -> Vec<Said> {
        let (qos, id) = (publish.qos, publish.packet_id.map_or(0, NonZeroU16::get));
        let is_the_same = |due: &Due| due.qos == QoS::ExactlyOnce && due.id == id;
        if qos == QoS::ExactlyOnce && self.owed.iter().any(is_the_same) {
            return Vec::new();
        }
        let (Some(topic), None) = (&publish.topic, publish.topic_alias) else {
            return self.misbehaved(ReasonCode::TopicAliasInvalid);
        };
        if self.version == Version::V5 && publish.retain {
            return self.misbehaved(ReasonCode::RetainNotSupported);
        }
        let is_counted_already = qos == QoS::ExactlyOnce && self.unreleased.contains(&id);
        let adds = qos != QoS::AtMostOnce && !is_counted_already;
        if self.version == Version::V5 && adds && self.counted() >= WINDOW {
            return self.misbehaved(ReasonCode::ReceiveMaximumExceeded);
        }
        self.count += 1;
        self.owed.push_back(Due { number: self.count, qos, id, code: None });
        let mut said = Vec::new();
        let code = match topic.as_str() {
            long if is_too_long(long) => ReasonCode::TopicNameInvalid,
            "devices/pump/telemetry" | "devices/pump/telemetry/fast" => {
                let is_retry = publish.dup || now < self.began + RETRIES_LAST;
                self.open.push(self.count);
                return vec![Said::Submitted(if is_retry { Origin::Retry } else { Origin::Replay })];
            }
            "devices/pump/answers" => {
                if qos != QoS::ExactlyOnce || self.handed_on.insert(id) {
                    said.push(Said::HandedOn);
                }
                ReasonCode::Success
            }
            _ => ReasonCode::NotAuthorized,
        };
        self.owed.back_mut().expect("it was put there").code = Some(code);
        said.extend(self.answers());
        said
    }

    /// The answers whose turn it is: all before them have left.
    fn answers(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(&Due { qos, id, code: Some(code), .. }) = self.owed.front() {
            self.owed.pop_front();
            match qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => said.push(Said::PubAck(id, code)),
                QoS::ExactlyOnce => {
                    if self.version == Version::V311 || !code.is_failure() {
                        self.unreleased.insert(id);
                    }
                    said.push(Said::PubRec(id, code));
                }
            }
        }
        said
    }

    fn subscribe(&mut self, subscribe: &Subscribe) -> Vec<Said> {
        if subscribe.subscription_id.is_some() {
            return self.misbehaved(ReasonCode::SubscriptionIdentifiersNotSupported);
        }
        let (mut said, mut codes) = (Vec::new(), Vec::new());
        for Subscription { filter, qos, .. } in &subscribe.subscriptions {
            let filter = filter.as_str();
            let is_own = filter == "devices/pump/receipts" || filter.starts_with("devices/pump/commands/");
            let is_full = self.filters.len() == SUBSCRIPTIONS_MAX && !self.filters.contains(filter);
            codes.push(match filter {
                _ if filter.starts_with("$share/") => ReasonCode::SharedSubscriptionsNotSupported,
                _ if is_too_long(filter) => ReasonCode::TopicFilterInvalid,
                _ if !is_own => ReasonCode::NotAuthorized,
                _ if is_full => ReasonCode::QuotaExceeded,
                _ => {
                    self.filters.insert(filter.to_owned());
                    said.push(Said::Subscribed(filter.to_owned()));
                    if *qos == QoS::AtMostOnce { ReasonCode::Success } else { ReasonCode::GrantedQoS1 }
                }
            });
        }
        said.push(Said::SubAck(subscribe.packet_id.get(), codes));
        said
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) -> Vec<Said> {
        let (mut said, mut codes) = (Vec::new(), Vec::new());
        for filter in &unsubscribe.filters {
            let was_there = self.filters.remove(filter.as_str());
            codes.push(if was_there { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted });
            said.extend(was_there.then(|| Said::Unsubscribed(filter.as_str().to_owned())));
        }
        said.push(Said::UnsubAck(unsubscribe.packet_id.get(), codes));
        said
    }
}
