//! What a session wants done, and why it ends.

use std::sync::Arc;

use bytes::Bytes;

use crate::broker::{Echo, Message};
use crate::ingest::Origin;
use crate::mqtt::topic::Filter;
use crate::mqtt::{Packet, QoS, ReasonCode};

/// What the driver has to do, in this order.
pub enum Output {
    /// Send a packet.
    Send(Packet),
    /// Give an envelope to `ingest`; its receipt settles under the ticket.
    Submit(Telemetry),
    /// Give a message to the subscribers.
    Publish(Arc<Message>),
    /// Enter a subscription into the tree.
    Subscribe(Filter, QoS, Echo),
    /// Take a subscription out of the tree.
    Unsubscribe(Filter),
}

/// A PUBLISH to the device's telemetry topic.
pub struct Telemetry {
    /// Where its answer goes.
    pub ticket: u64,
    /// Whose it is.
    pub device_id: Arc<str>,
    /// The envelope.
    pub payload: Bytes,
    /// How it counts, should it be a duplicate.
    pub origin: Origin,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client said goodbye.
    ByClient,
    /// The client broke the protocol.
    PeerMisbehaved(ReasonCode),
    /// Nothing came for one and a half keep-alives [MQTT-3.1.2-22].
    Silent,
    /// The access token ended.
    TokenExpired,
    /// Another connection took the session over.
    TakenOver,
    /// Whose connection it is may no longer come in.
    Revoked,
    /// A message had to be given up, and must be sent again [MQTT-4.4.0-1].
    MessageLost,
    /// The client leaves unread what is sent to it.
    NotReading,
    /// The gateway shuts down.
    ShuttingDown,
    /// The socket is gone.
    Gone,
}
