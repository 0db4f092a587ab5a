//! Who we say we are to the broker: nobody, a name with a password, or a name with a token that is fetched anew before it ends.
//!
//! Files are read again for each login, so that a password or a secret can be exchanged while we run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2::basic::{BasicClient, BasicRequestTokenError};
use oauth2::{ClientId, ClientSecret, RequestTokenError, Scope, TokenResponse as _, TokenUrl};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Config;
use super::clock::now;
use crate::fetch::{Fetch, FetchError};
use crate::tls::ClientConfig;

/// The longest password or secret, and so the longest file that is taken for one.
const SECRET_BYTES_MAX: usize = 65_535;
/// RFC 6749 section 5.1 lets an issuer leave `expires_in` out.
const LIFE_WHERE_UNSAID: Duration = Duration::from_secs(300);
/// One that lives for less is over when it arrives.
const LIFE_MIN: Duration = Duration::from_secs(1);
/// After this part of its life a token is exchanged.
const RENEWED_AFTER: f64 = 0.75;

/// Where logins come from.
pub struct Credentials {
    user: String,
    kind: Kind,
}

enum Kind {
    None,
    Password(PathBuf),
    Token(Box<TokenClient>),
}

/// Whom a token is asked of, and as who.
struct TokenClient {
    url: TokenUrl,
    client_id: ClientId,
    secret_file: PathBuf,
    scope: Option<Scope>,
    fetch: Fetch,
}

/// One login.
pub(super) struct Login {
    user: String,
    password: Option<Zeroizing<String>>,
    /// When another one is wanted, and when this one ends.
    pub(super) life: Option<Life>,
}

/// How long a login is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) renewed_at: Instant,
    pub(super) ends_at: Instant,
}

/// Why there is no login. It repeats nothing of a secret.
#[derive(Debug, Error)]
pub enum LoginError {
    /// A file cannot be read or holds no secret.
    #[error("[source] {key} = \"{}\": {what}", path.display())]
    File {
        /// The setting.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Not an URL.
    #[error("[source] token_url: {0}")]
    TokenUrl(String),
    /// The issuer gives no token.
    #[error("no token: {0}")]
    NoToken(String),
}

impl Credentials {
    /// As the settings say. Files that cannot be used are told now, and not when the broker asks.
    pub fn open(config: &Config, tls: &Arc<ClientConfig>) -> Result<Self, LoginError> {
        let kind = if let (true, Some(secret_file)) = (config.wants_token(), config.token_client_secret_file.clone()) {
            secret("token_client_secret_file", &secret_file)?;
            let url =
                TokenUrl::new(config.token_url.clone()).map_err(|error| LoginError::TokenUrl(error.to_string()))?;
            let scope = (!config.token_scope.is_empty()).then(|| Scope::new(config.token_scope.clone()));
            let client_id = ClientId::new(config.token_client_id.clone());
            Kind::Token(Box::new(TokenClient { url, client_id, secret_file, scope, fetch: Fetch::new(tls.clone()) }))
        } else if let Some(file) = config.password_file.clone() {
            secret("password_file", &file)?;
            Kind::Password(file)
        } else {
            Kind::None
        };
        Ok(Credentials { user: config.username.clone(), kind })
    }

    /// A login that is good now.
    pub(super) async fn login(&self) -> Result<Login, LoginError> {
        let (password, life) = match &self.kind {
            Kind::None => (None, None),
            Kind::Password(file) => (Some(secret("password_file", file)?), None),
            Kind::Token(client) => {
                let (token, life) = client.fetch().await?;
                (Some(token), life)
            }
        };
        Ok(Login { user: self.user.clone(), password, life })
    }
}

impl TokenClient {
    async fn fetch(&self) -> Result<(Zeroizing<String>, Option<Life>), LoginError> {
        let secret = secret("token_client_secret_file", &self.secret_file)?;
        let client = BasicClient::new(self.client_id.clone())
            .set_client_secret(ClientSecret::new(secret.to_string()))
            .set_token_uri(self.url.clone());
        let asked = client.exchange_client_credentials().add_scopes(self.scope.clone());
        let (asked_at, fetch) = (now(), self.fetch.clone());
        let exchange = move |request| {
            let fetch = fetch.clone();
            async move { fetch.send(request).await }
        };
        let answer = asked.request_async(&exchange).await.map_err(no_token)?;
        let life = answer.expires_in().unwrap_or(LIFE_WHERE_UNSAID);
        if life < LIFE_MIN {
            return Err(LoginError::NoToken(format!("it would live for {life:?}")));
        }
        Ok((Zeroizing::new(answer.access_token().secret().clone()), Life::new(asked_at, life)))
    }
}

impl Login {
    /// User name and password; none: we are nobody.
    pub(super) fn parts(&self) -> Option<(&str, &str)> {
        let password = self.password.as_ref().map_or("", |password| password.as_str());
        (!self.user.is_empty()).then_some((&self.user, password))
    }
}

impl Life {
    /// None: it is good for longer than this machine's clock can say.
    fn new(from: Instant, life: Duration) -> Option<Life> {
        let renewed_at = from.checked_add(life.mul_f64(RENEWED_AFTER))?;
        Some(Life { renewed_at, ends_at: from.checked_add(life)? })
    }
}

/// A file's text without the end of its line.
fn secret(key: &'static str, path: &Path) -> Result<Zeroizing<String>, LoginError> {
    let failed = |what: String| LoginError::File { key, path: path.to_owned(), what };
    let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| failed(error.to_string()))?);
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("it is not text".to_owned()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    match text.len() {
        1..=SECRET_BYTES_MAX => Ok(Zeroizing::new(text.to_owned())),
        0 => Err(failed("it is empty".to_owned())),
        _ => Err(failed(format!("it has more than {SECRET_BYTES_MAX} bytes"))),
    }
}

/// In words that repeat nothing of an answer that is not understood: it may hold a token.
fn no_token(error: BasicRequestTokenError<FetchError>) -> LoginError {
    LoginError::NoToken(match error {
        RequestTokenError::ServerResponse(refused) => refused.error().to_string().escape_debug().take(80).collect(),
        RequestTokenError::Request(failure) => failure.to_string(),
        RequestTokenError::Parse(..) => "the answer is not that of a token endpoint".to_owned(),
        RequestTokenError::Other(_) => "the answer is empty".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, read) in
            [("abc", Some("abc")), ("abc\n", Some("abc")), ("a b\r\n", Some("a b")), ("\n", None), ("", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(secret("password_file", &path).ok().as_ref().map(|secret| secret.as_str()), read, "{text:?}");
        }
        std::fs::write(&path, "x".repeat(SECRET_BYTES_MAX + 1)).unwrap();
        let told = secret("password_file", &path).unwrap_err().to_string();
        assert!(told.contains("password_file") && !told.contains("xx"), "{told}");
        let absent = secret("password_file", &folder.path().join("absent")).unwrap_err().to_string();
        assert!(absent.contains("No such file"), "{absent}");
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let from = now();
        let life = Life::new(from, Duration::from_secs(100)).unwrap();
        assert_eq!((life.renewed_at - from, life.ends_at - from), (Duration::from_secs(75), Duration::from_secs(100)));
        assert!(Life::new(from, Duration::MAX).is_none());
    }
}
