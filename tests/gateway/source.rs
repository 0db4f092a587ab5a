//! Messages of other brokers: real ones, real fleets, and what is true of the rows whatever is killed.

mod brokers;
mod login;
mod rumqttd;
mod trial;
