//! What a client asks the token endpoint for: the credentials and the scope of a request, or the refusal that it gets.
//!
//! Client credentials alone are granted (RFC 6749 section 4.4). The two ways to show them are told apart strictly,
//! since a request that uses both has two authors as far as we can tell. No HTTP type comes in here: the header and
//! the body are texts.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use zeroize::Zeroizing;

use super::secret::{ClientSecret, is_credential};

/// A request that is well-formed: who asks, and for how much.
#[derive(Debug)]
pub(crate) struct TokenRequest {
    client_id: String,
    client_secret: ClientSecret,
    scope: Option<String>,
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
    /// Anything but `client_credentials`.
    #[error("the grant type is not client_credentials")]
    UnsupportedGrantType,
    /// The client could not be looked up, or the system failed: try again later.
    #[error("the request cannot be served now")]
    Unavailable,
}

impl TokenRefused {
    /// Every reason, in the order of the declaration.
    pub const ALL: [TokenRefused; 5] = [
        TokenRefused::InvalidRequest,
        TokenRefused::InvalidClient,
        TokenRefused::InvalidScope,
        TokenRefused::UnsupportedGrantType,
        TokenRefused::Unavailable,
    ];

    /// The code in the answer's `error`, and the metric's label. RFC 6749 section 5.2 has none for
    /// [`TokenRefused::Unavailable`]; the word is that of section 4.1.2.1.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenRefused::InvalidRequest => "invalid_request",
            TokenRefused::InvalidClient => "invalid_client",
            TokenRefused::InvalidScope => "invalid_scope",
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
        match form.take("grant_type").as_ref().map(|grant_type| grant_type.as_str()) {
            Some("client_credentials") => {}
            Some(_) => return Err(TokenRefused::UnsupportedGrantType),
            None => return Err(TokenRefused::InvalidRequest),
        }
        let scope = form.take("scope").map(public);
        let (client_id, client_secret) = match authorization {
            Some(header) => basic(header, &mut form)?,
            None => posted(&mut form)?,
        };
        Ok(TokenRequest { client_id, client_secret, scope })
    }

    /// Who asks, by its own account.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// With which secret.
    pub(crate) fn client_secret(&self) -> &ClientSecret {
        &self.client_secret
    }

    /// For which part of its scopes; without it the client gets all that it has.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

/// The parameters, each of which came once; one without a value did not come (RFC 6749 section 3.2). One of them may be a
/// secret, so all values are wiped, whatever becomes of the request.
struct Form(BTreeMap<String, Zeroizing<String>>);

impl Form {
    fn parse(body: &[u8]) -> Result<Form, TokenRefused> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if parameters.insert(name.into_owned(), Zeroizing::new(value.into_owned())).is_some() {
                return Err(TokenRefused::InvalidRequest);
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Form(parameters))
    }

    fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.0.remove(name)
    }
}

/// A value that is no secret.
fn public(mut value: Zeroizing<String>) -> String {
    std::mem::take(&mut value)
}

/// client_secret_basic (RFC 6749 section 2.3.1): id and secret are form-encoded, then joined as HTTP Basic has it.
/// Many clients leave the first step out; with the characters that ours have, both come to the same.
fn basic(header: &str, form: &mut Form) -> Result<(String, ClientSecret), TokenRefused> {
    if form.take("client_secret").is_some() {
        return Err(TokenRefused::InvalidRequest);
    }
    let (id, secret) = decode_basic(header).ok_or(TokenRefused::InvalidClient)?;
    // A bare client_id is no second authentication, as long as it is the same (RFC 6749 section 3.2.1).
    if form.take("client_id").is_some_and(|other| *other != id) {
        return Err(TokenRefused::InvalidRequest);
    }
    Ok((id, secret))
}

/// client_secret_post (RFC 6749 section 2.3.1).
fn posted(form: &mut Form) -> Result<(String, ClientSecret), TokenRefused> {
    let id = form.take("client_id").filter(|id| is_credential(id)).ok_or(TokenRefused::InvalidClient)?;
    let secret = form.take("client_secret").ok_or(TokenRefused::InvalidClient)?;
    Ok((public(id), ClientSecret::parse(&secret).ok_or(TokenRefused::InvalidClient)?))
}

fn decode_basic(header: &str) -> Option<(String, ClientSecret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(LENIENT.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let id = percent_decode_str(id).decode_utf8().ok().filter(|id| is_credential(id))?;
    let secret = Zeroizing::new(percent_decode_str(secret).decode_utf8().ok()?.into_owned());
    Some((id.into_owned(), ClientSecret::parse(&secret)?))
}

/// Base64 with its padding or without: some firmware leaves it out, and nothing here depends on one spelling.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
