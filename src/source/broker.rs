//! A connection to a broker, whichever version of MQTT it speaks: the client library's two faces as one.
//!
//! The library's event loop runs on a task of its own, which ends with the [`Connection`]: it cannot be dropped in the middle of a
//! packet. A connection that has ended is not taken up again; the next one is a new [`Connection`], with the login of that time.

mod packets;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::config::{BrokerUrl, Config, Version};
use super::login::Login;
use crate::tls::ClientConfig;

/// Events that may wait for us; while they do, nothing is read.
const EVENTS_MAX: usize = 64;
/// KiB of messages that may wait for us; a larger one goes alone.
const WAITING_KIB_MAX: u32 = 8 * 1024;
/// How long a broker may take nothing of what is published.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take, its CONNACK included.
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
/// 3.1.1 has no way to tell a broker what we do not want, and a message that we would not read would come again for ever.
const PACKET_BYTES_MAX_V4: usize = 268_435_455 + 5;
/// At 5.0 the broker keeps larger packets from us. An envelope is far smaller.
const PACKET_BYTES_MAX_V5: u32 = 1024 * 1024;

/// Who we are to the broker, and what we want of it.
pub(super) struct Identity {
    pub(super) client_id: String,
    /// None: the session ends with the connection.
    pub(super) session_expiry: Option<Duration>,
    /// Requests that may wait for the event loop.
    pub(super) requests_max: usize,
}

/// An open connection, or one that is about to open.
pub(super) struct Connection {
    client: Client,
    events: mpsc::Receiver<Result<Event, Lost>>,
    event_loop: AbortHandle,
}

/// What happens on it.
#[derive(Debug)]
pub(super) enum Event {
    /// The broker has let us in.
    Connected {
        /// It knows of us, and delivers again what we have not acknowledged.
        session_present: bool,
    },
    /// Its answer to our subscription: the QoS that it grants, or the code of its refusal.
    Subscribed(Result<u8, u8>),
    /// A message.
    Message(Message),
}

/// A message that the broker has delivered.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// None at QoS 0.
    pub(super) packet_id: Option<u16>,
    pub(super) is_redelivered: bool,
    /// Its part of what may wait for us.
    _waiting: Option<OwnedSemaphorePermit>,
}

/// How a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QoS {
    /// 0
    AtMostOnce,
    /// 1
    AtLeastOnce,
}

/// Why a connection has ended, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    /// The broker said no.
    #[error("the broker refuses the login: {0}")]
    Refused(String),
    /// The broker said goodbye.
    #[error("the broker has ended the connection: {0}")]
    Ended(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

enum Client {
    V4(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

impl Connection {
    /// Begins to connect.
    pub(super) fn open(
        config: &Config,
        identity: &Identity,
        login: &Login,
        tls: &Option<Arc<ClientConfig>>,
    ) -> Connection {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let requests_max = identity.requests_max;
        let (client, event_loop) = match config.version {
            Version::V311 => {
                let (client, event_loop) =
                    rumqttc::AsyncClient::new(options_v4(config, identity, login, tls), requests_max);
                (Client::V4(client), tokio::spawn(run_v4(event_loop, sender)))
            }
            Version::V5 => {
                let (client, event_loop) =
                    rumqttc::v5::AsyncClient::new(options_v5(config, identity, login, tls), requests_max);
                (Client::V5(client), tokio::spawn(run_v5(event_loop, sender)))
            }
        };
        Connection { client, events, event_loop: event_loop.abort_handle() }
    }

    /// The next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Event, Lost> {
        self.events.recv().await.unwrap_or_else(|| Err(Lost::Failed("the event loop has ended".to_owned())))
    }

    /// Asks for a subscription, as far as there is room for it. What is retained is not wanted: a broker of 3.1.1 gives it out all the same.
    pub(super) fn subscribe(&self, filter: &str, qos: QoS) {
        match &self.client {
            Client::V4(client) => drop(client.try_subscribe(filter, qos.v4())),
            Client::V5(client) => {
                let mut filter = rumqttc::v5::mqttbytes::v5::Filter::new(filter, qos.v5());
                filter.retain_forward_rule = rumqttc::v5::mqttbytes::v5::RetainForwardRule::Never;
                drop(client.try_subscribe_many([filter]));
            }
        }
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&self, filter: &str) {
        match &self.client {
            Client::V4(client) => drop(client.try_unsubscribe(filter)),
            Client::V5(client) => drop(client.try_unsubscribe(filter)),
        }
    }

    /// Publishes an empty message at QoS 0, if there is room.
    pub(super) fn publish_at_once(&self, topic: &str) {
        match &self.client {
            Client::V4(client) => drop(client.try_publish(topic, QoS::AtMostOnce.v4(), false, Vec::new())),
            Client::V5(client) => drop(client.try_publish(topic, QoS::AtMostOnce.v5(), false, Bytes::new())),
        }
    }

    /// Acknowledges a message of QoS 1; false: there is no room, which ends the connection.
    pub(super) fn acknowledge(&self, packet_id: u16) -> bool {
        match &self.client {
            Client::V4(client) => {
                let mut publish = rumqttc::Publish::new("", QoS::AtLeastOnce.v4(), Vec::new());
                publish.pkid = packet_id;
                client.try_ack(&publish).is_ok()
            }
            Client::V5(client) => {
                let mut publish =
                    rumqttc::v5::mqttbytes::v5::Publish::new("", QoS::AtLeastOnce.v5(), Bytes::new(), None);
                publish.pkid = packet_id;
                client.try_ack(&publish).is_ok()
            }
        }
    }

    /// Publishes, as soon as the broker takes it; false: the connection is over.
    pub(super) async fn publish(&mut self, topic: String, payload: Bytes, qos: QoS) -> bool {
        tokio::select! {
            is_taken = timeout(PUBLISH_TIMEOUT, self.client.publish(topic, payload, qos)) => is_taken.unwrap_or(false),
            _ = ended(&mut self.events) => false,
        }
    }

    /// Waits for the connection's end, where nothing else is awaited of it.
    pub(super) async fn ended(&mut self) -> Lost {
        ended(&mut self.events).await
    }

    /// Says goodbye when everything before it has been sent. The end of the connection comes as an event.
    pub(super) fn say_goodbye(&self) {
        // Without room for it the connection just ends.
        match &self.client {
            Client::V4(client) => drop(client.try_disconnect()),
            Client::V5(client) => drop(client.try_disconnect()),
        }
    }
}

async fn ended(events: &mut mpsc::Receiver<Result<Event, Lost>>) -> Lost {
    loop {
        match events.recv().await {
            Some(Ok(_)) => {}
            Some(Err(lost)) => return lost,
            None => return Lost::Failed("the event loop has ended".to_owned()),
        }
    }
}

impl Client {
    async fn publish(&self, topic: String, payload: Bytes, qos: QoS) -> bool {
        match self {
            Client::V4(client) => client.publish_bytes(topic, qos.v4(), false, payload).await.is_ok(),
            Client::V5(client) => client.publish(topic, qos.v5(), false, payload).await.is_ok(),
        }
    }
}

impl QoS {
    fn v4(self) -> rumqttc::QoS {
        match self {
            QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
            QoS::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        }
    }

    fn v5(self) -> rumqttc::v5::mqttbytes::QoS {
        match self {
            QoS::AtMostOnce => rumqttc::v5::mqttbytes::QoS::AtMostOnce,
            QoS::AtLeastOnce => rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.event_loop.abort();
    }
}

fn options_v4(
    config: &Config,
    identity: &Identity,
    login: &Login,
    tls: &Option<Arc<ClientConfig>>,
) -> rumqttc::MqttOptions {
    let BrokerUrl { host, port, .. } = &config.url;
    let mut options = rumqttc::MqttOptions::new(&identity.client_id, host, *port);
    options.set_keep_alive(config.keep_alive);
    options.set_clean_session(identity.session_expiry.is_none());
    options.set_manual_acks(true);
    options.set_max_packet_size(PACKET_BYTES_MAX_V4, PACKET_BYTES_MAX_V4);
    if let Some((user, password)) = login.parts() {
        options.set_credentials(user, password);
    }
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    options
}

fn options_v5(
    config: &Config,
    identity: &Identity,
    login: &Login,
    tls: &Option<Arc<ClientConfig>>,
) -> rumqttc::v5::MqttOptions {
    let BrokerUrl { host, port, .. } = &config.url;
    let mut options = rumqttc::v5::MqttOptions::new(&identity.client_id, host, *port);
    options.set_keep_alive(config.keep_alive);
    options.set_clean_start(identity.session_expiry.is_none());
    options.set_manual_acks(true);
    options.set_connection_timeout(CONNECT_TIMEOUT_SECONDS);
    options.set_receive_maximum(Some(config.receive_maximum));
    options.set_max_packet_size(Some(PACKET_BYTES_MAX_V5));
    let expiry = identity.session_expiry.map(|expiry| u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX));
    options.set_session_expiry_interval(Some(expiry.unwrap_or(0)));
    options.set_network_options(network());
    if let Some((user, password)) = login.parts() {
        options.set_credentials(user, password);
    }
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
    }
    options
}

/// Acknowledgements are small, and are not to wait for each other.
fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network
}

async fn run_v4(mut event_loop: rumqttc::EventLoop, events: mpsc::Sender<Result<Event, Lost>>) {
    let mut options = network();
    options.set_connection_timeout(CONNECT_TIMEOUT_SECONDS);
    event_loop.set_network_options(options);
    let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
    loop {
        let event = match event_loop.poll().await {
            Ok(rumqttc::Event::Incoming(packet)) => packets::event_v4(packet),
            Ok(rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect)) => Some(Err(Lost::Ended("we have".to_owned()))),
            Ok(rumqttc::Event::Outgoing(_)) => None,
            Err(rumqttc::ConnectionError::ConnectionRefused(code)) => Some(Err(Lost::Refused(format!("{code:?}")))),
            Err(error) => Some(Err(Lost::Failed(error.to_string()))),
        };
        if !hand_out(event, &events, &room).await {
            return;
        }
    }
}

async fn run_v5(mut event_loop: rumqttc::v5::EventLoop, events: mpsc::Sender<Result<Event, Lost>>) {
    use rumqttc::v5::{ConnectionError, Event as Polled, StateError};
    let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
    loop {
        let event = match event_loop.poll().await {
            Ok(Polled::Incoming(packet)) => packets::event_v5(packet),
            Ok(Polled::Outgoing(rumqttc::Outgoing::Disconnect)) => Some(Err(Lost::Ended("we have".to_owned()))),
            Ok(Polled::Outgoing(_)) => None,
            Err(ConnectionError::ConnectionRefused(code)) => Some(Err(Lost::Refused(format!("{code:?}")))),
            Err(ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string })) => {
                let reason = reason_string.map(|reason| format!(", {}", reason.escape_debug())).unwrap_or_default();
                Some(Err(Lost::Ended(format!("{reason_code:?}{reason}"))))
            }
            Err(error) => Some(Err(Lost::Failed(error.to_string()))),
        };
        if !hand_out(event, &events, &room).await {
            return;
        }
    }
}

/// Whether there is more to come, and somebody to hear it. A message waits until there is room for its bytes.
async fn hand_out(
    event: Option<Result<Event, Lost>>,
    events: &mpsc::Sender<Result<Event, Lost>>,
    room: &Arc<Semaphore>,
) -> bool {
    let Some(mut event) = event else { return true };
    if let Ok(Event::Message(message)) = &mut event {
        let kib = u32::try_from(message.payload.len() / 1024 + 1).unwrap_or(u32::MAX).min(WAITING_KIB_MAX);
        message._waiting = room.clone().acquire_many_owned(kib).await.ok();
    }
    let is_last = event.is_err();
    events.send(event).await.is_ok() && !is_last
}
