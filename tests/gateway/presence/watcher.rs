//! Somebody who watches statuses, and what he was told.

use std::net::SocketAddr;

use sealgate::mqtt::{
    Ack, Connect, Filter, Packet, Publish, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, Topic, Version,
};

use crate::harness::{Client, Gateway, Login};

/// The filter of all statuses.
pub(super) const ALL: &str = "devices/+/status";

/// A client that acknowledges what it is told.
pub(super) struct Watcher {
    pub(super) client: Client,
    last_packet_id: u16,
}

/// What a status says, and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) device: String,
    pub(super) state: String,
    pub(super) since: i64,
    pub(super) reason: String,
    pub(super) address: SocketAddr,
    pub(super) version: String,
    pub(super) retain: bool,
}

impl Watcher {
    /// With a scope that holds all statuses; nothing is subscribed to yet.
    pub(super) fn new(gateway: &Gateway, name: &str, version: Version) -> Self {
        Self::with(gateway, name, version, |_| {})
    }

    /// The same, with another CONNECT.
    pub(super) fn with(gateway: &Gateway, name: &str, version: Version, change: impl Fn(&mut Connect)) -> Self {
        let service = gateway.add_service(name, &[&format!("sub:{ALL}")]);
        let mut connect = Login::of_service(gateway, &service).connect(version);
        change(&mut connect);
        let mut client = Client::open(gateway, version);
        assert_eq!(client.log_in(connect).code, ReasonCode::Success);
        Watcher { client, last_packet_id: 0 }
    }

    /// Of a connection that has subscribed before.
    pub(super) fn resumed(client: Client) -> Self {
        Watcher { client, last_packet_id: 0 }
    }

    /// Subscribed to all statuses.
    pub(super) fn of_all(gateway: &Gateway, name: &str, version: Version) -> Self {
        let mut watcher = Self::new(gateway, name, version);
        watcher.subscribe(|_| {});
        watcher
    }

    /// Subscribes to all statuses at QoS 1, with other options.
    pub(super) fn subscribe(&mut self, change: impl Fn(&mut Subscription)) {
        let mut subscription = Subscription::new(Filter::new(ALL).unwrap(), QoS::AtLeastOnce);
        change(&mut subscription);
        self.last_packet_id += 1;
        let packet_id = self.last_packet_id.try_into().unwrap();
        self.client.send(&Packet::Subscribe(Subscribe {
            packet_id,
            subscription_id: None,
            subscriptions: vec![subscription],
            user_properties: Vec::new(),
        }));
        let Packet::SubAck(ack) = self.client.receive() else { panic!("a SUBACK") };
        assert!(!ack.codes[0].is_failure(), "{ack:?}");
    }

    /// The same, with this Retain Handling.
    pub(super) fn subscribe_handling(&mut self, retain_handling: RetainHandling) {
        self.subscribe(|subscription| subscription.retain_handling = retain_handling);
    }

    /// The next status; it is acknowledged.
    pub(super) fn next(&mut self) -> Told {
        let publish = self.next_unacknowledged();
        self.acknowledge(&publish);
        Told::of(&publish)
    }

    pub(super) fn next_unacknowledged(&mut self) -> Publish {
        match self.client.receive() {
            Packet::Publish(publish) => publish,
            other => panic!("a status was due, and this came: {other:?}"),
        }
    }

    pub(super) fn acknowledge(&mut self, publish: &Publish) {
        if let Some(packet_id) = publish.packet_id {
            self.client.send(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)));
        }
    }

    /// The next status of this device; what comes of others before it is let go by.
    pub(super) fn next_of(&mut self, device: &str) -> Told {
        loop {
            let told = self.next();
            if told.device == device {
                return told;
            }
        }
    }

    /// Whether nothing is on its way to us: what was to be sent was sent before the answer to a ping.
    pub(super) fn was_told_nothing(&mut self) -> bool {
        self.client.send(&Packet::PingReq);
        self.client.receive() == Packet::PingResp
    }
}

impl Told {
    pub(super) fn of(publish: &Publish) -> Self {
        let topic = publish.topic.as_ref().map(Topic::as_str).unwrap();
        let device = topic.strip_prefix("devices/").and_then(|rest| rest.strip_suffix("/status")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}")).to_owned();
        assert_eq!(json.as_object().unwrap().len(), 5, "{json}");
        Told {
            device: device.to_owned(),
            state: text("state"),
            since: json["since"].as_i64().unwrap(),
            reason: text("reason"),
            address: text("address").parse().unwrap(),
            version: text("version"),
            retain: publish.retain,
        }
    }

    /// State, reason and whether it came as retained.
    pub(super) fn gist(&self) -> (&str, &str, bool) {
        (&self.state, &self.reason, self.retain)
    }
}
