//! The section `[admin]`: the door for operators.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::setting::{Mistake, Plaintext, exposed};

/// Where the metrics are served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the admin HTTP listens; port 0: any free one.
    pub listen: SocketAddr,
    /// Needed where `listen` is not loopback.
    pub plaintext: Option<Plaintext>,
}

impl Default for Config {
    fn default() -> Self {
        Config { listen: (Ipv4Addr::LOCALHOST, 8081).into(), plaintext: None }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        exposed(self.listen, self.plaintext).into_iter().collect()
    }
}
