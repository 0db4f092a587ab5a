//! Who gets a token for what, who may ask about one, and who may take one back: the issuer's endpoints without their HTTP.
//!
//! A client gets what it was granted, or the part of it that it asks for: a console that shows one site can hold a
//! token for that site alone. An unknown client, a wrong secret and a disabled client get one answer, after one
//! comparison.

use std::time::Instant;

use quick_cache::sync::Cache;
use serde::Serialize;

use super::assertion::{Assertions, Expected};
use super::claims::Claims;
use super::credentials::{Assertion, Credentials};
use super::issuer::{Issuer, Order, TOKEN_PATH, TokenAnswer};
use super::jwk::public_keys;
use super::request::{AboutToken, TokenRefused, TokenRequest};
use super::scope::{self, Scope};
use crate::limit::{Pace, Rate};
use crate::store::{Client, Holder, State, Store};

/// Answers requests of clients.
pub(crate) struct Endpoint {
    store: Store,
    issuer: Issuer,
    assertions: Assertions,
    paces: Cache<Box<str>, Pace>,
    rate: Rate,
    /// Of clients that take tokens back.
    revoking: Cache<Box<str>, Pace>,
}

/// How often a client may take a token back, a second: each that is taken back is remembered until its end, by every gateway.
const REVOCATIONS_PER_SECOND: u64 = 1;

/// Clients whose rate is remembered; at the bound those are forgotten that were seen least, which is to their good.
const PACES_MAX: usize = 65_536;

/// What a token is worth (RFC 7662 section 2.2).
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Introspection {
    /// Nothing.
    Inactive {
        /// False.
        active: bool,
    },
    /// It is good now.
    Active(Box<ActiveToken>),
}

/// What is told of a token that is good.
#[derive(Debug, Serialize)]
pub struct ActiveToken {
    active: bool,
    scope: String,
    client_id: String,
    token_type: &'static str,
    exp: i64,
    iat: i64,
    sub: String,
    aud: Vec<String>,
    iss: String,
    jti: String,
}

impl Introspection {
    /// Nothing: it is no token of ours, has ended, was taken back, or is none of the asker's business.
    pub(crate) const INACTIVE: Introspection = Introspection::Inactive { active: false };

    /// Of a good token.
    pub(crate) fn of(claims: Claims) -> Introspection {
        Introspection::Active(Box::new(ActiveToken {
            active: true,
            scope: claims.scope,
            client_id: claims.client_id,
            token_type: "Bearer",
            exp: claims.expires_at_ms / 1000,
            iat: claims.issued_at_ms / 1000,
            sub: claims.subject,
            aud: claims.audiences,
            iss: claims.issuer,
            jti: claims.token_id,
        }))
    }

    /// Whether the token is good.
    pub fn is_active(&self) -> bool {
        matches!(self, Introspection::Active(_))
    }
}

impl Endpoint {
    /// `rate`: how often a client may ask.
    pub(crate) fn new(store: Store, issuer: Issuer, rate: Rate) -> Self {
        Endpoint {
            store,
            issuer,
            assertions: Assertions::default(),
            paces: Cache::new(PACES_MAX),
            rate,
            revoking: Cache::new(PACES_MAX),
        }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// A token, and whom it is for.
    pub(crate) async fn answer(
        &self,
        request: &TokenRequest,
        now: Instant,
        now_ms: i64,
    ) -> Result<(TokenAnswer, String), TokenRefused> {
        let client = self.authenticate(request.credentials(), now, now_ms).await?;
        let (subject, scope) = narrow(&client.holder, request.scope())?;
        let audience = self.issuer.audience(request.resource()).ok_or(TokenRefused::InvalidTarget)?;
        let token = self.issuer.issue(subject, &client.client_id, Order { scope, audience }, now_ms);
        Ok((token.ok_or(TokenRefused::Unavailable)?, subject.to_owned()))
    }

    /// Who asks about a token: the client, once it has shown that it is one.
    pub(crate) async fn asker(&self, request: &AboutToken, now: Instant, now_ms: i64) -> Result<Client, TokenRefused> {
        self.authenticate(request.credentials(), now, now_ms).await
    }

    async fn authenticate(&self, credentials: &Credentials, now: Instant, now_ms: i64) -> Result<Client, TokenRefused> {
        let client = self.store.client(credentials.client_id()).await.map_err(|error| {
            tracing::error!(%error, "A client cannot be looked up.");
            TokenRefused::Unavailable
        })?;
        let authentic = match credentials {
            Credentials::Secret { secret, .. } => {
                let old =
                    client.as_ref().and_then(|client| client.old_secret.filter(|(_, until_ms)| now_ms < *until_ms));
                let is_old = secret.matches(old.as_ref().map(|(hash, _)| hash));
                // Both are compared whatever comes of the other.
                secret.matches(client.as_ref().map(|client| &client.secret_sha256)) | is_old
            }
            Credentials::Assertion { assertion, .. } => {
                client.as_ref().is_some_and(|client| self.has_signed(client, assertion, now_ms))
            }
        };
        let client = client.filter(|client| authentic && client.state == State::Enabled);
        let client = client.ok_or(TokenRefused::InvalidClient)?;
        // After the secret: so nobody uses up what is another's.
        let is_too_often = !take(&self.paces, &client.client_id, self.rate, now);
        if is_too_often { Err(TokenRefused::TooOften) } else { Ok(client) }
    }

    fn has_signed(&self, client: &Client, assertion: &Assertion, now_ms: i64) -> bool {
        let Some(keys) = client.public_keys.as_deref().and_then(|text| public_keys(text).ok()) else { return false };
        let token_endpoint = self.issuer.url().endpoint(TOKEN_PATH);
        // RFC 7523 section 3 item 3; the issuer itself is what later profiles ask for.
        let audiences = [token_endpoint.as_str(), self.issuer.url().as_str()];
        let expected = Expected { client_id: &client.client_id, audiences, keys: &keys };
        self.assertions.accept(assertion.expose(), &expected, now_ms)
    }

    /// Whether the client may take a token back now.
    pub(crate) fn may_revoke(&self, client: &Client, now: Instant) -> bool {
        take(&self.revoking, &client.client_id, Rate::per_second(REVOCATIONS_PER_SECOND), now)
    }
}

/// Takes one of what a client may have; false: it has had all of it.
fn take(paces: &Cache<Box<str>, Pace>, client_id: &str, rate: Rate, now: Instant) -> bool {
    let mut pace = paces.get(client_id).unwrap_or_else(|| Pace::new(now));
    let taken = pace.try_take(rate, now);
    if taken {
        paces.insert(client_id.into(), pace);
    }
    taken
}

/// Whether `client` may know what a token of `claims` is worth: its own, or everybody's if it was granted that.
pub(crate) fn may_know(client: &Client, claims: &Claims) -> bool {
    let granted = || match &client.holder {
        Holder::Service { scopes, .. } => scopes.iter().any(|scope| Scope::parse(scope) == Ok(Scope::Introspect)),
        Holder::Device { .. } => false,
    };
    client.client_id == claims.client_id || granted()
}

/// The subject and the scope of the token: what `asked` names of what the holder was granted, or all of it.
fn narrow<'a>(holder: &'a Holder, asked: Option<&str>) -> Result<(&'a str, String), TokenRefused> {
    match holder {
        Holder::Device { device_id } => match asked {
            None | Some(scope::DEVICE) => Ok((device_id, scope::DEVICE.to_owned())),
            Some(_) => Err(TokenRefused::InvalidScope),
        },
        Holder::Service { name, scopes } => Ok((name, narrow_service(scopes, asked)?)),
    }
}

fn narrow_service(granted: &[String], asked: Option<&str>) -> Result<String, TokenRefused> {
    let all = granted.join(" ");
    let granted = scope::parse_all(&all).map_err(|_| TokenRefused::InvalidScope)?;
    let Some(asked) = asked else {
        return if granted.is_empty() { Err(TokenRefused::InvalidScope) } else { Ok(all) };
    };
    let wanted = scope::parse_all(asked).map_err(|_| TokenRefused::InvalidScope)?;
    let covered = |wanted: &Scope| granted.iter().any(|granted| granted.covers(wanted));
    if wanted.iter().all(covered) { Ok(asked.to_owned()) } else { Err(TokenRefused::InvalidScope) }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn service(scopes: &[&str]) -> Holder {
        Holder::Service { name: "console".to_owned(), scopes: scopes.iter().map(|&scope| scope.to_owned()).collect() }
    }

    // RFC 6749 section 3.3
    #[test]
    fn a_service_gets_all_that_it_has_or_the_part_that_it_asks_for() {
        let holder = service(&["sub:readings/#", "pub:commands/#"]);
        assert_eq!(narrow(&holder, None), Ok(("console", "sub:readings/# pub:commands/#".to_owned())));
        for part in ["sub:readings/+", "sub:readings/a pub:commands/a/stop", "pub:commands/#"] {
            assert_eq!(narrow(&holder, Some(part)), Ok(("console", part.to_owned())));
        }
    }

    #[test]
    fn nothing_beyond_the_grant_is_given() {
        let holder = service(&["sub:readings/+", "pub:commands/#"]);
        for more in ["sub:readings/#", "sub:commands/a", "sub:readings/a sub:b", "device", "sub:readings/a ", "x"] {
            assert_eq!(narrow(&holder, Some(more)), Err(TokenRefused::InvalidScope), "{more}");
        }
        assert_eq!(narrow(&service(&[]), None), Err(TokenRefused::InvalidScope));
    }

    #[test]
    fn a_device_is_a_device_and_nothing_else() {
        let holder = Holder::Device { device_id: "pump:7".into() };
        assert_eq!(narrow(&holder, None), Ok(("pump:7", "device".to_owned())));
        assert_eq!(narrow(&holder, Some("device")), Ok(("pump:7", "device".to_owned())));
        for more in ["sub:#", "device device", "device sub:a"] {
            assert_eq!(narrow(&holder, Some(more)), Err(TokenRefused::InvalidScope), "{more}");
        }
    }
}
