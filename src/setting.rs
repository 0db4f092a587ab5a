//! The words in which every area's `config.rs` speaks of its settings, so that one rule has one sentence wherever it holds.
//!
//! Well-formed values that cannot be right are *mistakes*: a key of the section, and what is wrong with it. Nothing here reads a
//! file or knows where a value came from; that is `config`'s.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

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
             listen on 127.0.0.1 behind a proxy that has it, or set plaintext = \"i-accept\" in this section"
        );
        ("listen", sentence)
    })
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
    fn both_ends_are_allowed() {
        assert_eq!(outside("x", 1, 1..=3), None);
        assert_eq!(outside("x", 3, 1..=3), None);
        assert_eq!(outside("x", 4, 1..=3), Some(("x", "4 is not within 1 to 3".to_owned())));
    }
}
