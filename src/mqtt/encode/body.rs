//! What follows the fixed header, packet by packet.

use super::properties::{Unit, Words};
use super::sink::{Part, Sink, size_of};
use crate::mqtt::packet::connect::{ConnAck, Connect, Will};
use crate::mqtt::packet::publish::Publish;
use crate::mqtt::packet::subscribe::{SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe};
use crate::mqtt::packet::{Ack, Auth, Disconnect, Packet, Version};
use crate::mqtt::reason::ReasonCode;

/// A packet without its fixed header.
pub(super) struct Body<'a> {
    pub(super) packet: &'a Packet,
    pub(super) version: Version,
}

impl Part for Body<'_> {
    fn write<S: Sink>(&self, out: &mut S) {
        match self.packet {
            Packet::Connect(connect) => write_connect(connect, self.version, out),
            Packet::ConnAck(connack) => write_connack(connack, self.version, out),
            Packet::Publish(publish) => write_publish(publish, self.version, out),
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
                write_ack(ack, self.version, out);
            }
            Packet::Subscribe(subscribe) => write_subscribe(subscribe, self.version, out),
            Packet::SubAck(suback) => write_suback(suback, self.version, out),
            Packet::Unsubscribe(unsubscribe) => write_unsubscribe(unsubscribe, self.version, out),
            Packet::UnsubAck(unsuback) => write_unsuback(unsuback, self.version, out),
            Packet::PingReq | Packet::PingResp => {}
            Packet::Disconnect(disconnect) => write_disconnect(disconnect, self.version, out),
            Packet::Auth(auth) => write_auth(auth, out),
        }
    }
}

fn write_connect<S: Sink>(connect: &Connect, version: Version, out: &mut S) {
    out.long(b"MQTT"); // [MQTT-3.1.2-1]
    out.u8(match version {
        Version::V311 => 4,
        Version::V5 => 5,
    });
    out.u8(connect_flags(connect));
    out.u16(connect.keep_alive_secs);
    if version == Version::V5 {
        out.prefixed(&Unit(connect));
    }
    // In this order: [MQTT-3.1.3-1].
    out.long(connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        write_will(will, version, out);
    }
    if let Some(user_name) = &connect.user_name {
        out.long(user_name.as_bytes());
    }
    if let Some(password) = &connect.password {
        out.long(password.as_bytes());
    }
}

fn connect_flags(connect: &Connect) -> u8 {
    let will = connect.will.as_ref().map_or(0, |will| 0x04 | will.qos.as_u8() << 3 | u8::from(will.retain) << 5);
    let password = u8::from(connect.password.is_some()) << 6;
    let user_name = u8::from(connect.user_name.is_some()) << 7;
    u8::from(connect.clean_start) << 1 | will | password | user_name
}

fn write_will<S: Sink>(will: &Will, version: Version, out: &mut S) {
    if version == Version::V5 {
        out.prefixed(&Unit(will));
    }
    out.long(will.topic.as_bytes());
    out.long(&will.payload);
}

fn write_connack<S: Sink>(connack: &ConnAck, version: Version, out: &mut S) {
    out.u8(connack.session_present.into());
    match version {
        Version::V311 => out.u8(connack.code.connect_return_code()),
        Version::V5 => {
            out.u8(connack.code.as_u8());
            out.prefixed(&Unit(connack));
        }
    }
}

fn write_publish<S: Sink>(publish: &Publish, version: Version, out: &mut S) {
    out.long(publish.topic.as_ref().map_or(&[], |topic| topic.as_bytes()));
    if let Some(packet_id) = publish.packet_id {
        out.u16(packet_id.get());
    }
    if version == Version::V5 {
        out.prefixed(&Unit(publish));
    }
    out.bytes(&publish.payload);
}

/// The code is left out if it is Success, the properties if there are none (section 3.4.2.1, section 3.4.2.2.1).
fn write_ack<S: Sink>(ack: &Ack, version: Version, out: &mut S) {
    out.u16(ack.packet_id.get());
    let words = Words(&ack.reason_string, &ack.user_properties);
    if version == Version::V5 {
        write_outcome(ack.code, &words, out);
    }
}

fn write_disconnect<S: Sink>(disconnect: &Disconnect, version: Version, out: &mut S) {
    if version == Version::V5 {
        write_outcome(disconnect.code, &Unit(disconnect), out);
    }
}

fn write_outcome<S: Sink>(code: ReasonCode, properties: &impl Part, out: &mut S) {
    let properties_bytes = size_of(properties);
    if code == ReasonCode::Success && properties_bytes == 0 {
        return;
    }
    out.u8(code.as_u8());
    if properties_bytes > 0 {
        out.varint(properties_bytes as u32);
        properties.write(out);
    }
}

/// AUTH has its short form for success alone (section 3.15.2.1).
fn write_auth<S: Sink>(auth: &Auth, out: &mut S) {
    if auth.code == ReasonCode::Success && size_of(&Unit(auth)) == 0 {
        return;
    }
    out.u8(auth.code.as_u8());
    out.prefixed(&Unit(auth));
}

fn write_subscribe<S: Sink>(subscribe: &Subscribe, version: Version, out: &mut S) {
    out.u16(subscribe.packet_id.get());
    if version == Version::V5 {
        out.prefixed(&Unit(subscribe));
    }
    for subscription in &subscribe.subscriptions {
        out.long(subscription.filter.as_bytes());
        out.u8(match version {
            Version::V311 => subscription.qos.as_u8(),
            Version::V5 => subscription_options(subscription),
        });
    }
}

fn subscription_options(subscription: &Subscription) -> u8 {
    let no_local = u8::from(subscription.no_local) << 2;
    let retain_as_published = u8::from(subscription.retain_as_published) << 3;
    (subscription.retain_handling as u8) << 4 | retain_as_published | no_local | subscription.qos.as_u8()
}

fn write_unsubscribe<S: Sink>(unsubscribe: &Unsubscribe, version: Version, out: &mut S) {
    out.u16(unsubscribe.packet_id.get());
    if version == Version::V5 {
        out.prefixed(&Words(&None, &unsubscribe.user_properties));
    }
    for filter in &unsubscribe.filters {
        out.long(filter.as_bytes());
    }
}

fn write_suback<S: Sink>(suback: &SubAck, version: Version, out: &mut S) {
    out.u16(suback.packet_id.get());
    if version == Version::V5 {
        out.prefixed(&Words(&suback.reason_string, &suback.user_properties));
    }
    for code in &suback.codes {
        out.u8(match version {
            Version::V311 => code.subscribe_return_code(),
            Version::V5 => code.as_u8(),
        });
    }
}

fn write_unsuback<S: Sink>(unsuback: &UnsubAck, version: Version, out: &mut S) {
    out.u16(unsuback.packet_id.get());
    if version == Version::V5 {
        out.prefixed(&Words(&unsuback.reason_string, &unsuback.user_properties));
        unsuback.codes.iter().for_each(|code| out.u8(code.as_u8()));
    }
}
