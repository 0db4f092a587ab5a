//! What `device` and `client` say alike: of names that are taken or unknown, and of states.

use std::io::Read as _;
use std::path::Path;

use anyhow::anyhow;
use zeroize::Zeroizing;

use super::{Done, Exit, Failure, output};
use crate::auth::IssuerUrl;
use crate::auth::jwk::public_keys;
use crate::provision::ProvisionError;
use crate::store::{AddError, Found, State};

/// Rows of one question to the database.
pub(super) const PAGE: u32 = 1000;

/// The longest file of public keys.
const PUBLIC_KEYS_BYTES_MAX: u64 = 64 * 1024;

/// The public keys in a file (JWK, JWK set or PEM), as the store keeps them.
pub(super) fn read_public_keys(path: &Path) -> Result<String, Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::Unusable(anyhow!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| unusable(&error))?;
    file.take(PUBLIC_KEYS_BYTES_MAX).read_to_string(&mut text).map_err(|error| unusable(&error))?;
    public_keys(&text).map_err(|error| unusable(&error))?;
    Ok(text)
}

/// How a client shows who it is.
#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    /// With a secret.
    Secret(&'a str),
    /// With a key of its own.
    Key,
    /// To another issuer.
    Elsewhere(&'a IssuerUrl),
}

impl<'a> Proof<'a> {
    pub(super) fn of(secret: &'a str, has_key: bool, issuer: Option<&'a IssuerUrl>) -> Self {
        match (issuer, has_key) {
            (Some(issuer), _) => Proof::Elsewhere(issuer),
            (None, true) => Proof::Key,
            (None, false) => Proof::Secret(secret),
        }
    }

    /// The secret, where there is one.
    pub(super) fn secret(self) -> Option<&'a str> {
        match self {
            Proof::Secret(secret) => Some(secret),
            Proof::Key | Proof::Elsewhere(_) => None,
        }
    }
}

/// Whether there is nothing to print.
pub(super) fn has_no_secret(proof: &Proof<'_>) -> bool {
    proof.secret().is_none()
}

/// The secret alone.
pub(super) fn secret_of<S: serde::Serializer>(proof: &Proof<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(proof.secret().unwrap_or_default())
}

/// What is said of a client's secret, and how it fetches a token.
pub(super) fn own_proof(
    proof: Proof<'_>,
    client_id: &str,
    token_endpoint: &str,
) -> (Zeroizing<String>, Zeroizing<String>) {
    let (secret, how) = match proof {
        Proof::Elsewhere(issuer) => (format!("none: its tokens are those of {issuer}"), format!("from {issuer}")),
        Proof::Secret(secret) => (
            secret.to_owned(),
            format!("curl -u {client_id}:{secret} -d grant_type=client_credentials {token_endpoint}"),
        ),
        Proof::Key => (
            "none: it signs with its own key".to_owned(),
            format!(
                "POST {token_endpoint} with client_assertion, a JWT that it signs (RFC 7523): iss and sub {client_id}, aud {token_endpoint}, exp, jti"
            ),
        ),
    };
    (Zeroizing::new(secret), Zeroizing::new(how))
}

/// Why a device or a service (`kind`) was not added.
pub(super) fn not_added(kind: &str, name: &str, error: AddError) -> Failure {
    Failure::Failed(match error {
        AddError::Exists => anyhow!("there is a {kind} {name} already; nothing was changed"),
        AddError::Store(error) => error.into(),
    })
}

/// The same, where credentials are made.
pub(super) fn not_provisioned(kind: &str, name: &str, error: ProvisionError) -> Failure {
    match error {
        ProvisionError::Add(error) => not_added(kind, name, error),
        ProvisionError::NoRandom(error) => error.into(),
    }
}

/// Tells what came of setting a state.
pub(super) fn state_is_set(kind: &str, name: &str, state: State, found: Found) -> Done {
    match found {
        Found::Yes => output::line(&format!("{kind} {name} is {}", word(state)))?,
        Found::No => return Err(anyhow!("there is no {kind} {name}").into()),
    }
    Ok(Exit::Done)
}

/// A state as it is printed.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Enabled => "enabled",
        State::Disabled => "disabled",
    }
}
