//! What the world sees of a gateway. This list is the table of contents.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod harness;

mod admin;
mod api;
mod auth;
mod back_pressure;
mod backfill;
mod broker;
mod cli;
mod clients;
mod cve;
mod dashboards;
mod demo;
mod edge;
mod envelopes;
mod export;
mod faults;
mod fleet;
mod full_disk;
mod half_open;
mod hooks;
mod identity;
mod ingest;
mod issuers;
mod keys;
mod kill;
mod limits;
mod memory;
mod metrics;
mod postgres;
mod presence;
mod proof;
mod provisioning;
mod public;
mod quarantine;
mod readme;
mod receipts;
mod retention;
mod revocation;
mod shutdown;
mod simulator;
mod source;
mod spool;
mod tidy;
mod tls;
mod websocket;
mod websocket_frames;
