//! The words in which every area's `config.rs` speaks of its settings, so that one rule has one sentence wherever it holds.
//!
//! Well-formed values that cannot be right are *mistakes*: a key of the section, and what is wrong with it. Nothing here reads a
//! file or knows where a value came from; that is `config`'s.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;

/// A key of the section, and a sentence about its value.
pub type Mistake = (&'static str, String);

/// The operator's word that tokens and readings may cross a network unencrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Plaintext {
    /// Somebody else encrypts (a proxy, a private link), or nobody does and that is known.
    #[serde(rename = "i-accept")]
    Accepted,
}

/// A listener without TLS binds to loopback alone, unless the operator has given his word.
pub fn exposed(listen: SocketAddr, plaintext: Option<Plaintext>) -> Option<Mistake> {
    (is_exposed(listen) && plaintext.is_none()).then(|| {
        let sentence = format!(
            "{listen} is not a loopback address and this listener has no TLS: \
             use tls_listen where there is one, listen on 127.0.0.1 behind a proxy that has it, \
             or set plaintext = \"i-accept\" in this section"
        );
        ("listen", sentence)
    })
}

/// The keys `tls_…` of a section belong together.
pub fn tls_mistakes(keys: TlsKeys<'_>) -> Vec<Mistake> {
    let needed = [("tls_certificate", keys.certificate), ("tls_key", keys.key)];
    if keys.listen.is_some() {
        let missing = needed.into_iter().filter(|(_, path)| path.is_none());
        return missing.map(|(key, _)| (key, "tls_listen needs it: the path of a PEM file".to_owned())).collect();
    }
    let set = needed.into_iter().chain([("tls_client_ca", keys.client_ca)]).filter(|(_, path)| path.is_some());
    set.map(|(key, _)| (key, "is of no use without tls_listen".to_owned())).collect()
}

/// What a section says of TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsKeys<'a> {
    /// `tls_listen`.
    pub listen: Option<SocketAddr>,
    /// `tls_certificate`.
    pub certificate: Option<&'a Path>,
    /// `tls_key`.
    pub key: Option<&'a Path>,
    /// `tls_client_ca`.
    pub client_ca: Option<&'a Path>,
}

/// Whether others than this machine reach a listener there.
pub fn is_exposed(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}

/// A value outside of what is allowed.
pub fn outside<T: PartialOrd + Debug>(key: &'static str, value: T, allowed: RangeInclusive<T>) -> Option<Mistake> {
    let (lowest, highest) = (allowed.start(), allowed.end());
    (!allowed.contains(&value)).then(|| (key, format!("{value:?} is not within {lowest:?} to {highest:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_stays_on_loopback() {
        for loopback in ["127.0.0.1:0", "127.8.8.8:1883", "[::1]:1883", "[::ffff:127.0.0.1]:1883"] {
            assert_eq!(exposed(loopback.parse().unwrap(), None), None, "{loopback}");
        }
        for open in ["0.0.0.0:1883", "[::]:1883", "192.168.1.1:1883", "[::ffff:10.0.0.1]:1883"] {
            assert_eq!(exposed(open.parse().unwrap(), None).unwrap().0, "listen", "{open}");
            assert_eq!(exposed(open.parse().unwrap(), Some(Plaintext::Accepted)), None, "{open}");
        }
    }

    #[test]
    fn tls_needs_a_certificate_and_a_certificate_needs_tls() {
        let (listen, path) = ("0.0.0.0:8883".parse().ok(), Some(Path::new("x.pem")));
        let told = |listen, certificate, key, client_ca| {
            let found = tls_mistakes(TlsKeys { listen, certificate, key, client_ca });
            found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(told(None, None, None, None), [""; 0]);
        assert_eq!(told(listen, path, path, None), [""; 0]);
        assert_eq!(told(listen, None, None, path), ["tls_certificate", "tls_key"]);
        assert_eq!(told(None, path, path, path), ["tls_certificate", "tls_key", "tls_client_ca"]);
    }

    #[test]
    fn both_ends_are_allowed() {
        assert_eq!(outside("x", 1, 1..=3), None);
        assert_eq!(outside("x", 3, 1..=3), None);
        assert_eq!(outside("x", 4, 1..=3), Some(("x", "4 is not within 1 to 3".to_owned())));
    }
}
