//! The section `[public]`: the door for whoever needs a token.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::setting::{Mistake, Plaintext, TlsKeys, exposed, tls_mistakes};

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
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            plaintext: None,
            tls_listen: None,
            tls_certificate: None,
            tls_key: None,
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
        exposed(self.listen, self.plaintext).into_iter().chain(tls).collect()
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
