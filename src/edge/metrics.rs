//! What the door counts.

use crate::broker::Ended;
use crate::metrics::{CountBy, IntCounter, IntGauge, Registry, label};

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

/// Why a connection ended, without what is special to one.
#[derive(Debug, Clone, Copy)]
enum Ending {
    ByClient,
    PeerMisbehaved,
    Silent,
    TokenExpired,
    TakenOver,
    MessageLost,
    ShuttingDown,
    Gone,
}

label! {
    Ending as "cause":
    ByClient = "by_client",
    PeerMisbehaved = "peer_misbehaved",
    Silent = "silent",
    TokenExpired = "token_expired",
    TakenOver = "taken_over",
    MessageLost = "message_lost",
    ShuttingDown = "shutting_down",
    Gone = "gone",
}

impl From<Ended> for Ending {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::ByClient => Ending::ByClient,
            Ended::PeerMisbehaved(_) => Ending::PeerMisbehaved,
            Ended::Silent => Ending::Silent,
            Ended::TokenExpired => Ending::TokenExpired,
            Ended::TakenOver => Ending::TakenOver,
            Ended::MessageLost => Ending::MessageLost,
            Ended::ShuttingDown => Ending::ShuttingDown,
            Ended::Gone => Ending::Gone,
        }
    }
}

/// The door's series.
#[derive(Clone)]
pub struct Metrics {
    pub(super) connections: IntGauge,
    pub(super) accepted: IntCounter,
    pub(super) turned_away: IntCounter,
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
            turned_away: registry
                .counter("sealgate_edge_turned_away_total", "Connections closed at once: as many are open as may be."),
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
