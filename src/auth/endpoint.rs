//! Who gets a token for what: the token endpoint without its HTTP.
//!
//! A client gets what it was granted, or the part of it that it asks for: a console that shows one site can hold a
//! token for that site alone. An unknown client, a wrong secret and a disabled client get one answer, after one
//! comparison.

use super::issuer::{Issuer, TokenAnswer};
use super::request::{TokenRefused, TokenRequest};
use super::scope::{self, Scope};
use crate::store::{Client, Holder, State, Store};

/// Answers requests for tokens.
pub(crate) struct Endpoint {
    store: Store,
    issuer: Issuer,
}

impl Endpoint {
    pub(crate) fn new(store: Store, issuer: Issuer) -> Self {
        Endpoint { store, issuer }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) async fn answer(&self, request: &TokenRequest, now_ms: i64) -> Result<TokenAnswer, TokenRefused> {
        let client = self.authenticate(request).await?;
        let (subject, scope) = narrow(&client.holder, request.scope())?;
        self.issuer.issue(subject, &client.client_id, scope, now_ms).ok_or(TokenRefused::Unavailable)
    }

    async fn authenticate(&self, request: &TokenRequest) -> Result<Client, TokenRefused> {
        let client = self.store.client(request.client_id()).await.map_err(|error| {
            tracing::error!(%error, "A client cannot be looked up.");
            TokenRefused::Unavailable
        })?;
        let authentic = request.client_secret().matches(client.as_ref().map(|client| &client.secret_sha256));
        let client = client.filter(|client| authentic && client.state == State::Enabled);
        client.ok_or(TokenRefused::InvalidClient)
    }
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
