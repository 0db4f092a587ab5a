//! Access tokens, fetched with the crate `oauth2` by client credentials (RFC 6749 section 4.4).

use std::time::Duration;

use oauth2::basic::{BasicClient, BasicRequestTokenError};
use oauth2::{ClientId, ClientSecret, EndpointNotSet, EndpointSet, RequestTokenError, TokenResponse as _, TokenUrl};
use thiserror::Error;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::http::{HttpError, exchange};

/// A token, as it is sent as the password.
pub(super) struct Token {
    pub(super) secret: Zeroizing<String>,
    /// How long it lives from now on.
    pub(super) life: Duration,
}

/// Why there is no token. It repeats nothing that the endpoint was told.
#[derive(Debug, Error)]
#[error("no token: {0}")]
pub(super) struct NoToken(String);

type Client = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// RFC 6749 section 5.1 lets an issuer leave `expires_in` out.
const LIFE_WHERE_UNSAID: Duration = Duration::from_secs(300);

/// One that lives for less is over when it arrives.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// A device's access to the token endpoint.
pub(super) struct TokenSource(Client);

impl TokenSource {
    /// For the client of these credentials.
    pub(super) fn new(token_url: &TokenUrl, credentials: &Credentials) -> Self {
        let secret = ClientSecret::new(credentials.client_secret.to_string());
        let client = BasicClient::new(ClientId::new(credentials.client_id.clone()));
        TokenSource(client.set_client_secret(secret).set_token_uri(token_url.clone()))
    }

    /// Asks for a token.
    pub(super) async fn fetch(&self) -> Result<Token, NoToken> {
        let answer = self.0.exchange_client_credentials().request_async(&exchange).await;
        let answer = answer.map_err(NoToken::of)?;
        let life = answer.expires_in().unwrap_or(LIFE_WHERE_UNSAID);
        if life < LIFE_MIN {
            return Err(NoToken(format!("it would live for {life:?}")));
        }
        Ok(Token { secret: Zeroizing::new(answer.access_token().secret().clone()), life })
    }
}

impl NoToken {
    /// In words that repeat nothing of an answer that is not understood: it may hold a token.
    fn of(error: BasicRequestTokenError<HttpError>) -> Self {
        NoToken(match error {
            RequestTokenError::ServerResponse(refused) => refused.error().to_string().escape_debug().take(80).collect(),
            RequestTokenError::Request(failure) => failure.to_string(),
            RequestTokenError::Parse(..) => "the answer is not that of a token endpoint".to_owned(),
            RequestTokenError::Other(_) => "the answer is empty".to_owned(),
        })
    }
}
