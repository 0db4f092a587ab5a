//! What the broker counts.

use crate::metrics::{CountBy, IntCounter, IntGauge, Registry, label};

/// Why a message did not reach a session that had subscribed to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Drop {
    /// The session's queue was at its bound.
    QueueFull,
    /// All queues together were at theirs.
    QueuesFull,
    /// QoS 0, and the session's client was away.
    Away,
    /// The packet would be larger than the client takes [MQTT-3.1.2-25].
    TooLarge,
}

label! { Drop as "cause": QueueFull = "queue_full", QueuesFull = "queues_full", Away = "away", TooLarge = "too_large" }

/// What a client asked for and its grant does not hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Denied {
    /// To publish.
    Publish,
    /// To subscribe.
    Subscribe,
}

label! { Denied as "action": Publish = "publish", Subscribe = "subscribe" }

/// The broker's series.
#[derive(Clone)]
pub struct Metrics {
    pub(super) sessions: IntGauge,
    pub(super) subscriptions: IntGauge,
    pub(super) routed: IntCounter,
    pub(super) held: IntCounter,
    pub(super) dropped: CountBy<Drop>,
    pub(super) denied: CountBy<Denied>,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            sessions: registry.gauge("sealgate_broker_sessions", "Sessions, connected or kept."),
            subscriptions: registry.gauge("sealgate_broker_subscriptions", "Subscriptions of all sessions."),
            routed: registry.counter("sealgate_broker_routed_total", "Messages put into a session's queue."),
            held: registry.counter(
                "sealgate_broker_held_total",
                "Messages that their publisher's connection held, because a session's queue was full.",
            ),
            dropped: registry
                .counter_by("sealgate_broker_dropped_total", "Messages that a subscribed session did not get."),
            denied: registry.counter_by(
                "sealgate_broker_denied_total",
                "Publishes and filters that the client's grant does not hold.",
            ),
        }
    }
}
