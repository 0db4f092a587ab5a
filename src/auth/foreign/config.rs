//! `[[auth.issuer]]`: an issuer of the organisation's own, whose tokens are believed beside ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de};

use crate::auth::config::IssuerUrl;
use crate::auth::scope::Scope;
use crate::setting::{Mistake, Plaintext, outside};

/// How one issuer is believed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignConfig {
    /// Its identifier, as its tokens have it in `iss`.
    pub issuer: IssuerUrl,
    /// Where its public keys are; none: its metadata say so (RFC 8414, OpenID Connect Discovery).
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Who its tokens have to be for; none: `auth.audience`.
    #[serde(default)]
    pub audience: Option<String>,
    /// The authorities that its certificate comes from, PEM; none: those of the system.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
    /// Needed where it is elsewhere and has no TLS.
    #[serde(default)]
    pub plaintext: Option<Plaintext>,
    /// What the header `typ` of its access tokens may be. `JWT` is what many issuers write; an ID token is refused all the same.
    #[serde(default = "token_types")]
    pub token_types: Vec<String>,
    /// Where a device's id stands. A dot leads into an object.
    #[serde(default = "subject")]
    pub device_claim: String,
    /// The scope that makes a token a device's; empty: each of its tokens is.
    #[serde(default = "device_scope")]
    pub device_scope: String,
    /// Where a service's or an operator's name stands.
    #[serde(default = "subject")]
    pub service_claim: String,
    /// Where the scopes stand: a string divided by blanks, or an array.
    #[serde(default = "scope_claim")]
    pub scope_claim: String,
    /// Where the groups stand: a string or an array.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// The scopes that a group has, for services and operators.
    #[serde(default, deserialize_with = "group_scopes")]
    pub group_scopes: BTreeMap<String, Vec<Scope>>,
    /// Whether a device that is not in the registry is added to it.
    #[serde(default)]
    pub register: Register,
    /// The group of a device that is added so and whose token names none.
    #[serde(default)]
    pub group: Option<String>,
    /// Where it says what a token that is no JWT is worth (RFC 7662); none: such tokens are refused.
    #[serde(default)]
    pub introspection_url: Option<String>,
    /// Who asks there.
    #[serde(default)]
    pub introspection_client_id: Option<String>,
    /// The file with the secret of that client.
    #[serde(default)]
    pub introspection_client_secret_file: Option<PathBuf>,
    /// How long its answer is remembered.
    #[serde(default = "introspection_cache", with = "humantime_serde")]
    pub introspection_cache: Duration,
    /// How often its keys are fetched again.
    #[serde(default = "refresh", with = "humantime_serde")]
    pub refresh: Duration,
    /// How long its keys are believed while it does not answer.
    #[serde(default = "keys_max_age", with = "humantime_serde")]
    pub keys_max_age: Duration,
}

/// Whether a device comes in that is not in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Register {
    /// It does not.
    #[default]
    Never,
    /// It is added at its first login.
    OnLogin,
}

fn token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

fn subject() -> String {
    "sub".to_owned()
}

fn device_scope() -> String {
    crate::auth::scope::DEVICE.to_owned()
}

fn scope_claim() -> String {
    "scope".to_owned()
}

fn introspection_cache() -> Duration {
    Duration::from_secs(30)
}

fn refresh() -> Duration {
    Duration::from_secs(45)
}

fn keys_max_age() -> Duration {
    Duration::from_secs(24 * 3600)
}

fn group_scopes<'de, D: Deserializer<'de>>(written: D) -> Result<BTreeMap<String, Vec<Scope>>, D::Error> {
    let texts = BTreeMap::<String, Vec<String>>::deserialize(written)?;
    let parse = |text: String| Scope::parse(&text).map_err(|error| de::Error::custom(format!("{text:?}: {error}")));
    let scopes = |texts: Vec<String>| texts.into_iter().map(parse).collect::<Result<_, _>>();
    texts.into_iter().map(|(group, texts)| Ok((group, scopes(texts)?))).collect()
}

/// All issuers, of which none may have the name of another or of our own.
///
/// # Errors
/// What is written is a list of tables; a single name was that of our own issuer once.
pub(in crate::auth) fn issuers<'de, D: Deserializer<'de>>(written: D) -> Result<Vec<ForeignConfig>, D::Error> {
    match serde_json::Value::deserialize(written)? {
        serde_json::Value::String(_) => Err(de::Error::custom(
            "[[auth.issuer]] are other issuers, a table each; the name of our own is auth.identifier",
        )),
        tables => serde_json::from_value(tables).map_err(de::Error::custom),
    }
}

/// What is wrong with well-formed issuers. All of it bears one key; the sentence says which issuer it is.
pub(in crate::auth) fn mistakes(issuers: &[ForeignConfig], own: &IssuerUrl) -> Vec<Mistake> {
    let mut names = BTreeSet::from([own.as_str()]);
    let mut sentences = Vec::new();
    for issuer in issuers {
        if !names.insert(issuer.issuer.as_str()) {
            sentences.push(format!("{}: two issuers have this name, or it is our own", issuer.issuer));
        }
        sentences.extend(issuer.mistakes().map(|sentence| format!("{}: {sentence}", issuer.issuer)));
    }
    sentences.into_iter().map(|sentence| ("issuer", sentence)).collect()
}

impl ForeignConfig {
    fn mistakes(&self) -> impl Iterator<Item = String> {
        let urls = [
            ("issuer", Some(self.issuer.as_str())),
            ("jwks_url", self.jwks_url.as_deref()),
            ("introspection_url", self.introspection_url.as_deref()),
        ];
        let unfit = urls.into_iter().filter_map(|(key, url)| self.url_mistake(key, url?));
        let introspection = [self.introspection_client_id.is_some(), self.introspection_client_secret_file.is_some()];
        let incomplete = introspection.iter().any(|set| *set != self.introspection_url.is_some());
        let incomplete = incomplete.then(|| {
            "introspection_url, introspection_client_id and introspection_client_secret_file belong together".to_owned()
        });
        let untyped = self.token_types.is_empty() || self.token_types.iter().any(String::is_empty);
        let untyped = untyped.then(|| "token_types has at least one, and none is empty".to_owned());
        let claims = [&self.device_claim, &self.service_claim, &self.scope_claim];
        let unnamed = claims.into_iter().any(|claim| claim.is_empty());
        let unnamed = unnamed.then(|| "a claim has a name".to_owned());
        let audience = self.audience.as_ref().is_some_and(String::is_empty);
        let audience = audience.then(|| "an audience has a name".to_owned());
        let group = self.group.as_deref().is_some_and(|group| !is_group(group));
        let group = group.then(|| "group: 1 to 64 of A-Z a-z 0-9 _ -".to_owned());
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let times = [
            // Rotated keys are found within a minute.
            outside("refresh", self.refresh, second..=minute),
            outside("keys_max_age", self.keys_max_age, minute..=Duration::from_secs(30 * 24 * 3600)),
            outside("introspection_cache", self.introspection_cache, Duration::ZERO..=minute * 5),
        ];
        let times = times.into_iter().flatten().map(|(key, sentence)| format!("{key}: {sentence}"));
        unfit
            .chain(times)
            .chain([incomplete, untyped, unnamed, audience, group].into_iter().flatten())
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn url_mistake(&self, key: &str, url: &str) -> Option<String> {
        if url.starts_with("https://") {
            return None;
        }
        if !url.starts_with("http://") {
            return Some(format!("{key}: {url:?} begins with neither https:// nor http://"));
        }
        let open = !is_loopback(url) && self.plaintext.is_none();
        open.then(|| {
            format!("{key}: {url} has no TLS and is not on this machine: use https, or set plaintext = \"i-accept\"")
        })
    }

    /// Whether `url`, which its metadata name, may be asked.
    pub(super) fn may_ask(&self, url: &str) -> bool {
        self.url_mistake("", url).is_none()
    }
}

/// Whether a group can have this name.
pub(in crate::auth) fn is_group(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=GROUP_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// The longest name of a group.
const GROUP_BYTES_MAX: usize = 64;

/// Whether an `http` URL leads to this machine, whatever a name server says.
fn is_loopback(url: &str) -> bool {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What stands before an `@` is no host.
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host);
    let host = percent_decode_str(host.trim_start_matches('[').trim_end_matches(']')).decode_utf8_lossy();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(more: &str) -> ForeignConfig {
        toml::from_str(&format!("issuer = \"https://login.example\"\n{more}")).unwrap()
    }

    fn own() -> IssuerUrl {
        IssuerUrl::parse("https://gate.example").unwrap()
    }

    #[test]
    fn an_issuer_needs_its_name_alone() {
        let config = issuer("");
        assert!(mistakes(std::slice::from_ref(&config), &own()).is_empty());
        assert_eq!(
            (config.register, &*config.device_claim, &*config.token_types[0]),
            (Register::Never, "sub", "at+jwt")
        );
    }

    #[test]
    fn each_mistake_names_its_issuer_and_its_key() {
        for (more, key) in [
            ("jwks_url = \"http://login.example/jwks\"", "jwks_url"),
            ("jwks_url = \"ftp://login.example/jwks\"", "jwks_url"),
            ("introspection_url = \"https://login.example/introspect\"", "belong together"),
            ("token_types = []", "token_types"),
            ("device_claim = \"\"", "claim"),
            ("audience = \"\"", "audience"),
            ("group = \"a b\"", "group"),
            ("refresh = \"2m\"", "refresh"),
            ("keys_max_age = \"1s\"", "keys_max_age"),
            ("introspection_cache = \"1h\"", "introspection_cache"),
        ] {
            let found = mistakes(&[issuer(more)], &own());
            assert_eq!(found.len(), 1, "{more}: {found:?}");
            assert!(found[0].1.contains("https://login.example") && found[0].1.contains(key), "{more}: {found:?}");
        }
        let accepted = "jwks_url = \"http://login.example/jwks\"\nplaintext = \"i-accept\"";
        assert!(mistakes(&[issuer(accepted)], &own()).is_empty());
        assert_eq!(mistakes(&[issuer(""), issuer("")], &own()).len(), 1);
        assert_eq!(mistakes(&[issuer("")], &IssuerUrl::parse("https://login.example").unwrap()).len(), 1);
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for url in ["http://127.0.0.1:8080/jwks", "http://localhost/jwks", "http://[::1]:80/", "http://127.9.9.9"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://10.0.0.1/",
            "http://localhost.example/",
            "http://127.0.0.1@login.example/",
            "http://a:80",
            "http://",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn groups_have_scopes() {
        let config =
            issuer("groups_claim = \"groups\"\n[group_scopes]\nops = [\"sealgate:operator\", \"sub:readings/#\"]");
        assert_eq!(config.group_scopes["ops"].len(), 2);
        let unfit = "issuer = \"https://a.example\"\n[group_scopes]\nops = [\"everything\"]";
        assert!(toml::from_str::<ForeignConfig>(unfit).unwrap_err().to_string().contains("everything"));
    }
}
