//! Why a connection ended, as one word: what is counted, and what a device's status says.

use super::Ended;
use crate::metrics::label;

/// [`Ended`], without what is special to one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client said goodbye.
    ByClient,
    /// The client broke the protocol.
    PeerMisbehaved,
    /// Nothing came for one and a half keep-alives.
    Silent,
    /// The access token ended.
    TokenExpired,
    /// Another connection took the session over.
    TakenOver,
    /// Whose it was may no longer come in.
    Revoked,
    /// A message had to be given up.
    MessageLost,
    /// The client does not take what it is sent.
    NotReading,
    /// The gateway shuts down.
    ShuttingDown,
    /// The socket is gone.
    Gone,
}

label! {
    Ending as "cause":
    ByClient = "by_client",
    PeerMisbehaved = "peer_misbehaved",
    Silent = "silent",
    TokenExpired = "token_expired",
    TakenOver = "taken_over",
    Revoked = "revoked",
    MessageLost = "message_lost",
    NotReading = "not_reading",
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
            Ended::Revoked => Ending::Revoked,
            Ended::MessageLost => Ending::MessageLost,
            Ended::NotReading => Ending::NotReading,
            Ended::ShuttingDown => Ending::ShuttingDown,
            Ended::Gone => Ending::Gone,
        }
    }
}
