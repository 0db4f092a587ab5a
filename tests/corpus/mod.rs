//! The corpus: seeds that are known to break brokers, and how they are read and changed. `README.md` beside this file says how to
//! add one.

#![allow(dead_code, unused_imports, reason = "a test takes of the corpus what it needs")]

mod mutation;
mod seeds;

pub(crate) use mutation::{Mutation, mutate, mutations};
pub(crate) use seeds::{Seed, bytes, seeds, text};
