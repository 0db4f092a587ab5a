//! The language: bytes and packets.

pub mod text;
pub mod topic;

pub use text::{Text, TextError};
pub use topic::{Filter, Topic, TopicError};
