//! The section `[auth]`: who issues tokens, for whom, and for how long.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use super::foreign::ForeignConfig;
use super::rotation::Schedule;
use crate::setting::{Mistake, outside};

/// How tokens are issued and judged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The issuer's identifier: the `iss` of our tokens, and the base of the public endpoints. It does not follow the
    /// bound port, so that tokens outlive a restart.
    pub identifier: IssuerUrl,
    /// Other issuers, whose tokens are believed too.
    #[serde(rename = "issuer", deserialize_with = "super::foreign::config::issuers")]
    pub foreign: Vec<ForeignConfig>,
    /// Who the tokens are for: the `aud` that we issue and ask for.
    pub audience: String,
    /// Who else tokens may be asked for with `resource` (RFC 8707): they are signed here, and of no use here.
    pub other_audiences: Vec<String>,
    /// How long a token is valid, in whole seconds.
    #[serde(with = "humantime_serde")]
    pub token_lifetime: Duration,
    /// How long a key signs tokens before the next one does; 0s: until `sealgate issuer rotate`.
    #[serde(with = "humantime_serde")]
    pub signing_key_lifetime: Duration,
    /// How long a key is shown before it signs, so that whoever verifies tokens has it by then.
    #[serde(with = "humantime_serde")]
    pub signing_key_announce: Duration,
    /// How many requests a second of one client the issuer answers, with a second's worth at once.
    pub requests_per_client_max: u64,
    /// How many verified tokens are remembered, so that a reconnect costs no signature check. At the bound the one
    /// that was used least is forgotten. An entry takes about a kilobyte.
    pub token_cache_entries: usize,
    /// How many failed logins of one address are answered at once; of IPv6, of one /64.
    pub failed_logins_free_per_address: u32,
    /// How many failed logins in one device's, service's or client's name are answered at once.
    pub failed_logins_free_per_device: u32,
    /// The longest that the answer to a failed login waits.
    #[serde(with = "humantime_serde")]
    pub failed_login_pause_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            identifier: IssuerUrl("http://127.0.0.1:8080".to_owned()),
            foreign: Vec::new(),
            audience: "sealgate".to_owned(),
            other_audiences: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            signing_key_lifetime: Duration::from_secs(90 * 24 * 3600),
            signing_key_announce: Duration::from_secs(600),
            requests_per_client_max: 100,
            token_cache_entries: 65_536,
            failed_logins_free_per_address: 20,
            failed_logins_free_per_device: 5,
            failed_login_pause_max: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let fraction = (self.token_lifetime.subsec_nanos() != 0)
            .then(|| ("token_lifetime", "a token's lifetime is a whole number of seconds".to_owned()));
        let audience = (!(1..=NAME_CHARS_MAX).contains(&self.audience.len()))
            .then(|| ("audience", format!("an audience has 1 to {NAME_CHARS_MAX} bytes")));
        let lifetime = outside("token_lifetime", self.token_lifetime, Duration::from_secs(1)..=TOKEN_LIFETIME_MAX);
        let entries = outside("token_cache_entries", self.token_cache_entries, 1..=CACHE_ENTRIES_MAX);
        let pause = outside("failed_login_pause_max", self.failed_login_pause_max, Duration::ZERO..=PAUSE_MAX);
        let key_lifetime = (!self.signing_key_lifetime.is_zero())
            .then(|| outside("signing_key_lifetime", self.signing_key_lifetime, KEY_LIFETIME_MIN..=KEY_LIFETIME_MAX));
        let announce = outside("signing_key_announce", self.signing_key_announce, Duration::ZERO..=KEY_LIFETIME_MIN);
        let requests = outside("requests_per_client_max", self.requests_per_client_max, 1..=1_000_000);
        let others = self.other_audiences_mistake();
        let keys = [key_lifetime.flatten(), announce, requests, others];
        let foreign = super::foreign::config::mistakes(&self.foreign, &self.identifier);
        [audience, lifetime.or(fraction), entries, pause].into_iter().chain(keys).flatten().chain(foreign).collect()
    }

    fn other_audiences_mistake(&self) -> Option<Mistake> {
        let fits = |one: &String| (1..=NAME_CHARS_MAX).contains(&one.len()) && *one != self.audience;
        let unfit = self.other_audiences.iter().find(|one| !fits(one))?;
        let sentence = format!("{unfit:?} has not 1 to {NAME_CHARS_MAX} bytes, or is auth.audience itself");
        Some(("other_audiences", sentence))
    }

    pub(super) fn schedule(&self) -> Schedule {
        Schedule {
            lifetime: self.signing_key_lifetime,
            announce: self.signing_key_announce,
            token_lifetime: self.token_lifetime,
        }
    }
}

/// An issuer identifier (RFC 8414 section 2): an `http` or `https` URL without query and fragment. We take `http`
/// too, since the default is a loopback address without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl(String);

/// Why a text is no issuer identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IssuerUrlError {
    /// Another scheme, or none.
    #[error("the issuer begins with neither https:// nor http://")]
    Scheme,
    /// Nothing stands between the scheme and the path.
    #[error("the issuer names no host")]
    NoHost,
    /// RFC 8414 section 2
    #[error("the issuer has a query or a fragment")]
    QueryOrFragment,
    /// A token would not have room for it.
    #[error("the issuer has more than {NAME_CHARS_MAX} characters")]
    TooLong,
    /// A space, a quote or another character that no URL has.
    #[error("the issuer has a character that no URL has")]
    Character,
    /// Routes are made of the path, and these have a meaning there.
    #[error("the issuer's path has an empty level, a dot level, or one of {{}}*:")]
    Path,
}

impl IssuerUrl {
    /// An issuer of its text.
    ///
    /// # Errors
    /// [`IssuerUrlError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, IssuerUrlError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(IssuerUrlError::Scheme)?;
        if text.len() > NAME_CHARS_MAX {
            return Err(IssuerUrlError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(IssuerUrlError::QueryOrFragment);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>\^`|"#.contains(&byte)) {
            return Err(IssuerUrlError::Character);
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(IssuerUrlError::NoHost);
        }
        if is_plain(path) { Ok(IssuerUrl(text.to_owned())) } else { Err(IssuerUrlError::Path) }
    }

    /// The identifier, as `iss` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path, which begins with `/`, or is empty; a `/` at the end is left out.
    pub fn path(&self) -> &str {
        let host_at = self.0.find("://").map_or(0, |at| at + 3);
        let path_at = self.0[host_at..].find('/').map_or(self.0.len(), |at| host_at + at);
        self.0[path_at..].trim_end_matches('/')
    }

    /// The URL of what lies at `path` below the issuer.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.0.trim_end_matches('/'))
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for IssuerUrl {
    type Err = IssuerUrlError;

    fn from_str(text: &str) -> Result<Self, IssuerUrlError> {
        IssuerUrl::parse(text)
    }
}

impl<'de> Deserialize<'de> for IssuerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IssuerUrl::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A connection is held for so long by a failed login.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The longest issuer and audience: a token has to stay below [`TOKEN_BYTES_MAX`](super::validator::TOKEN_BYTES_MAX)
/// with both.
const NAME_CHARS_MAX: usize = 256;
/// A token cannot be taken back before its end but by disabling its holder, so it should not live for ever.
const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Each key is announced within the time of the one before it.
const KEY_LIFETIME_MIN: Duration = Duration::from_secs(24 * 3600);
const KEY_LIFETIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// At a kilobyte each these are 16 GiB; who sets more has mistaken entries for bytes.
const CACHE_ENTRIES_MAX: usize = 1 << 24;

/// A path whose levels are names: nothing that a router or a client would read otherwise.
fn is_plain(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let name = |level: &str| !matches!(level, "" | "." | "..") && !level.contains(['{', '}', '*', ':']);
    path.is_empty() || path.split('/').all(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_its_endpoints_below_it() {
        for (issuer, path, endpoint) in [
            ("http://127.0.0.1:8080", "", "http://127.0.0.1:8080/oauth/token"),
            ("https://gate.example/", "", "https://gate.example/oauth/token"),
            ("https://gate.example/iot/a", "/iot/a", "https://gate.example/iot/a/oauth/token"),
            ("https://[::1]:8443/iot/", "/iot", "https://[::1]:8443/iot/oauth/token"),
        ] {
            let issuer = IssuerUrl::parse(issuer).unwrap();
            assert_eq!((issuer.path(), issuer.endpoint("/oauth/token").as_str()), (path, endpoint));
        }
    }

    // RFC 8414 section 2
    #[test]
    fn what_is_no_issuer_is_refused() {
        for (text, error) in [
            ("", IssuerUrlError::Scheme),
            ("gate.example", IssuerUrlError::Scheme),
            ("ftp://gate.example", IssuerUrlError::Scheme),
            ("https://", IssuerUrlError::NoHost),
            ("https:///iot", IssuerUrlError::NoHost),
            ("https://gate.example?a", IssuerUrlError::QueryOrFragment),
            ("https://gate.example/#a", IssuerUrlError::QueryOrFragment),
            ("https://gate.example/a b", IssuerUrlError::Character),
            ("https://gäte.example", IssuerUrlError::Character),
            ("https://gate.example/{id}", IssuerUrlError::Path),
            ("https://gate.example//a", IssuerUrlError::Path),
            ("https://gate.example/a/../b", IssuerUrlError::Path),
        ] {
            assert_eq!(IssuerUrl::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_setting_out_of_range_is_a_mistake() {
        assert!(Config::default().mistakes().is_empty());
        for text in [
            "signing_key_lifetime = \"1h\"",
            "signing_key_announce = \"25h\"",
            "requests_per_client_max = 0",
            "other_audiences = [\"sealgate\"]",
            "other_audiences = [\"\"]",
            "token_lifetime = \"0s\"",
            "token_lifetime = \"1500ms\"",
            "token_lifetime = \"2y\"",
            "audience = \"\"",
            "token_cache_entries = 0",
        ] {
            let config: Config = toml::from_str(text).unwrap();
            let key = text.split(' ').next().unwrap();
            assert_eq!(config.mistakes().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key], "{text}");
        }
    }
}
