//! What benchmarks share: processes that are measured, a gateway on an empty data directory, the peers it is measured beside, tokens, and
//! the few packets that a load generator exchanges before it is at speed.
//!
//! A benchmark takes it in with `#[path = "../common/mod.rs"] mod common;`.

#![allow(dead_code, reason = "each benchmark is a program of its own, and none uses all of it")]

pub(crate) mod gateway;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod tokens;
pub(crate) mod wire;
