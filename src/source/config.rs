//! The section `[source]`: which broker messages come from, and who we are there. Used where `ingest.source` is "mqtt".

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use crate::setting::{Mistake, Plaintext, outside};

/// How the broker is reached, and how its messages are shared out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the broker listens: `mqtt://HOST:PORT`, or `mqtts://HOST:PORT` over TLS.
    pub url: BrokerUrl,
    /// Which MQTT it speaks.
    pub version: Version,
    /// What the MQTT client ids begin with; empty: `sealgate-` and the id of the data directory. A worker adds its number.
    pub client_id: String,
    /// Connections that this process subscribes with.
    pub workers: u32,
    /// Whether the broker shares messages out among the workers. If it cannot, each worker gets all of them, and takes those of its part
    /// of the devices.
    pub shared: bool,
    /// The name of the shared subscription.
    pub group: String,
    /// Without shared subscriptions: which part of the devices this process takes.
    pub part: Part,
    /// Messages that the broker may have on the way to a worker at a time; at 3.1.1 the broker's own settings say it.
    pub receive_maximum: u16,
    /// How long the broker keeps for a worker that is away; at 3.1.1 the broker's own settings say it.
    #[serde(with = "humantime_serde")]
    pub session_expiry: Duration,
    /// How often the connection is looked after while nothing comes.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// The longest pause between two tries to connect.
    #[serde(with = "humantime_serde")]
    pub reconnect_delay_max: Duration,
    /// Whether verified readings and sealed receipts are published back.
    pub publish: bool,
    /// The MQTT user name.
    pub username: String,
    /// The file with the password, where it is not a token.
    pub password_file: Option<PathBuf>,
    /// Where tokens are issued; set: the password is a token by client credentials.
    pub token_url: String,
    /// The OAuth client that the token is for.
    pub token_client_id: String,
    /// The file with the secret of that client.
    pub token_client_secret_file: Option<PathBuf>,
    /// The scope that is asked for; empty: what the issuer gives by itself.
    pub token_scope: String,
    /// The authorities that the certificates of the broker and of the token endpoint come from, PEM; none: those of the system.
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate chain, where the broker asks for one, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Needed where the broker or the token endpoint is elsewhere and has no TLS.
    pub plaintext: Option<Plaintext>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            url: BrokerUrl { is_tls: false, host: "127.0.0.1".to_owned(), port: 1883 },
            version: Version::V5,
            client_id: String::new(),
            workers: 1,
            shared: true,
            group: "sealgate".to_owned(),
            part: Part { number: 1, of: 1 },
            receive_maximum: 1024,
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            keep_alive: Duration::from_secs(30),
            reconnect_delay_max: Duration::from_secs(10),
            publish: true,
            username: String::new(),
            password_file: None,
            token_url: String::new(),
            token_client_id: String::new(),
            token_client_secret_file: None,
            token_scope: String::new(),
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            plaintext: None,
        }
    }
}

/// The version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// 3.1.1
    #[serde(rename = "3.1.1")]
    V311,
    /// 5.0
    #[serde(rename = "5")]
    V5,
}

/// One of so many parts, counted from 1; written `1/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// `mqtts`.
    pub is_tls: bool,
    /// A name or an address, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a text is not where a broker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BrokerUrlError {
    /// It begins otherwise.
    #[error("a broker's URL begins with mqtt:// or mqtts://")]
    Scheme,
    /// There is a user or a password in it, a path or a query.
    #[error(
        "a broker's URL is mqtt://HOST:PORT or mqtts://HOST:PORT and nothing more; username and password_file are keys of their own"
    )]
    More,
    /// There is no host.
    #[error("the broker's URL has no host")]
    NoHost,
    /// The port is none.
    #[error("the port of the broker's URL is not within 1 to 65535")]
    Port,
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let found = [
            outside("workers", self.workers, 1..=64),
            outside("receive_maximum", self.receive_maximum, 1..=u16::MAX),
            outside("session_expiry", self.session_expiry, Duration::from_secs(60)..=EXPIRY_MAX),
            outside("keep_alive", self.keep_alive, Duration::from_secs(5)..=Duration::from_secs(65_535)),
            outside(
                "reconnect_delay_max",
                self.reconnect_delay_max,
                Duration::from_millis(250)..=Duration::from_secs(3600),
            ),
            self.group_mistake(),
            self.client_id_mistake(),
            self.part_mistake(),
        ];
        found
            .into_iter()
            .flatten()
            .chain(self.login_mistakes())
            .chain(self.plaintext_mistake())
            .chain(self.tls_mistake())
            .collect()
    }

    fn group_mistake(&self) -> Option<Mistake> {
        let is_level = !self.group.is_empty() && self.group.len() <= 64 && !self.group.contains(['/', '+', '#', '\0']);
        (!is_level).then(|| ("group", "a group has 1 to 64 bytes, and none of / + #".to_owned()))
    }

    fn client_id_mistake(&self) -> Option<Mistake> {
        // It is a level of a topic too.
        let is_level = !self.client_id.contains(['/', '+', '#']);
        let is_printable =
            is_level && self.client_id.len() <= 64 && self.client_id.bytes().all(|byte| byte.is_ascii_graphic());
        (!is_printable).then(|| {
            ("client_id", "a client id has at most 64 printable ASCII characters, and none of space / + #".to_owned())
        })
    }

    fn part_mistake(&self) -> Option<Mistake> {
        let is_needless = self.shared && self.part.of > 1;
        is_needless
            .then(|| ("part", "is of no use with shared = true: there the broker shares messages out".to_owned()))
    }

    fn login_mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let has_password = self.password_file.is_some();
        if self.username.is_empty() && (has_password || self.wants_token()) {
            found.push(("username", "a password or a token needs it".to_owned()));
        }
        if has_password && self.wants_token() {
            found.push(("password_file", "the password is a token where token_url is set".to_owned()));
        }
        if self.wants_token() {
            if !["http://", "https://"].iter().any(|scheme| self.token_url.starts_with(scheme)) {
                found.push(("token_url", "begins with https:// or http://".to_owned()));
            }
            if self.token_client_id.is_empty() {
                found.push(("token_client_id", "token_url needs it".to_owned()));
            }
            if self.token_client_secret_file.is_none() {
                found.push((
                    "token_client_secret_file",
                    "token_url needs it: the path of a file with the secret".to_owned(),
                ));
            }
        }
        found
    }

    /// Passwords, tokens and readings do not cross a network in the clear unless the operator has said so.
    fn plaintext_mistake(&self) -> Option<Mistake> {
        if self.plaintext.is_some() {
            return None;
        }
        let sentence = |where_to: &str| {
            format!(
                "{where_to} is not this machine and has no TLS: use mqtts:// and https://, or set plaintext = \"i-accept\" in this section"
            )
        };
        if !self.url.is_tls && !is_loopback(&self.url.host) {
            return Some(("url", sentence(&self.url.host)));
        }
        let host = self.token_url.strip_prefix("http://").map(host_of);
        host.filter(|host| !is_loopback(host)).map(|host| ("token_url", sentence(host)))
    }

    fn tls_mistake(&self) -> Option<Mistake> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => Some(("tls_key", "tls_certificate needs it: the path of a PEM file".to_owned())),
            (None, Some(_)) => Some(("tls_certificate", "tls_key needs it: the path of a PEM file".to_owned())),
            _ => None,
        }
    }

    /// What our MQTT client ids begin with, where this process is called `name`.
    pub(super) fn client_id(&self, name: &str) -> String {
        if self.client_id.is_empty() { format!("sealgate-{name}") } else { self.client_id.clone() }
    }

    /// Whether the password is a token.
    pub(super) fn wants_token(&self) -> bool {
        !self.token_url.is_empty()
    }
}

/// MQTT's session expiry is in seconds of 32 bits, of which the greatest means never.
const EXPIRY_MAX: Duration = Duration::from_secs(u32::MAX as u64 - 1);

/// The host of what follows `http://`.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, BrokerUrlError> {
        let (is_tls, rest) = match (text.strip_prefix("mqtts://"), text.strip_prefix("mqtt://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(BrokerUrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['@', '/', '?', '#']) || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BrokerUrlError::More);
        }
        let usual = if is_tls { 8883 } else { 1883 };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(BrokerUrlError::NoHost)?,
            None => rest.find(':').map_or((rest, ""), |at| rest.split_at(at)),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(BrokerUrlError::Port)?,
            None if port.is_empty() => usual,
            None => return Err(BrokerUrlError::More),
        };
        if host.is_empty() {
            return Err(BrokerUrlError::NoHost);
        }
        Ok(BrokerUrl { is_tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl<'de> Deserialize<'de> for BrokerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) && of <= PARTS_MAX => Ok(Part { number, of }),
            _ => Err(de::Error::custom(format!(
                "a part is written NUMBER/OF: 1/4 to 4/4 are the four of four, {PARTS_MAX} at most"
            ))),
        }
    }
}

const PARTS_MAX: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<&'static str> {
        toml::from_str::<Config>(text).unwrap().mistakes().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_brokers_url_is_a_scheme_a_host_and_a_port() {
        let url = |text: &str| text.parse::<BrokerUrl>();
        for (text, same) in [
            ("mqtt://broker.example", "mqtt://broker.example:1883"),
            ("mqtts://broker.example/", "mqtts://broker.example:8883"),
            ("mqtts://10.0.0.1:1", "mqtts://10.0.0.1:1"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ] {
            assert_eq!(url(text).unwrap().to_string(), same);
        }
        for (text, error) in [
            ("broker.example:1883", BrokerUrlError::Scheme),
            ("http://broker.example", BrokerUrlError::Scheme),
            ("mqtt://user:secret@broker.example", BrokerUrlError::More),
            ("mqtt://broker.example/path", BrokerUrlError::More),
            ("mqtt://[::1]1883", BrokerUrlError::More),
            ("mqtt://", BrokerUrlError::NoHost),
            ("mqtt://:1883", BrokerUrlError::NoHost),
            ("mqtt://broker.example:0", BrokerUrlError::Port),
            ("mqtt://broker.example:65536", BrokerUrlError::Port),
            ("mqtt://::1", BrokerUrlError::Port),
        ] {
            assert_eq!(url(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_part_is_one_of_so_many() {
        assert_eq!(toml::from_str::<Config>("part = \"2/4\"").unwrap().part, Part { number: 2, of: 4 });
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b", "1/4/4", "1/1025"] {
            assert!(toml::from_str::<Config>(&format!("part = \"{wrong}\"")).is_err(), "{wrong}");
        }
        assert_eq!(keys("part = \"1/2\""), ["part"]);
        assert!(keys("part = \"1/2\"\nshared = false").is_empty());
    }

    #[test]
    fn what_is_secret_crosses_no_network_in_the_clear_unless_it_is_said() {
        let token = "username = \"ingest\"\ntoken_client_id = \"c\"\ntoken_client_secret_file = \"f\"\n";
        assert!(keys("").is_empty());
        assert_eq!(keys("url = \"mqtt://broker.example\""), ["url"]);
        assert!(keys("url = \"mqtt://broker.example\"\nplaintext = \"i-accept\"").is_empty());
        assert!(keys("url = \"mqtts://broker.example\"").is_empty());
        assert_eq!(keys(&format!("{token}token_url = \"http://issuer.example:8080/token\"")), ["token_url"]);
        assert!(keys(&format!("{token}token_url = \"http://[::1]:8080/token\"")).is_empty());
        assert!(keys(&format!("{token}token_url = \"https://issuer.example/token\"")).is_empty());
    }

    #[test]
    fn a_login_is_whole_or_there_is_none() {
        assert_eq!(keys("password_file = \"f\""), ["username"]);
        assert_eq!(
            keys("username = \"a\"\ntoken_url = \"https://i\""),
            ["token_client_id", "token_client_secret_file"]
        );
        assert_eq!(keys("tls_key = \"k\""), ["tls_certificate"]);
        assert_eq!(keys("group = \"a/b\"\nclient_id = \"a b\""), ["group", "client_id"]);
    }
}
