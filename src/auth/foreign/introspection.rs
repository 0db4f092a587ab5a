//! What a token is worth that is no JWT: its issuer is asked (RFC 7662), and the answer is remembered for a while.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_cache::sync::Cache;
use serde_json::Value;
use zeroize::Zeroizing;

use super::config::ForeignConfig;
use super::mapping;
use crate::auth::claims::Claims;
use crate::auth::jose::Members;
use crate::auth::refusal::LoginRefused;
use crate::auth::secret::read_secret;
use crate::fetch::Fetch;

/// Answers that are remembered; an entry takes about a kilobyte.
const REMEMBERED_MAX: usize = 65_536;
/// What a login waits for an answer: less than a client has for its CONNECT, which is to hear that it should come again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks one issuer.
pub(super) struct Introspection {
    config: Arc<ForeignConfig>,
    url: String,
    client_id: String,
    secret_file: PathBuf,
    fetch: Fetch,
    known: Cache<TokenHash, Known>,
}

/// By what a token is known again: its SHA-256.
pub(super) type TokenHash = [u8; 32];

/// What a token says, or why it says nothing: `Revoked` is that it is none of this issuer's that is good now.
type Said = Result<Arc<Claims>, LoginRefused>;

#[derive(Clone)]
struct Known {
    said: Said,
    until_ms: i64,
}

impl Introspection {
    /// Where the settings say so.
    pub(super) fn new(config: &Arc<ForeignConfig>, fetch: &Fetch) -> Option<Self> {
        let (url, client_id) = (config.introspection_url.clone()?, config.introspection_client_id.clone()?);
        let secret_file = config.introspection_client_secret_file.clone()?;
        let known = Cache::new(REMEMBERED_MAX);
        Some(Introspection { config: Arc::clone(config), url, client_id, secret_file, fetch: fetch.clone(), known })
    }

    /// What was said of a token not long ago.
    pub(super) fn known(&self, hash: &TokenHash, now_ms: i64) -> Option<Said> {
        self.known.get(hash).filter(|known| now_ms < known.until_ms).map(|known| known.said)
    }

    /// What its issuer says of a token now.
    pub(super) async fn said(&self, token: &str, hash: TokenHash, now_ms: i64) -> Said {
        let said = match tokio::time::timeout(PATIENCE, self.ask(token)).await {
            Ok(said) => said,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        let said = said.map_err(|problem| {
            tracing::warn!(issuer = %self.config.issuer, problem, "An issuer does not say what a token is worth.");
            LoginRefused::IssuerUnavailable
        })?;
        let said = said.map(Arc::new);
        let cache_ms = i64::try_from(self.config.introspection_cache.as_millis()).unwrap_or(i64::MAX);
        let ends_ms = said.as_ref().map_or(i64::MAX, |claims| claims.expires_at_ms);
        self.known.insert(hash, Known { said: said.clone(), until_ms: now_ms.saturating_add(cache_ms).min(ends_ms) });
        said
    }

    async fn ask(&self, token: &str) -> Result<Result<Claims, LoginRefused>, String> {
        let secret =
            read_secret(&self.secret_file).map_err(|error| format!("introspection_client_secret_file: {error}"))?;
        let encoded = |text: &str| Zeroizing::new(utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        let basic = Zeroizing::new(format!("{}:{}", *encoded(&self.client_id), *encoded(&secret)));
        let body = format!("token={}&token_type_hint=access_token", *encoded(token));
        let request = Request::post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .header("authorization", format!("Basic {}", STANDARD.encode(basic.as_bytes())))
            .body(body.into_bytes())
            .map_err(|_| "introspection_url is no URL".to_owned())?;
        let answer = self.fetch.send(request).await.map_err(|error| error.to_string())?;
        match answer.status().as_u16() {
            200 => read(&self.config, answer.body()).ok_or_else(|| "its answer is not that of RFC 7662".to_owned()),
            status => Err(format!("it answers {status}")),
        }
    }
}

/// What an answer says of a token. None: it is no such answer.
fn read(config: &ForeignConfig, body: &[u8]) -> Option<Result<Claims, LoginRefused>> {
    let Value::Object(mut answer) = serde_json::from_slice(body).ok()? else { return None };
    if !answer.get("active")?.as_bool()? {
        return Some(Err(LoginRefused::Revoked));
    }
    // Optional members (section 2.2): whose token it is, is known, and who it is for may be left out by an issuer that tells it to nobody
    // else.
    answer.entry("iss").or_insert_with(|| Value::from(config.issuer.as_str()));
    let members: Members = serde_json::from_value(Value::Object(answer)).ok()?;
    if members.text("iss") != Some(config.issuer.as_str()) {
        return Some(Err(LoginRefused::Revoked));
    }
    Some(mapping::check_introspected_type(&members).and_then(|()| mapping::claims(config, &members)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> ForeignConfig {
        toml::from_str("issuer = \"https://login.example\"").unwrap()
    }

    fn answer(value: &Value) -> Option<Result<Claims, LoginRefused>> {
        read(&config(), value.to_string().as_bytes())
    }

    fn good() -> Value {
        json!({"active": true, "sub": "pump", "scope": "device", "aud": "sealgate", "exp": 2_000_000_000})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut answer = good();
        answer[name] = value;
        answer
    }

    // RFC 7662 section 2.2
    #[test]
    fn an_answer_says_whose_the_token_is_or_that_it_is_none() {
        let claims = answer(&good()).unwrap().unwrap();
        assert_eq!((&*claims.subject, &*claims.issuer), ("pump", "https://login.example"));
        assert_eq!(answer(&json!({"active": false})), Some(Err(LoginRefused::Revoked)));
        let other = answer(&with("iss", json!("https://other.example")));
        assert_eq!(other, Some(Err(LoginRefused::Revoked)), "another issuer's word is not this one's");
        for unclear in [json!({}), json!([]), json!({"active": "true"}), json!({"active": 1}), json!(true)] {
            assert_eq!(answer(&unclear), None, "{unclear}");
        }
    }

    // A connection ends with its token, so that has an end. The issuer did answer: it is not to be asked again and again.
    #[test]
    fn a_good_token_that_says_too_little_is_refused_and_its_issuer_is_not_away() {
        for name in ["exp", "aud", "sub"] {
            let mut answered = good();
            answered.as_object_mut().unwrap().remove(name);
            assert_eq!(answer(&answered), Some(Err(LoginRefused::Malformed)), "{name}");
        }
    }

    // Section 2.1: refresh tokens are introspected, too. RFC 9449 section 6.2: one bound to a key is of another type.
    #[test]
    fn what_is_no_access_token_for_its_bearer_is_refused() {
        for (name, kind) in [
            ("token_type", json!("refresh_token")),
            ("token_type", json!("DPoP")),
            ("token_type", json!(null)),
            ("token_use", json!("refresh_token")),
            ("typ", json!("Refresh")),
            ("typ", json!("ID")),
        ] {
            assert_eq!(answer(&with(name, kind.clone())), Some(Err(LoginRefused::WrongType)), "{name}: {kind}");
        }
        for (name, kind) in [("token_type", "bearer"), ("token_use", "access_token"), ("typ", "Bearer")] {
            assert!(answer(&with(name, json!(kind))).unwrap().is_ok(), "{name}: {kind}");
        }
    }
}
