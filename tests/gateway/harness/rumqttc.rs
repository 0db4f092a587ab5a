//! rumqttc's clients with their event loops, not connected yet: a foreign library that pings and keeps its window by itself.

use std::time::Duration;

use rumqttc::{AsyncClient, EventLoop, MqttOptions, v5};

use super::client::Login;
use super::gateway::Gateway;

/// The shortest that rumqttc allows at 5.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// At 3.1.1, with room for so many requests that are not sent yet.
pub(crate) fn at_3_1_1(gateway: &Gateway, login: &Login, requests: usize) -> (AsyncClient, EventLoop) {
    let mqtt = gateway.mqtt();
    let mut options = MqttOptions::new(&login.client_id, mqtt.ip().to_string(), mqtt.port());
    options.set_credentials(&login.user_name, &login.token).set_keep_alive(KEEP_ALIVE);
    AsyncClient::new(options, requests)
}

/// The same at 5; the types are others.
pub(crate) fn at_5(gateway: &Gateway, login: &Login, requests: usize) -> (v5::AsyncClient, v5::EventLoop) {
    let mqtt = gateway.mqtt();
    let mut options = v5::MqttOptions::new(&login.client_id, mqtt.ip().to_string(), mqtt.port());
    options.set_credentials(&login.user_name, &login.token).set_keep_alive(KEEP_ALIVE);
    v5::AsyncClient::new(options, requests)
}
