//! What is counted of other brokers.

use crate::metrics::{CountBy, IntCounter, IntGauge, Registry, label};

/// How an attempt to come in went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Subscribed.
    Subscribed,
    /// The broker refused the login.
    Refused,
    /// The broker refused the subscription.
    NotSubscribed,
    /// There was no token or password to come in with.
    NoLogin,
    /// Nobody there, or nobody who speaks this.
    Failed,
}

label! {
    Attempt as "result":
    Subscribed = "subscribed", Refused = "refused", NotSubscribed = "not_subscribed", NoLogin = "no_login", Failed = "failed",
}

/// Why a subscribed connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// We are stopping.
    Stopped,
    /// Another token is used.
    Renewed,
    /// The broker ended it.
    Broker,
    /// The network did, or nobody answered.
    Network,
    /// A message was lost on its way to the database, and has to be delivered again.
    Lost,
}

label! {
    Ended as "cause":
    Stopped = "stopped", Renewed = "renewed", Broker = "broker", Network = "network", Lost = "lost",
}

/// The series of this area.
#[derive(Clone)]
pub struct Metrics {
    pub(super) workers: IntGauge,
    pub(super) subscribed: IntGauge,
    pub(super) attempts: CountBy<Attempt>,
    pub(super) ended: CountBy<Ended>,
    pub(super) redelivered: IntCounter,
    pub(super) of_other_parts: IntCounter,
    pub(super) unpublished: IntCounter,
    pub(super) unshared: IntCounter,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            workers: registry
                .gauge("sealgate_source_workers", "Connections that this process subscribes to a broker with."),
            subscribed: registry.gauge("sealgate_source_subscribed", "Those of them that are subscribed now."),
            attempts: registry
                .counter_by("sealgate_source_attempts_total", "Attempts to come in at the broker, by how they went."),
            ended: registry.counter_by(
                "sealgate_source_ended_total",
                "Subscribed connections to the broker that have ended, by why.",
            ),
            redelivered: registry
                .counter("sealgate_source_redelivered_total", "Messages that the broker says it has delivered before."),
            of_other_parts: registry.counter(
                "sealgate_source_of_other_parts_total",
                "Messages that were acknowledged unread, because their devices are another worker's.",
            ),
            unshared: registry.counter(
                "sealgate_source_unshared_total",
                "Messages to ourselves by a shared subscription that did not come: the broker may not share messages out.",
            ),
            unpublished: registry.counter(
                "sealgate_source_unpublished_total",
                "Readings and receipts that were on their way to the broker when the connection ended.",
            ),
        }
    }
}
