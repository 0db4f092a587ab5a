//! The section `[rumqttd]`: the embedded broker. Used where `ingest.source` is "rumqttd".

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::setting::{Mistake, Plaintext, exposed, outside};

/// How the embedded broker listens, and how much it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where devices speak MQTT 3.1.1; port 0: any free one.
    pub listen: SocketAddr,
    /// Where they speak MQTT 5: rumqttd has a listener for each version.
    pub listen_v5: Option<SocketAddr>,
    /// Needed where one of them is not loopback: there is no TLS.
    pub plaintext: Option<Plaintext>,
    /// Connections at a time.
    pub connections_max: usize,
    /// Bytes of a packet at most.
    pub packet_bytes_max: usize,
    /// Bytes of envelopes that may wait to be read; what is beyond overwrites the oldest.
    pub backlog_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: (Ipv4Addr::LOCALHOST, 1883).into(),
            listen_v5: None,
            plaintext: None,
            connections_max: 10_000,
            packet_bytes_max: 64 * 1024 + 1024,
            backlog_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let v5 = self.listen_v5.and_then(|listen| exposed(listen, self.plaintext));
        let found = [
            exposed(self.listen, self.plaintext),
            v5.map(|(_, sentence)| ("listen_v5", sentence)),
            outside("connections_max", self.connections_max, 1..=1_000_000),
            outside("packet_bytes_max", self.packet_bytes_max, 1024..=256 * 1024 * 1024),
            outside("backlog_bytes_max", self.backlog_bytes_max, 1024 * 1024..=usize::MAX / 2),
        ];
        found.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_listeners_are_without_tls_and_stay_on_loopback() {
        let keys = |text: &str| {
            let mistakes = toml::from_str::<Config>(text).unwrap().mistakes();
            mistakes.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert!(keys("listen_v5 = \"127.0.0.1:1884\"").is_empty());
        assert_eq!(keys("listen = \"0.0.0.0:1883\"\nlisten_v5 = \"0.0.0.0:1884\""), ["listen", "listen_v5"]);
        assert!(keys("listen = \"0.0.0.0:1883\"\nplaintext = \"i-accept\"").is_empty());
    }
}
