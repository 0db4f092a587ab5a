//! What a token is worth that is no JWT: its issuer is asked (RFC 7662), and the answer is remembered for a while.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_cache::sync::Cache;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
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

/// Asks one issuer.
pub(super) struct Introspection {
    config: Arc<ForeignConfig>,
    url: String,
    client_id: String,
    secret_file: PathBuf,
    fetch: Fetch,
    known: Cache<[u8; 32], Known>,
}

#[derive(Clone)]
struct Known {
    claims: Option<Arc<Claims>>,
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

    /// What the token says; none: nothing, for it is none of this issuer's that is good now.
    pub(super) async fn claims(&self, token: &str, now_ms: i64) -> Result<Option<Claims>, LoginRefused> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.known.get(&hash).filter(|known| now_ms < known.until_ms) {
            return Ok(known.claims.as_deref().cloned());
        }
        let claims = self.ask(token).await.map_err(|problem| {
            tracing::warn!(issuer = %self.config.issuer, problem, "An issuer does not say what a token is worth.");
            LoginRefused::IssuerUnavailable
        })?;
        let cache_ms = i64::try_from(self.config.introspection_cache.as_millis()).unwrap_or(i64::MAX);
        let ends_ms = claims.as_ref().map_or(i64::MAX, |claims| claims.expires_at_ms);
        let known =
            Known { claims: claims.clone().map(Arc::new), until_ms: now_ms.saturating_add(cache_ms).min(ends_ms) };
        self.known.insert(hash, known);
        Ok(claims)
    }

    async fn ask(&self, token: &str) -> Result<Option<Claims>, String> {
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

/// What an answer says: claims of a good token, or that it is none. None: it says nothing that is understood.
fn read(config: &ForeignConfig, body: &[u8]) -> Option<Option<Claims>> {
    let Value::Object(mut answer) = serde_json::from_slice(body).ok()? else { return None };
    if !answer.get("active")?.as_bool()? {
        return Some(None);
    }
    // Optional members (section 2.2): whose token it is, is known, and who it is for may be left out by an issuer that tells it to nobody
    // else.
    answer.entry("iss").or_insert_with(|| Value::from(config.issuer.as_str()));
    let members: Members = serde_json::from_value(Value::Object(answer)).ok()?;
    if members.text("iss") != Some(config.issuer.as_str()) {
        return Some(None);
    }
    mapping::claims(config, &members).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> ForeignConfig {
        toml::from_str("issuer = \"https://login.example\"").unwrap()
    }

    fn answer(value: &Value) -> Option<Option<Claims>> {
        read(&config(), value.to_string().as_bytes())
    }

    // RFC 7662 section 2.2
    #[test]
    fn an_answer_says_whose_the_token_is_or_that_it_is_none() {
        let good = json!({"active": true, "sub": "pump", "scope": "device", "aud": "sealgate", "exp": 2_000_000_000});
        let claims = answer(&good).unwrap().unwrap();
        assert_eq!((&*claims.subject, &*claims.issuer), ("pump", "https://login.example"));
        assert_eq!(answer(&json!({"active": false})), Some(None));
        let mut other = good.clone();
        other["iss"] = json!("https://other.example");
        assert_eq!(answer(&other), Some(None), "another issuer's word is not this one's");
        for unclear in [json!({}), json!([]), json!({"active": "true"}), json!({"active": true}), json!(true)] {
            assert_eq!(answer(&unclear), None, "{unclear}");
        }
        let mut endless = good;
        endless.as_object_mut().unwrap().remove("exp");
        assert_eq!(answer(&endless), None, "a connection ends with its token, so that has an end");
    }
}
