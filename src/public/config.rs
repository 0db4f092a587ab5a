//! The section `[public]`: the door for whoever needs a token.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::proxy::ProxyProtocol;
use crate::setting::{Mistake, Plaintext, TlsKeys, exposed, outside, tls_mistakes};

/// Where tokens are issued.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the public HTTP listens; port 0: any free one. Tokens bear `auth.issuer`, which does not follow it.
    pub listen: SocketAddr,
    /// Needed where `listen` is not loopback: client secrets and tokens pass here.
    pub plaintext: Option<Plaintext>,
    /// Where the same is served over TLS, with port 0 at any free one; none: nowhere.
    pub tls_listen: Option<SocketAddr>,
    /// The certificate chain of `tls_listen`, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether clients of `listen` come through a proxy that says who they are.
    pub proxy_protocol: ProxyProtocol,
    /// Whether clients of `tls_listen` come through a proxy that says who they are.
    pub tls_proxy_protocol: ProxyProtocol,
    /// HTTP connections at a time; WebSockets count as MQTT connections instead.
    pub connections_max: usize,
    /// HTTP connections at a time of one address; of IPv6, of one /64.
    pub connections_per_address_max: usize,
    /// HTTP connections a second of one address, with a second's worth at once.
    pub connection_rate_per_address_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            plaintext: None,
            tls_listen: None,
            tls_certificate: None,
            tls_key: None,
            proxy_protocol: ProxyProtocol::Off,
            tls_proxy_protocol: ProxyProtocol::Off,
            connections_max: 1024,
            connections_per_address_max: 256,
            connection_rate_per_address_max: 1_000,
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let tls = tls_mistakes(TlsKeys {
            listen: self.tls_listen,
            certificate: self.tls_certificate.as_deref(),
            key: self.tls_key.as_deref(),
            client_ca: None,
        });
        let found = [
            exposed(self.listen, self.plaintext),
            outside("connections_max", self.connections_max, 1..=usize::MAX),
            outside("connections_per_address_max", self.connections_per_address_max, 1..=usize::MAX),
            outside("connection_rate_per_address_max", self.connection_rate_per_address_max, 1..=u64::MAX),
        ];
        found.into_iter().flatten().chain(tls).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::is_exposed;

    #[test]
    fn without_tls_only_loopback_is_right_unless_the_operator_accepts() {
        let config = |text| toml::from_str::<Config>(text).unwrap();
        assert!(Config::default().mistakes().is_empty() && !is_exposed(Config::default().listen));
        assert_eq!(config("listen = \"0.0.0.0:0\"").mistakes().len(), 1);
        let accepted = config("listen = \"0.0.0.0:0\"\nplaintext = \"i-accept\"");
        assert!(accepted.mistakes().is_empty() && is_exposed(accepted.listen));
    }
}
