//! How a client of the issuer shows who it is: `client_secret_basic`, `client_secret_post` or `private_key_jwt`.
//!
//! The ways are told apart strictly, since a request that uses two has two authors as far as we can tell. No HTTP type comes in here: the
//! header and the form are texts. Whether what is shown fits is asked in [`endpoint`](super::endpoint).

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::form::Form;
use super::jose::Compact;
use super::request::TokenRefused;
use super::secret::{ClientSecret, is_credential};
use super::validator::TOKEN_BYTES_MAX;

/// What a client shows.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// Its secret.
    Secret { client_id: String, secret: ClientSecret },
    /// A token that it has signed itself.
    Assertion { client_id: String, assertion: Assertion },
}

/// A token of a client's own (RFC 7523 section 2.2). It does not print: until its end it is as good as a secret.
pub(crate) struct Assertion(Zeroizing<String>);

/// RFC 7523 section 2.2
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// As metadata name the ways.
pub(crate) const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

impl Credentials {
    /// What the `Authorization` header, if there is one, and the form show.
    ///
    /// # Errors
    /// What RFC 6749 section 5.2 has for it.
    pub(crate) fn take(authorization: Option<&str>, form: &mut Form) -> Result<Credentials, TokenRefused> {
        let assertion = form.take("client_assertion");
        let assertion_type = form.take_public("client_assertion_type");
        match (authorization, assertion) {
            (Some(_), Some(_)) => Err(TokenRefused::InvalidRequest),
            (Some(header), None) => basic(header, form),
            (None, Some(assertion)) if assertion_type.as_deref() == Some(ASSERTION_TYPE) => asserted(assertion, form),
            (None, Some(_)) => Err(TokenRefused::InvalidRequest),
            (None, None) => posted(form),
        }
    }

    /// Who it is, by its own account.
    pub(crate) fn client_id(&self) -> &str {
        match self {
            Credentials::Secret { client_id, .. } | Credentials::Assertion { client_id, .. } => client_id,
        }
    }
}

impl Assertion {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assertion(..)")
    }
}

/// client_secret_basic (RFC 6749 section 2.3.1): id and secret are form-encoded, then joined as HTTP Basic has it.
/// Many clients leave the first step out; with the characters that ours have, both come to the same.
fn basic(header: &str, form: &mut Form) -> Result<Credentials, TokenRefused> {
    if form.take("client_secret").is_some() {
        return Err(TokenRefused::InvalidRequest);
    }
    let (client_id, secret) = decode_basic(header).ok_or(TokenRefused::InvalidClient)?;
    same(form, &client_id)?;
    Ok(Credentials::Secret { client_id, secret })
}

/// client_secret_post (RFC 6749 section 2.3.1).
fn posted(form: &mut Form) -> Result<Credentials, TokenRefused> {
    let id = form.take_public("client_id").filter(|id| is_credential(id)).ok_or(TokenRefused::InvalidClient)?;
    let secret = form.take("client_secret").ok_or(TokenRefused::InvalidClient)?;
    let secret = ClientSecret::parse(&secret).ok_or(TokenRefused::InvalidClient)?;
    Ok(Credentials::Secret { client_id: id, secret })
}

/// private_key_jwt (RFC 7523 section 2.2): the client is the assertion's subject.
fn asserted(assertion: Zeroizing<String>, form: &mut Form) -> Result<Credentials, TokenRefused> {
    if form.take("client_secret").is_some() {
        return Err(TokenRefused::InvalidRequest);
    }
    if assertion.len() > TOKEN_BYTES_MAX {
        return Err(TokenRefused::InvalidClient);
    }
    let client_id = Compact::parse(&assertion).and_then(|jwt| jwt.claims.text("sub").map(str::to_owned));
    let client_id = client_id.filter(|id| is_credential(id)).ok_or(TokenRefused::InvalidClient)?;
    same(form, &client_id)?;
    Ok(Credentials::Assertion { client_id, assertion: Assertion(assertion) })
}

/// A bare client_id is no second authentication, as long as it is the same (RFC 6749 section 3.2.1, RFC 7521 section 4.2).
fn same(form: &mut Form, client_id: &str) -> Result<(), TokenRefused> {
    let other = form.take("client_id").is_some_and(|other| *other != client_id);
    if other { Err(TokenRefused::InvalidRequest) } else { Ok(()) }
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
