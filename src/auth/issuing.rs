//! What the public listener asks of our own issuer: a token, what one is worth, to take one back, and with which keys all that can be
//! verified.

use std::sync::Arc;
use std::time::Instant;

use super::claims::Claims;
use super::credentials::Credentials;
use super::endpoint::{Introspection, may_know};
use super::issuer::{JwkSet, Metadata, TokenAnswer};
use super::metrics::{AboutResult, TokenResult};
use super::request::{AboutToken, TokenRequest};
use super::{Asker, Auth, IssuerUrl, LoginRefused, OpenError, Refused, TokenRefused, clipped};
use crate::store::{Actor, Added, Event, Holder, RevokedToken, Store};

impl Auth {
    /// Answers the token endpoint: `authorization` is the header of that name, `body` the form.
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for it. It is logged and counted here.
    pub async fn answer(
        &self,
        authorization: Option<&str>,
        body: &[u8],
        asker: Asker,
        now_ms: i64,
    ) -> Result<TokenAnswer, Refused<TokenRefused>> {
        let request = TokenRequest::parse(authorization, body);
        let result = match &request {
            Ok(request) => self.0.endpoint.answer(request, asker.now, now_ms).await,
            Err(refused) => Err(*refused),
        };
        self.0.metrics.tokens.inc(TokenResult::of(&result));
        let client_id = request.as_ref().map_or("", |request| request.credentials().client_id());
        let who = clipped(client_id);
        let event = |action, subject: &str, detail: String| Event {
            at_ms: now_ms,
            who: who.to_owned(),
            origin: asker.from.to_canonical().to_string(),
            action,
            subject: subject.to_owned(),
            detail,
        };
        match &result {
            Ok((token, subject)) => {
                let detail = format!("{} {}", token.token_id(), token.scope());
                self.0.journal.enter(event("token_issued", subject, detail));
            }
            Err(reason) => {
                tracing::warn!(client_id = who, reason = reason.as_str(), "A token is refused: {reason}.");
                self.0.journal.enter_failure(event("token_refused", who, reason.as_str().to_owned()), asker.now);
            }
        }
        let result = result.map(|(token, _)| token);
        self.paused(result, client_id, asker, |reason| reason == TokenRefused::InvalidClient)
    }

    /// Says what a token is worth (RFC 7662).
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for it. It is logged and counted here.
    pub async fn introspect(
        &self,
        authorization: Option<&str>,
        body: &[u8],
        asker: Asker,
        now_ms: i64,
    ) -> Result<Introspection, Refused<TokenRefused>> {
        let request = AboutToken::parse(authorization, body);
        let result = match &request {
            Ok(request) => self.worth(request, asker.now, now_ms).await,
            Err(refused) => Err(*refused),
        };
        self.0.metrics.introspections.inc(AboutResult::of(&result, Introspection::is_active));
        self.about(result, request.as_ref().ok().map(AboutToken::credentials), "introspection", asker)
    }

    async fn worth(&self, request: &AboutToken, now: Instant, now_ms: i64) -> Result<Introspection, TokenRefused> {
        let client = self.0.endpoint.asker(request, now, now_ms).await?;
        match self.0.logins.introspect(request.token(), now, now_ms).await {
            Ok(claims) if may_know(&client, &claims) => Ok(Introspection::of(claims)),
            Err(LoginRefused::StoreUnavailable) => Err(TokenRefused::Unavailable),
            _ => Ok(Introspection::INACTIVE),
        }
    }

    /// Takes a token back (RFC 7009); what is none, or none any more, needs no taking back. Connections that came with it end within a
    /// second, at each gateway on the database.
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for it. It is logged and counted here.
    pub async fn revoke(
        &self,
        authorization: Option<&str>,
        body: &[u8],
        asker: Asker,
        now_ms: i64,
    ) -> Result<(), Refused<TokenRefused>> {
        let request = AboutToken::parse(authorization, body);
        let result = match &request {
            Ok(request) => self.take_back(request, asker, now_ms).await,
            Err(refused) => Err(*refused),
        };
        self.0.metrics.revocations.inc(AboutResult::of(&result, |added| *added == Added::Now));
        let result = result.map(|_| ());
        self.about(result, request.as_ref().ok().map(AboutToken::credentials), "revocation", asker)
    }

    async fn take_back(&self, request: &AboutToken, asker: Asker, now_ms: i64) -> Result<Added, TokenRefused> {
        let client = self.0.endpoint.asker(request, asker.now, now_ms).await?;
        let Ok(claims) = self.0.logins.claims(request.token(), now_ms) else { return Ok(Added::AlreadyThere) };
        if claims.issuer != self.issuer().as_str() || claims.client_id != client.client_id {
            return Err(TokenRefused::UnauthorizedClient);
        }
        if self.0.logins.is_taken_back(&claims) {
            return Ok(Added::AlreadyThere);
        }
        if !self.0.endpoint.may_revoke(&client, asker.now) {
            return Err(TokenRefused::TooOften);
        }
        let who: Arc<str> = match &client.holder {
            Holder::Device { device_id } => Arc::clone(device_id),
            Holder::Service { name, .. } => name.as_str().into(),
        };
        let store = self.0.store.acting_as(Actor { who, origin: asker.from.to_canonical().to_string().into() });
        self.revoke_claims(&store, claims, now_ms).await.map_err(|error| {
            tracing::error!(%error, "A token cannot be taken back.");
            TokenRefused::Unavailable
        })
    }

    async fn revoke_claims(&self, store: &Store, claims: Claims, now_ms: i64) -> Result<Added, OpenError> {
        let Claims { token_id: id, subject, expires_at_ms, .. } = claims;
        let added = store.revoke_token(&RevokedToken { id, subject, expires_at_ms }).await?;
        self.look_again(now_ms).await?;
        Ok(added)
    }

    /// Takes a token of ours back, whosever it is; none: it is no good token of ours.
    ///
    /// # Errors
    /// As [`Auth::look_again`].
    pub async fn revoke_any(&self, token: &str, now_ms: i64) -> Result<Option<Added>, OpenError> {
        let claims = self.0.logins.claims(token, now_ms).ok();
        match claims.filter(|claims| claims.issuer == self.issuer().as_str()) {
            Some(claims) => self.revoke_claims(&self.0.store, claims, now_ms).await.map(Some),
            None => Ok(None),
        }
    }

    fn about<T>(
        &self,
        result: Result<T, TokenRefused>,
        credentials: Option<&Credentials>,
        what: &'static str,
        asker: Asker,
    ) -> Result<T, Refused<TokenRefused>> {
        let client_id = credentials.map_or("", Credentials::client_id);
        if let Err(reason) = &result {
            tracing::warn!(
                client_id = clipped(client_id),
                reason = reason.as_str(),
                "A request for {what} is refused: {reason}."
            );
        }
        self.paused(result, client_id, asker, |reason| reason == TokenRefused::InvalidClient)
    }

    /// The public keys that verify our tokens.
    pub fn jwks(&self, now_ms: i64) -> JwkSet {
        self.0.endpoint.issuer().jwks(now_ms)
    }

    /// What a client has to know of the issuer.
    pub fn metadata(&self) -> Metadata {
        self.0.endpoint.issuer().metadata()
    }

    /// The issuer's identifier.
    pub fn issuer(&self) -> &IssuerUrl {
        self.0.endpoint.issuer().url()
    }
}
