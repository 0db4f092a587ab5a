//! The properties of each packet, without the length in front. One that says its default is left out.

use std::num::{NonZeroU16, NonZeroU32};

use super::sink::{Part, Sink};
use crate::mqtt::packet::connect::{Authentication, ConnAck, Connect, Will};
use crate::mqtt::packet::publish::{Publish, PublishProperties};
use crate::mqtt::packet::subscribe::Subscribe;
use crate::mqtt::packet::{Auth, Disconnect, QoS, UserProperties};
use crate::mqtt::property as id;
use crate::mqtt::text::Text;

/// The properties of a packet.
pub(super) struct Unit<'a, P>(pub(super) &'a P);

/// A word for people, and pairs.
pub(super) struct Words<'a>(pub(super) &'a Option<Text>, pub(super) &'a UserProperties);

impl Part for Unit<'_, Connect> {
    fn write<S: Sink>(&self, out: &mut S) {
        let connect = self.0;
        out.property_u32(id::SESSION_EXPIRY, unless_zero(connect.session_expiry_secs));
        out.property_u16(id::RECEIVE_MAX, connect.receive_max.map(NonZeroU16::get));
        out.property_u32(id::PACKET_BYTES_MAX, connect.packet_bytes_max.map(NonZeroU32::get));
        out.property_u16(id::TOPIC_ALIAS_MAX, unless_zero(connect.topic_alias_max));
        out.flag_unless(false, id::REQUEST_RESPONSE_INFORMATION, connect.request_response_information);
        out.flag_unless(true, id::REQUEST_PROBLEM_INFORMATION, connect.request_problem_information);
        write_authentication(&connect.authentication, out);
        out.user_properties(&connect.user_properties);
    }
}

impl Part for Unit<'_, Will> {
    fn write<S: Sink>(&self, out: &mut S) {
        let will = self.0;
        out.property_u32(id::WILL_DELAY, unless_zero(will.delay_secs));
        out.property_u32(id::MESSAGE_EXPIRY, will.message_expiry_secs);
        write_passed_on(&will.properties, out);
    }
}

impl Part for Unit<'_, ConnAck> {
    fn write<S: Sink>(&self, out: &mut S) {
        let connack = self.0;
        out.property_u32(id::SESSION_EXPIRY, connack.session_expiry_secs);
        out.property_u16(id::RECEIVE_MAX, connack.receive_max.map(NonZeroU16::get));
        if connack.qos_max != QoS::ExactlyOnce {
            out.bytes(&[id::QOS_MAX, connack.qos_max.as_u8()]);
        }
        out.flag_unless(true, id::RETAIN_AVAILABLE, connack.retain_available);
        out.property_u32(id::PACKET_BYTES_MAX, connack.packet_bytes_max.map(NonZeroU32::get));
        out.property_text(id::ASSIGNED_CLIENT_ID, connack.assigned_client_id.as_deref());
        out.property_u16(id::TOPIC_ALIAS_MAX, unless_zero(connack.topic_alias_max));
        out.property_text(id::REASON_STRING, connack.reason_string.as_deref());
        out.flag_unless(true, id::WILDCARDS_AVAILABLE, connack.wildcards_available);
        out.flag_unless(true, id::SUBSCRIPTION_IDS_AVAILABLE, connack.subscription_ids_available);
        out.flag_unless(true, id::SHARED_SUBSCRIPTIONS_AVAILABLE, connack.shared_subscriptions_available);
        out.property_u16(id::SERVER_KEEP_ALIVE, connack.keep_alive_secs);
        out.property_text(id::RESPONSE_INFORMATION, connack.response_information.as_deref());
        out.property_text(id::SERVER_REFERENCE, connack.server_reference.as_deref());
        write_authentication(&connack.authentication, out);
        out.user_properties(&connack.user_properties);
    }
}

impl Part for Unit<'_, Publish> {
    fn write<S: Sink>(&self, out: &mut S) {
        let publish = self.0;
        out.property_u32(id::MESSAGE_EXPIRY, publish.message_expiry_secs);
        out.property_u16(id::TOPIC_ALIAS, publish.topic_alias.map(NonZeroU16::get));
        for subscription_id in &publish.subscription_ids {
            out.u8(id::SUBSCRIPTION_ID);
            out.varint(subscription_id.get());
        }
        if !publish.properties.is_empty() {
            write_passed_on(&publish.properties, out);
        }
    }
}

impl Part for Unit<'_, Subscribe> {
    fn write<S: Sink>(&self, out: &mut S) {
        if let Some(subscription_id) = self.0.subscription_id {
            out.u8(id::SUBSCRIPTION_ID);
            out.varint(subscription_id.get());
        }
        out.user_properties(&self.0.user_properties);
    }
}

impl Part for Unit<'_, Disconnect> {
    fn write<S: Sink>(&self, out: &mut S) {
        out.property_u32(id::SESSION_EXPIRY, self.0.session_expiry_secs);
        out.property_text(id::SERVER_REFERENCE, self.0.server_reference.as_deref());
        Words(&self.0.reason_string, &self.0.user_properties).write(out);
    }
}

impl Part for Unit<'_, Auth> {
    fn write<S: Sink>(&self, out: &mut S) {
        write_authentication(&self.0.authentication, out);
        Words(&self.0.reason_string, &self.0.user_properties).write(out);
    }
}

impl Part for Words<'_> {
    fn write<S: Sink>(&self, out: &mut S) {
        out.property_text(id::REASON_STRING, self.0.as_deref());
        out.user_properties(self.1);
    }
}

fn write_passed_on<S: Sink>(properties: &PublishProperties, out: &mut S) {
    if let Some(is) = properties.payload_is_utf8 {
        out.bytes(&[id::PAYLOAD_FORMAT, is.into()]);
    }
    out.property_text(id::CONTENT_TYPE, properties.content_type.as_deref());
    out.property_text(id::RESPONSE_TOPIC, properties.response_topic.as_deref());
    out.property_long(id::CORRELATION_DATA, properties.correlation_data.as_ref().map(|data| &data[..]));
    out.user_properties(&properties.user_properties);
}

fn write_authentication<S: Sink>(authentication: &Option<Authentication>, out: &mut S) {
    let Some(Authentication { method, data }) = authentication else { return };
    out.property_text(id::AUTHENTICATION_METHOD, Some(method));
    out.property_long(id::AUTHENTICATION_DATA, data.as_ref().map(|data| &data[..]));
}

fn unless_zero<N: PartialEq + From<u8>>(value: N) -> Option<N> {
    if value == N::from(0) { None } else { Some(value) }
}
