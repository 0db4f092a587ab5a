//! Sealgate: an ingestion gateway for IoT fleets.

pub mod admin;
pub mod auth;
pub mod broker;
pub mod cli;
pub mod config;
pub mod edge;
pub mod gateway;
pub mod ingest;
pub mod metrics;
pub mod mqtt;
pub mod public;
pub mod seal;
pub mod setting;
pub mod shutdown;
pub mod store;
