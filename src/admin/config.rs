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
    /// Names by which operators come to `/api` and `/log/level` through a proxy of theirs.
    pub hosts: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config { listen: (Ipv4Addr::LOCALHOST, 8081).into(), plaintext: None, hosts: Vec::new() }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let is_name = |host: &String| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        };
        let unfit = self.hosts.iter().find(|host| !is_name(host));
        let unfit = unfit.map(|host| ("hosts", format!("{host:?} is no name of a host, without port")));
        exposed(self.listen, self.plaintext).into_iter().chain(unfit).collect()
    }
}
