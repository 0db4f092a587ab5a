//! A PUBLISH of the client: may it come, where does it go, and what is owed for it.

use std::sync::Arc;
use std::time::Instant;

use super::{Ended, Output, Session, Telemetry};
use crate::auth::{Grant, Principal};
use crate::broker::Message;
use crate::broker::inbound::{Answer, Owed};
use crate::broker::metrics::{Denied, OverLimit};
use crate::ingest::Origin;
use crate::mqtt::topic::Topic;
use crate::mqtt::{Publish, ReasonCode, Version};

/// Identifiers of QoS 2 that a session keeps: more than a client library has under way, and less than there are.
const IDENTIFIERS_MAX: usize = 1024;

impl Session {
    pub(super) fn handle_publish(&mut self, publish: Publish, now: Instant) {
        let owed = Owed::new(publish.qos, publish.packet_id);
        if matches!(owed, Owed::PubRec(id) if self.inbound.owes_pubrec(id)) {
            return; // The same message again, and its PUBREC is due [MQTT-4.3.3-10].
        }
        match self.checked(&publish, owed) {
            Ok(topic) => self.route(&topic, publish, owed, now),
            Err(reason) => self.end(Ended::PeerMisbehaved(reason)),
        }
    }

    /// What CONNACK has ruled out is a protocol error.
    fn checked(&self, publish: &Publish, owed: Owed) -> Result<Topic, ReasonCode> {
        let (Some(topic), None) = (&publish.topic, publish.topic_alias) else {
            return Err(ReasonCode::TopicAliasInvalid); // [MQTT-3.3.2-9]
        };
        if publish.retain && self.terms.version == Version::V5 {
            return Err(ReasonCode::RetainNotSupported); // [MQTT-3.2.2-14]
        }
        if self.exceeds_receive_maximum(owed) {
            return Err(ReasonCode::ReceiveMaximumExceeded); // [MQTT-3.3.4-9]
        }
        if self.holds_too_many_identifiers(owed) {
            return Err(ReasonCode::QuotaExceeded);
        }
        Ok(topic.clone())
    }

    /// Identifiers of QoS 2 are kept until PUBREL, those of an earlier connection too. A client that never sends it must not fill the
    /// session with all that there are.
    fn holds_too_many_identifiers(&self, owed: Owed) -> bool {
        let Owed::PubRec(id) = owed else { return false };
        let is_known = self.unreleased.contains(&id) || self.state.received.contains(&id);
        !is_known && self.unreleased.len().max(self.state.received.len()) >= IDENTIFIERS_MAX
    }

    /// [MQTT-3.3.4-7] At MQTT 5 the client has to stop by itself; at 3.1.1 reading stops instead.
    fn exceeds_receive_maximum(&self, owed: Owed) -> bool {
        let under_way = self.inbound.unacknowledged() + self.unreleased.len();
        let is_counted = matches!(owed, Owed::PubRec(id) if self.unreleased.contains(&id));
        owed != Owed::None
            && !is_counted
            && self.terms.version == Version::V5
            && under_way >= usize::from(self.terms.receive_maximum)
    }

    fn route(&mut self, topic: &Topic, publish: Publish, owed: Owed, now: Instant) {
        let ticket = self.inbound.owe(owed);
        if !self.terms.topics.hold(topic.as_str()) {
            self.metrics.over_limit.inc(OverLimit::Topic);
            return self.answer(ticket, Answer::refused(ReasonCode::TopicNameInvalid, "topic_too_long"));
        }
        if !self.terms.grant.may_publish(topic) {
            self.metrics.denied.inc(Denied::Publish);
            return self.answer(ticket, Answer::refused(ReasonCode::NotAuthorized, "not_authorized"));
        }
        if let Some(device_id) = telemetry_of(&self.terms.grant, topic) {
            let origin = self.origin(publish.dup, now);
            let telemetry = Telemetry { ticket, device_id, payload: publish.payload, origin };
            return self.outputs.push_back(Output::Submit(telemetry));
        }
        if self.is_new(owed) {
            self.outputs.push_back(Output::Publish(Arc::new(Message::new(topic, &publish))));
        }
        self.answer(ticket, Answer::SUCCESS);
    }

    /// A QoS 2 identifier that has not been released yet is the same message again, also on a later connection: subscribers
    /// have it already [MQTT-4.3.3-10]. Telemetry does not ask this: there the counter under the seal tells, and a device that has
    /// forgotten its identifiers must not have a new reading taken for an old one.
    fn is_new(&mut self, owed: Owed) -> bool {
        match owed {
            Owed::PubRec(id) => self.state.received.insert(id),
            Owed::None | Owed::PubAck(_) => true,
        }
    }

    fn answer(&mut self, ticket: u64, answer: Answer) {
        self.inbound.answer(ticket, answer);
        self.send_answers();
    }

    fn origin(&self, dup: bool, now: Instant) -> Origin {
        if dup || now < self.terms.retries_until { Origin::Retry } else { Origin::Replay }
    }
}

/// The device whose telemetry a topic is, if this grant is that device's. Only a device publishes below its own topics, so a
/// topic that the grant allows needs no second look at the name in it.
pub fn telemetry_of(grant: &Grant, topic: &Topic) -> Option<Arc<str>> {
    let Principal::Device(device_id) = grant.principal() else { return None };
    (topic.levels().nth(2) == Some("telemetry")).then(|| device_id.clone())
}
