//! What a client asks the issuer for: a token, what one is worth, or to take one back; or the refusal that it gets.
//!
//! Client credentials alone are granted (RFC 6749 section 4.4). How they are shown is told in [`credentials`](super::credentials). No HTTP
//! type comes in here: the header and the body are texts.

use thiserror::Error;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::form::Form;

/// A request that is well-formed: who asks, and for how much.
#[derive(Debug)]
pub(crate) struct TokenRequest {
    credentials: Credentials,
    scope: Option<String>,
    resource: Option<String>,
}

/// A request about a token that somebody has: what it is worth (RFC 7662 section 2.1), or that it is to be taken back (RFC 7009 section 2.1).
pub(crate) struct AboutToken {
    credentials: Credentials,
    token: Zeroizing<String>,
}

/// Why no token is issued (RFC 6749 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenRefused {
    /// A parameter is missing or repeated, or both ways of authentication are used.
    #[error("the request is malformed, repeats a parameter, or authenticates in two ways")]
    InvalidRequest,
    /// No credentials, wrong ones, or a client that is disabled: the one is not told from the other.
    #[error("the client is not authenticated")]
    InvalidClient,
    /// The scope asked for is malformed or more than what was granted.
    #[error("the scope is malformed or exceeds what the client was granted")]
    InvalidScope,
    /// The token would be for a resource server that is not one of ours (RFC 8707 section 2).
    #[error("the resource is none that tokens are issued for")]
    InvalidTarget,
    /// The token is another client's (RFC 7009 section 2.1).
    #[error("the token was not issued to this client")]
    UnauthorizedClient,
    /// The client asks again and again.
    #[error("the client asks too often")]
    TooOften,
    /// Anything but `client_credentials`.
    #[error("the grant type is not client_credentials")]
    UnsupportedGrantType,
    /// The client could not be looked up, or the system failed: try again later.
    #[error("the request cannot be served now")]
    Unavailable,
}

impl TokenRefused {
    /// Every reason, in the order of the declaration.
    pub const ALL: [TokenRefused; 8] = [
        TokenRefused::InvalidRequest,
        TokenRefused::InvalidClient,
        TokenRefused::InvalidScope,
        TokenRefused::InvalidTarget,
        TokenRefused::UnauthorizedClient,
        TokenRefused::TooOften,
        TokenRefused::UnsupportedGrantType,
        TokenRefused::Unavailable,
    ];

    /// The code in the answer's `error`, and the metric's label. RFC 6749 section 5.2 has none for
    /// [`TokenRefused::Unavailable`], where the word is that of section 4.1.2.1, nor for [`TokenRefused::TooOften`], where it is that of
    /// RFC 8628 section 3.5.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenRefused::InvalidRequest => "invalid_request",
            TokenRefused::InvalidClient => "invalid_client",
            TokenRefused::InvalidScope => "invalid_scope",
            TokenRefused::InvalidTarget => "invalid_target",
            TokenRefused::UnauthorizedClient => "unauthorized_client",
            TokenRefused::TooOften => "slow_down",
            TokenRefused::UnsupportedGrantType => "unsupported_grant_type",
            TokenRefused::Unavailable => "temporarily_unavailable",
        }
    }
}

impl TokenRequest {
    /// A request of the `Authorization` header, if there is one, and the form in the body.
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for its fault.
    pub(crate) fn parse(authorization: Option<&str>, body: &[u8]) -> Result<TokenRequest, TokenRefused> {
        let mut form = Form::parse(body)?;
        match form.take_public("grant_type").as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(TokenRefused::UnsupportedGrantType),
            None => return Err(TokenRefused::InvalidRequest),
        }
        let (scope, resource) = (form.take_public("scope"), form.take_public("resource"));
        Ok(TokenRequest { credentials: Credentials::take(authorization, &mut form)?, scope, resource })
    }

    /// Who asks.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Who it is for (RFC 8707); without it, for this gateway.
    pub(crate) fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// For which part of its scopes; without it the client gets all that it has.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

impl AboutToken {
    /// As [`TokenRequest::parse`]. What kind of token it is (`token_type_hint`) is no question: there is one.
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for its fault.
    pub(crate) fn parse(authorization: Option<&str>, body: &[u8]) -> Result<AboutToken, TokenRefused> {
        let mut form = Form::parse(body)?;
        let token = form.take("token").ok_or(TokenRefused::InvalidRequest)?;
        Ok(AboutToken { credentials: Credentials::take(authorization, &mut form)?, token })
    }

    /// Who asks.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

#[cfg(test)]
mod tests;
