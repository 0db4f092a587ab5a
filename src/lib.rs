//! Sealgate: an ingestion gateway for fleets of IoT devices.
//!
//! Devices publish sealed readings over MQTT; what is verified is committed to a SQL database and acknowledged, what is refused is
//! counted, explained and kept. This page is the map of the house, in the order in which a reading goes through it. Imports
//! follow the data, downwards in this list; what must come back comes back as a value.
//!
//! | room | what happens there |
//! |---|---|
//! | [`edge`] | the door for clients: a socket, with TLS or a proxy's header or without, becomes packets; CONNECT becomes a login; one task a connection |
//! | [`source`] | the other way in: messages of another broker, of which we are a client, or of rumqttd in this process |
//! | [`public`] | the public HTTP door: where tokens are fetched, MQTT comes in a WebSocket, and other brokers ask about logins |
//! | [`admin`] | the operators' HTTP door: metrics, whether all is well, the level of the log, and the registry (`/api`) |
//! | [`provision`] | how a device or a service comes into the registry, with its credentials |
//! | [`broker`] | sessions, subscriptions, who gets what and who is online; pure but for its drivers |
//! | [`proof`] | signs what was stored, and proves it again |
//! | [`ingest`] | envelopes in, receipts out: opened, decoded, committed by one writer, counted under one law |
//! | [`seal`] | the guard of payloads: which key, is it whole, genuine, in time |
//! | [`auth`] | the guard of identities: issues tokens, judges logins, knows which topics a login may use |
//! | [`store`] | the cellar: devices, envelopes, readings, quarantine, presence; all the SQL there is |
//! | [`mqtt`] | the language: bytes and packets of 3.1.1 and 5.0, topics and filters |
//!
//! Around them: [`gateway`] builds the house and takes it down, [`cli`] is the command line (its `demo` alone knows the simulated
//! devices of `firmware-sim`), [`config`] the settings
//! ([`setting`] their vocabulary), [`shutdown`] the phases of the end, [`metrics`] how everything is counted, [`ready`] which part works,
//! [`http`] the bounds of both HTTP doors, [`fetch`] HTTP as a client, [`tls`] the certificates of all doors, [`proxy`] whom a proxy speaks for,
//! [`limit`] bounds in time and by address. The envelope itself is a crate of its own, `sealgate-envelope`, which
//! firmware uses too.

pub mod admin;
pub mod auth;
pub mod broker;
pub mod cli;
pub mod config;
pub mod edge;
pub mod fetch;
pub mod gateway;
pub mod http;
pub mod ingest;
pub mod limit;
pub mod metrics;
pub mod mqtt;
pub mod proof;
pub mod provision;
pub mod proxy;
pub mod public;
pub mod ready;
pub mod seal;
pub mod setting;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod tls;
