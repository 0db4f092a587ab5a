//! What the broker counts.

use super::presence::State;
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

/// Which bound a client's PUBLISH or SUBSCRIBE went over.
#[derive(Debug, Clone, Copy)]
pub(super) enum OverLimit {
    /// Bytes or levels of a topic.
    Topic,
    /// Bytes or levels of a filter.
    Filter,
    /// Subscriptions of a session.
    Subscriptions,
}

label! { OverLimit as "bound": Topic = "topic", Filter = "filter", Subscriptions = "subscriptions" }

/// The broker's series.
#[derive(Clone)]
pub struct Metrics {
    pub(super) sessions: IntGauge,
    pub(super) subscriptions: IntGauge,
    pub(super) routed: IntCounter,
    pub(super) held: IntCounter,
    pub(super) dropped: CountBy<Drop>,
    pub(super) denied: CountBy<Denied>,
    pub(super) over_limit: CountBy<OverLimit>,
    pub(super) presence_online: IntGauge,
    pub(super) presence_changes: CountBy<State>,
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
            over_limit: registry.counter_by(
                "sealgate_broker_over_limit_total",
                "Publishes and filters refused because they go over a bound of the settings.",
            ),
            denied: registry.counter_by(
                "sealgate_broker_denied_total",
                "Publishes and filters that the client's grant does not hold.",
            ),
            presence_online: registry.gauge("sealgate_broker_presence_online", "Devices that are told to be online."),
            presence_changes: registry
                .counter_by("sealgate_broker_presence_changes_total", "Devices that went online or offline."),
        }
    }
}
