//! What the behaviours are tested with: a gateway in a process of its own, and clients that say what a test wants, right or
//! wrong.
//!
//! A [`Gateway`] is started, killed and started again on its own data directory; what it keeps is looked at from outside, by its
//! metrics and its database. A [`Client`] sends packets or bytes; a [`Device`] seals. Nothing here knows what the gateway should
//! answer, and nothing sleeps for a fixed time: [`eventually`] looks again until it sees what it waits for or runs out of
//! patience.

#![allow(dead_code, unused_imports, reason = "a test takes of the harness what it needs")]

mod authority;
mod broker;
mod checker;
mod client;
mod cutter;
mod device;
mod doors;
mod fleet;
mod gateway;
pub(crate) mod http;
pub(crate) mod issuer;
mod load;
mod meddler;
mod postgres;
mod prometheus;
pub(crate) mod rumqttc;
mod scrape;
mod scratch;
mod wait;

pub(crate) use authority::Authority;
pub(crate) use broker::Broker;
pub(crate) use checker::Rows;
pub(crate) use client::{Client, Login};
pub(crate) use cutter::Cutter;
pub(crate) use device::{Device, Draft, Service};
pub(crate) use fleet::RunningFleet;
pub(crate) use gateway::Gateway;
pub(crate) use http::{encoded, get, post_form, put};
pub(crate) use load::{Load, Report};
pub(crate) use meddler::Meddler;
pub(crate) use postgres::{Postgres, run as psql};
pub(crate) use prometheus::Prometheus;
pub(crate) use scrape::Scrape;
pub(crate) use scratch::Scratch;
pub(crate) use wait::{Deadline, PATIENCE, eventually};
