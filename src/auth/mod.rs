//! The guard of identities: who may come in, and which topics are theirs.
//!
//! A [`Grant`] says who it is, what they may publish and subscribe to, and until when. A token says *where* a message
//! may go. What a message is worth, only its seal says, and that is not known here.

mod grant;
pub mod scope;
pub mod secret;

pub use grant::{Grant, Principal};
