//! What the door counts.

use crate::broker::{Ended, Ending};
use crate::metrics::{CountBy, IntCounter, IntGauge, Registry, label};

/// Why a connection was turned away before its first byte was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// As many are open as may be.
    Full,
    /// As many of its address are open as may be.
    AddressFull,
    /// Its address comes too often.
    AddressRate,
}

impl TurnedAway {
    /// The setting that is the bound.
    pub(super) fn setting(self) -> &'static str {
        match self {
            TurnedAway::Full => "edge.connections_max",
            TurnedAway::AddressFull => "edge.connections_per_address_max",
            TurnedAway::AddressRate => "edge.connection_rate_per_address_max",
        }
    }
}

label! { TurnedAway as "cause": Full = "full", AddressFull = "address_full", AddressRate = "address_rate" }

/// Which bound makes a client wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Throttled {
    /// That of packets.
    Messages,
    /// That of bytes.
    Bytes,
    /// That of all large packets together.
    LargePackets,
}

label! { Throttled as "by": Messages = "messages", Bytes = "bytes", LargePackets = "large_packets" }

/// Why a client did not come in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    /// No whole CONNECT within the deadline.
    Timeout,
    /// Its proxy did not say who it is.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// Its first bytes are no CONNECT.
    Malformed,
    /// It would be a CONNECT beyond the limit.
    TooLarge,
    /// Its client id is not valid.
    ClientId,
    /// Its token is not good; `sealgate_auth_logins_total` says why.
    Login,
    /// Its will is on a topic that it may not publish.
    Will,
    /// The gateway holds as many sessions as it may.
    TooManySessions,
}

label! {
    Refused as "cause":
    Timeout = "timeout",
    Proxy = "proxy",
    Tls = "tls",
    Malformed = "malformed",
    TooLarge = "too_large",
    ClientId = "client_id",
    Login = "login",
    Will = "will",
    TooManySessions = "too_many_sessions",
}

/// The door's series.
#[derive(Clone)]
pub struct Metrics {
    pub(super) connections: IntGauge,
    pub(super) accepted: IntCounter,
    pub(super) turned_away: CountBy<TurnedAway>,
    pub(super) throttled: CountBy<Throttled>,
    pub(super) refused: CountBy<Refused>,
    pub(super) plaintext: IntGauge,
    ended: CountBy<Ending>,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            connections: registry.gauge("sealgate_edge_connections", "Open connections."),
            accepted: registry.counter("sealgate_edge_accepted_total", "Accepted connections."),
            turned_away: registry.counter_by(
                "sealgate_edge_turned_away_total",
                "Connections turned away: as many are open as may be, or they come too often.",
            ),
            throttled: registry.counter_by(
                "sealgate_edge_throttled_total",
                "How often a client's socket was not read for a while because of a bound of its own or of all.",
            ),
            refused: registry.counter_by("sealgate_edge_refused_total", "Clients that did not come in."),
            plaintext: registry.gauge(
                "sealgate_edge_plaintext",
                "1 if the MQTT listener stands open without TLS, as the operator accepted.",
            ),
            ended: registry.counter_by("sealgate_edge_ended_total", "Ended connections of clients that had come in."),
        }
    }

    pub(super) fn ended(&self, ended: Ended) {
        self.ended.inc(ended.into());
    }
}
