//! Every packet that can be, as far as lengths of a few bytes go.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::Sender;
use crate::mqtt::reason::Place;
use crate::mqtt::*;

/// A packet with its version and its sender.
pub(super) fn any_packet() -> impl Strategy<Value = (Packet, Sender, Version)> {
    let version = select(vec![Version::V311, Version::V5]);
    let sender = select(vec![Sender::Client, Sender::Server]);
    (version, sender).prop_flat_map(|(version, sender)| {
        let packet = match sender {
            Sender::Client => client_packet(version),
            Sender::Server => server_packet(version),
        };
        packet.prop_map(move |packet| (packet, sender, version))
    })
}

fn client_packet(version: Version) -> BoxedStrategy<Packet> {
    let packets = prop_oneof![
        connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        subscribe(version).prop_map(Packet::Subscribe),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        Just(Packet::PingReq),
        disconnect(version, Place::ClientDisconnect).prop_map(Packet::Disconnect),
        either_packet(version, Sender::Client),
    ];
    packets.boxed()
}

fn server_packet(version: Version) -> BoxedStrategy<Packet> {
    let packets = prop_oneof![
        connack(version).prop_map(|connack| Packet::ConnAck(Box::new(connack))),
        suback(version).prop_map(Packet::SubAck),
        unsuback(version).prop_map(Packet::UnsubAck),
        Just(Packet::PingResp),
        either_packet(version, Sender::Server),
    ];
    match version {
        Version::V311 => packets.boxed(),
        Version::V5 => {
            let disconnect = disconnect(version, Place::ServerDisconnect).prop_map(Packet::Disconnect);
            prop_oneof![4 => packets, 1 => disconnect].boxed()
        }
    }
}

fn either_packet(version: Version, sender: Sender) -> BoxedStrategy<Packet> {
    let packets = prop_oneof![
        3 => publish(version, sender).prop_map(Packet::Publish),
        1 => ack(version, Place::Taken).prop_map(Packet::PubAck),
        1 => ack(version, Place::Taken).prop_map(Packet::PubRec),
        1 => ack(version, Place::Released).prop_map(Packet::PubRel),
        1 => ack(version, Place::Released).prop_map(Packet::PubComp),
    ];
    let place = if sender == Sender::Client { Place::ClientAuth } else { Place::ServerAuth };
    match version {
        Version::V311 => packets.boxed(),
        Version::V5 => prop_oneof![6 => packets, 1 => auth(place).prop_map(Packet::Auth)].boxed(),
    }
}

fn text() -> impl Strategy<Value = Text> {
    "[^\u{0}]{0,12}".prop_map(|text| Text::try_from(text).unwrap())
}

fn topic() -> impl Strategy<Value = Topic> {
    let levels = vec(select(vec!["", "a", "käfer", "$SYS", "b c"]), 1..5);
    levels.prop_filter_map("a topic is not empty", |levels| Topic::new(levels.join("/")).ok())
}

fn filter() -> impl Strategy<Value = Filter> {
    let levels = vec(select(vec!["", "a", "+", "#", "$share", "g"]), 1..5);
    levels.prop_filter_map("a filter is valid", |levels| Filter::new(levels.join("/")).ok())
}

fn binary() -> impl Strategy<Value = Binary> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| Binary::try_from(Bytes::from(bytes)).unwrap())
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..3)
}

fn words(version: Version) -> BoxedStrategy<(Option<Text>, UserProperties)> {
    v5(version, (option::of(text()), user_properties()))
}

/// What only MQTT 5.0 has is at its default in 3.1.1.
fn v5<T: Default + Clone + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if version == Version::V5 { strategy.boxed() } else { Just(T::default()).boxed() }
}

fn packet_id() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|id| NonZeroU16::new(id).unwrap())
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn code(place: Place) -> impl Strategy<Value = ReasonCode> {
    select((0..=255).filter_map(|value| ReasonCode::in_place(value, place)).collect::<Vec<_>>())
}

fn authentication() -> impl Strategy<Value = Authentication> {
    (text(), option::of(binary())).prop_map(|(method, data)| Authentication { method, data })
}

fn subscription_id() -> impl Strategy<Value = SubscriptionId> {
    (1..=268_435_455u32).prop_map(|id| SubscriptionId::new(id).unwrap())
}

fn passed_on(version: Version) -> BoxedStrategy<PublishProperties> {
    let facts =
        (option::of(any::<bool>()), option::of(text()), option::of(topic()), option::of(binary()), user_properties());
    let facts = facts.prop_map(|(payload_is_utf8, content_type, response_topic, correlation_data, user_properties)| {
        PassedOn { payload_is_utf8, content_type, response_topic, correlation_data, user_properties }.into()
    });
    v5(version, facts)
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    let hop = v5(version, (any::<u32>(), option::of(any::<u32>())));
    (topic(), binary(), qos(), any::<bool>(), hop, passed_on(version)).prop_map(
        |(topic, payload, qos, retain, (delay_secs, message_expiry_secs), properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay_secs,
            message_expiry_secs,
            properties,
        },
    )
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let credentials = (option::of(text()), option::of(vec(any::<u8>(), 0..20)));
    let who = (any::<bool>(), any::<u16>(), text(), credentials, option::of(will(version)));
    let limits = (any::<u32>(), any::<u16>(), any::<u32>(), any::<u16>());
    let rest = (any::<bool>(), any::<bool>(), option::of(authentication()), user_properties());
    let properties = (limits, rest).prop_map(Some);
    (who, v5(version, properties)).prop_map(move |(who, properties)| {
        let (clean_start, keep_alive_secs, client_id, (user_name, password), will) = who;
        let mut connect = Connect::new(version, client_id);
        connect.clean_start = clean_start || version == Version::V311 && connect.client_id.is_empty();
        connect.keep_alive_secs = keep_alive_secs;
        let may_have_password = version == Version::V5 || user_name.is_some();
        connect.password = password.filter(|_| may_have_password).map(|bytes| Password::try_from(&bytes[..]).unwrap());
        connect.user_name = user_name;
        connect.will = will;
        if let Some((limits, rest)) = properties {
            (connect.session_expiry_secs, connect.topic_alias_max) = (limits.0, limits.3);
            connect.receive_max = NonZeroU16::new(limits.1);
            connect.packet_bytes_max = NonZeroU32::new(limits.2);
            (connect.request_response_information, connect.request_problem_information) = (rest.0, rest.1);
            (connect.authentication, connect.user_properties) = (rest.2, rest.3);
        }
        connect
    })
}

fn connack(version: Version) -> BoxedStrategy<ConnAck> {
    let codes = match version {
        Version::V311 => (0..=5).filter_map(ReasonCode::from_connect_return_code).collect(),
        Version::V5 => (0..=255).filter_map(|value| ReasonCode::in_place(value, Place::ConnAck)).collect::<Vec<_>>(),
    };
    let base = (select(codes), any::<bool>()).prop_map(|(code, session_present)| ConnAck {
        session_present: session_present && code == ReasonCode::Success,
        ..ConnAck::new(code)
    });
    if version == Version::V311 {
        return base.boxed();
    }
    let limits = (option::of(any::<u32>()), any::<u16>(), qos(), any::<u32>(), any::<u16>(), option::of(any::<u16>()));
    let available = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let rest = (option::of(authentication()), user_properties());
    let connack = (base, limits, available, texts, rest).prop_map(|(base, limits, available, texts, rest)| ConnAck {
        session_expiry_secs: limits.0,
        receive_max: NonZeroU16::new(limits.1),
        qos_max: limits.2,
        packet_bytes_max: NonZeroU32::new(limits.3),
        topic_alias_max: limits.4,
        keep_alive_secs: limits.5,
        retain_available: available.0,
        wildcards_available: available.1,
        subscription_ids_available: available.2,
        shared_subscriptions_available: available.3,
        assigned_client_id: texts.0,
        reason_string: texts.1,
        response_information: texts.2,
        server_reference: texts.3,
        authentication: rest.0,
        user_properties: rest.1,
        ..base
    });
    connack.boxed()
}

fn publish(version: Version, sender: Sender) -> impl Strategy<Value = Publish> {
    let header = (any::<bool>(), qos(), any::<bool>(), packet_id());
    let ids = if sender == Sender::Server { 0..3 } else { 0..1 };
    let hop = (option::of(packet_id()), option::of(any::<u32>()), vec(subscription_id(), ids), any::<bool>());
    let payload = vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    (header, topic(), v5(version, hop.prop_map(Some)), passed_on(version), payload).prop_map(
        |((dup, qos, retain, packet_id), topic, hop, properties, payload)| {
            let mut publish = Publish { qos, retain, properties, ..Publish::new(topic, payload) };
            publish.dup = dup && qos != QoS::AtMostOnce;
            publish.packet_id = Some(packet_id).filter(|_| qos != QoS::AtMostOnce);
            if let Some((topic_alias, message_expiry_secs, subscription_ids, is_by_alias)) = hop {
                publish.topic = publish.topic.filter(|_| topic_alias.is_none() || !is_by_alias);
                publish.topic_alias = topic_alias;
                publish.message_expiry_secs = message_expiry_secs;
                publish.subscription_ids = subscription_ids;
            }
            publish
        },
    )
}

fn ack(version: Version, place: Place) -> impl Strategy<Value = Ack> {
    let code = v5(version, code(place).prop_map(Some));
    (packet_id(), code, words(version)).prop_map(|(packet_id, code, (reason_string, user_properties))| Ack {
        packet_id,
        code: code.unwrap_or(ReasonCode::Success),
        reason_string,
        user_properties,
    })
}

fn subscription(version: Version) -> impl Strategy<Value = Subscription> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (filter(), qos(), v5(version, (any::<bool>(), any::<bool>(), handling))).prop_map(|(filter, qos, options)| {
        Subscription {
            no_local: options.0 && filter.shared().is_none(),
            retain_as_published: options.1,
            retain_handling: options.2,
            ..Subscription::new(filter, qos)
        }
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let properties = v5(version, (option::of(subscription_id()), user_properties()));
    (packet_id(), vec(subscription(version), 1..4), properties).prop_map(
        |(packet_id, subscriptions, (subscription_id, user_properties))| Subscribe {
            packet_id,
            subscription_id,
            subscriptions,
            user_properties,
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), vec(filter(), 1..4), v5(version, user_properties()))
        .prop_map(|(packet_id, filters, user_properties)| Unsubscribe { packet_id, filters, user_properties })
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let codes = match version {
        Version::V311 => {
            use ReasonCode::*;
            select(vec![Success, GrantedQoS1, GrantedQoS2, UnspecifiedError]).boxed()
        }
        Version::V5 => code(Place::SubAck).boxed(),
    };
    (packet_id(), vec(codes, 1..5), words(version)).prop_map(|(packet_id, codes, (reason_string, user_properties))| {
        SubAck { packet_id, codes, reason_string, user_properties }
    })
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    let codes = v5(version, vec(code(Place::UnsubAck), 1..5));
    (packet_id(), codes, words(version)).prop_map(|(packet_id, codes, (reason_string, user_properties))| UnsubAck {
        packet_id,
        codes,
        reason_string,
        user_properties,
    })
}

fn disconnect(version: Version, place: Place) -> impl Strategy<Value = Disconnect> {
    let is_client = place == Place::ClientDisconnect;
    let session_expiry_secs = option::of(any::<u32>()).prop_map(move |secs| secs.filter(|_| is_client));
    let properties = (code(place).prop_map(Some), session_expiry_secs, option::of(text()), words(version));
    v5(version, properties).prop_map(
        |(code, session_expiry_secs, server_reference, (reason_string, user_properties))| Disconnect {
            code: code.unwrap_or(ReasonCode::Success),
            session_expiry_secs,
            reason_string,
            server_reference,
            user_properties,
        },
    )
}

fn auth(place: Place) -> impl Strategy<Value = Auth> {
    (code(place), authentication(), words(Version::V5)).prop_map(
        |(code, authentication, (reason_string, user_properties))| Auth {
            code,
            authentication: Some(authentication),
            reason_string,
            user_properties,
        },
    )
}
