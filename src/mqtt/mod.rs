//! The language: bytes and packets.
//!
//! One packet model serves MQTT 3.1.1 and 5.0. [`Decoder`] makes packets of bytes and lets nothing through that the
//! standard of the connection's version does not allow; [`encode()`] makes bytes of packets. Payloads and strings are
//! slices of the buffer that was read; limits are checked before memory is taken. What has to be known of earlier
//! packets to judge one (a packet identifier in use, a topic alias, the peer's Receive Maximum) is not judged here:
//! sockets, sessions and rights are `edge`'s, `broker`'s and `auth`'s affairs.
//!
//! Statement numbers are those of MQTT 5.0, unless "3.1.1" stands before them.

pub mod binary;
pub mod decode;
pub mod encode;
pub mod packet;
mod property;
pub mod reason;
pub mod text;
pub mod topic;
mod varint;

pub use binary::{Binary, BinaryError, Password};
pub use decode::{DecodeError, Decoder, PACKET_BYTES_MAX};
pub use encode::{TooLarge, encode, encode_within};
pub use packet::connect::{Authentication, ConnAck, Connect, Will};
pub use packet::publish::{PassedOn, Publish, PublishProperties};
pub use packet::subscribe::{RetainHandling, SubAck, Subscribe, Subscription, SubscriptionId, UnsubAck, Unsubscribe};
pub use packet::{Ack, Auth, Disconnect, Packet, QoS, UserProperties, Version};
pub use reason::ReasonCode;
pub use text::{Text, TextError};
pub use topic::{Filter, Topic, TopicError};

/// The corpus in `tests/corpus/`, for the tests of every room.
#[cfg(test)]
#[path = "../../tests/corpus/mod.rs"]
pub(crate) mod corpus;
#[cfg(test)]
mod tests;
