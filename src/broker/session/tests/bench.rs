//! A session on the test's bench: its clock, its packets, and what came out of it.

use std::sync::Arc;

use bytes::Bytes;

use super::super::*;
use crate::auth::{Grant, scope};
use crate::broker::{Message, Together};
use crate::ingest::{EncodingLabel, Reason};
use crate::metrics::Registry;
use crate::mqtt::topic::Topic;

pub(super) const RECEIVE_MAXIMUM: u16 = 3;
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A session and what came out of it.
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) fn terms(version: Version, grant: Grant, now: Instant) -> Terms {
    Terms {
        version,
        grant: Arc::new(grant),
        receive_maximum: RECEIVE_MAXIMUM,
        in_flight_max: RECEIVE_MAXIMUM.into(),
        client_receive_maximum: 2,
        client_bytes_max: 10_000,
        together: Together::new(usize::MAX),
        client_packet_bytes_max: 1000,
        problem_information: ProblemInformation::Wanted,
        silence_max: Some(KEEP_ALIVE),
        grant_ends: now + Duration::from_secs(3600),
        retries_until: now + Duration::from_secs(60),
        subscriptions_max: 2,
        topics: TopicBounds { bytes_max: 100, levels_max: 8 },
        will: None,
        expiry: Duration::from_secs(100),
        expiry_max: Duration::from_secs(1000),
    }
}

impl Bench {
    pub(super) fn with(terms: impl FnOnce(Instant) -> Terms, state: SessionState) -> Self {
        let now = start();
        let metrics = Metrics::new(&Registry::default());
        Bench { session: Session::new(terms(now), state, metrics, now), now }
    }

    pub(super) fn device(version: Version) -> Self {
        let grant = Grant::device("pump", i64::MAX).unwrap();
        Self::with(|now| terms(version, grant, now), SessionState::default())
    }

    pub(super) fn service(version: Version, scopes: &str) -> Self {
        Self::resumed_service(version, scopes, SessionState::default())
    }

    pub(super) fn resumed_service(version: Version, scopes: &str, state: SessionState) -> Self {
        let grant = Grant::service("console", scope::parse_all(scopes).unwrap(), i64::MAX);
        Self::with(|now| terms(version, grant, now), state)
    }

    /// A message from the mailbox, sent at once.
    pub(super) fn mail(&mut self, queued: Queued) {
        let packet = self.session.address(queued);
        self.session.send(packet);
    }

    pub(super) fn send_again(&mut self) -> bool {
        let again = self.session.poll_again();
        again.map(|packet| self.session.send(packet)).is_some()
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    pub(super) fn sent(&mut self) -> Vec<Packet> {
        let outputs = self.outputs().into_iter();
        outputs.filter_map(|output| if let Output::Send(packet) = output { Some(packet) } else { None }).collect()
    }

    pub(super) fn packet(&mut self, packet: Packet) -> &mut Self {
        self.session.handle_packet(packet, self.now);
        self
    }

    pub(super) fn publish(&mut self, topic: &str, qos: QoS, packet_id: u16) -> &mut Self {
        self.packet(Packet::Publish(publish_packet(topic, qos, packet_id)))
    }
}

pub(super) fn id(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap()
}

pub(super) fn publish_packet(topic: &str, qos: QoS, packet_id: u16) -> Publish {
    let plain = Publish::new(Topic::new(topic).unwrap(), Bytes::from_static(b"payload"));
    Publish { qos, packet_id: NonZeroU16::new(packet_id), ..plain }
}

pub(super) fn subscribe_packet(filters: &[&str], qos: QoS) -> Packet {
    let wanted = filters.iter().map(|filter| Subscription::new(Filter::new(*filter).unwrap(), qos));
    Packet::Subscribe(Subscribe {
        packet_id: id(9),
        subscription_id: None,
        subscriptions: wanted.collect(),
        user_properties: Vec::new(),
    })
}

pub(super) fn queued(qos: QoS) -> Queued {
    let message = Message::plain(Topic::new("a").unwrap(), Bytes::from_static(b"m"), qos);
    Queued { message: Arc::new(message), qos, retain: false }
}

pub(super) fn tickets(outputs: &[Output]) -> Vec<u64> {
    let submitted = outputs.iter().filter_map(|output| match output {
        Output::Submit(telemetry) => Some(telemetry.ticket),
        _ => None,
    });
    submitted.collect()
}

pub(super) fn rejected(reason: Reason) -> Settled {
    Settled::Rejected { reason, encoding: EncodingLabel::Frame, detail: None }
}
