//! The door for clients: sockets in, sessions out.
//!
//! A [`Listener`] accepts and does nothing else; each socket has a task of its own from the first moment, so that no client
//! waits for another. The task shakes hands if the listener has TLS, and reads CONNECT, all under one deadline (`handshake`
//! decides what it is worth, after `auth` has judged the token), and then drives the client's [`Session`](crate::broker::Session): bytes and time in, outputs carried out. Where a
//! message goes is the broker's affair, what it is worth is `ingest`'s.

pub mod config;
mod connection;
mod handshake;
mod listener;
mod metrics;
mod room;
mod throttle;
mod transport;
mod wire;

pub use config::Config;
pub use listener::{Entrance, House, Listener, Place, Socket};
pub use metrics::{Metrics, TurnedAway};
pub use transport::Transport;
