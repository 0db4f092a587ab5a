//! Client ids and client secrets: made here, compared here, printed once by the command that adds a client.
//!
//! A secret is 32 random bytes, so there is nothing to guess and no slow hash to pay for: the store keeps its
//! SHA-256. Both an id and a secret are of `A-Z a-z 0-9 - _` alone, because HTTP Basic splits at `:` and
//! form-encoding changes what is outside of that set; so they read the same however a client encodes them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// The longest client id or secret that is looked at. Ours have 32 and 43 characters.
pub const CREDENTIAL_CHARS_MAX: usize = 128;

const SECRET_BYTES: usize = 32;
const CLIENT_ID_BYTES: usize = 16;

/// A client's secret. It does not print and is wiped.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Takes a secret from a request; nothing if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        is_credential(text).then(|| ClientSecret(Zeroizing::new(text.to_owned())))
    }

    /// What the store keeps of it.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The secret itself, for the one who shows it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the secret of which the store keeps `stored`, found out in a time that does not depend on it.
    ///
    /// `None` stands for a client that does not exist, and costs the same comparison: time does not tell which ids there are.
    pub fn matches(&self, stored: Option<&[u8; 32]>) -> bool {
        let equal = self.sha256().ct_eq(stored.unwrap_or(&[0; 32]));
        bool::from(equal) && stored.is_some()
    }
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// Whether a text has the shape of a client secret, of a seal key in hex, or of a token: a log line shows none of them, even where
/// a name was due.
pub(super) fn looks_like_one(text: &str) -> bool {
    let secret = text.len() == 43 && is_credential(text);
    let seal_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let token = text.starts_with("ey") && text.matches('.').count() == 2;
    secret || seal_key || token
}

/// The longest secret of somebody else that is read from a file.
const FILE_BYTES_MAX: usize = 4096;

/// A secret of ours at somebody else's, from its file: the text without the end of its line. It is read each time it is used, so that another
/// one needs no restart.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, String> {
    // Room for all of it from the start: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    let text = text.trim_end_matches(['\r', '\n']);
    match text.len() {
        0 => Err("it is empty".to_owned()),
        1..=FILE_BYTES_MAX => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(format!("it has more than {FILE_BYTES_MAX} bytes")),
    }
}

/// Makes a secret: the text for its owner, and the hash for the store.
///
/// # Errors
/// The system has no random numbers.
pub fn new_client_secret() -> Result<(ClientSecret, [u8; 32]), getrandom::Error> {
    let mut bytes = random::<SECRET_BYTES>()?;
    let secret = ClientSecret(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)));
    bytes.zeroize();
    let sha256 = secret.sha256();
    Ok((secret, sha256))
}

/// Makes a client id: 16 random bytes in hex. A device's id does not serve, since it may hold `:`.
///
/// # Errors
/// The system has no random numbers.
pub fn new_client_id() -> Result<String, getrandom::Error> {
    Ok(hex::encode(random::<CLIENT_ID_BYTES>()?))
}

/// `N` random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Whether `text` can be the id of a client.
pub fn is_client_id(text: &str) -> bool {
    is_credential(text)
}

/// Whether `text` is of the characters that ids and secrets have, and not too long.
pub(crate) fn is_credential(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=CREDENTIAL_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_32_bytes_and_two_are_never_equal() {
        let (first, sha256) = new_client_secret().unwrap();
        let (second, _) = new_client_secret().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(first.expose()).unwrap().len(), 32);
        assert_ne!(first.expose(), second.expose());
        assert!(first.matches(Some(&sha256)));
        assert!(!second.matches(Some(&sha256)));
    }

    #[test]
    fn a_client_that_does_not_exist_has_no_secret_that_fits() {
        let (secret, _) = new_client_secret().unwrap();
        assert!(!secret.matches(None));
    }

    #[test]
    fn a_secret_does_not_print() {
        let (secret, _) = new_client_secret().unwrap();
        assert_eq!(format!("{secret:?}"), "ClientSecret(..)");
    }

    #[test]
    fn ids_and_secrets_read_the_same_in_any_encoding() {
        for text in [new_client_id().unwrap(), new_client_secret().unwrap().0.expose().to_owned()] {
            assert!(is_credential(&text), "{text}");
            assert_eq!(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>(), text);
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_none() {
        let long = "a".repeat(CREDENTIAL_CHARS_MAX + 1);
        for text in ["", "a:b", "a b", "a+b", "ä", long.as_str()] {
            assert!(ClientSecret::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_has_the_shape_of_a_secret_is_known() {
        let (secret, _) = new_client_secret().unwrap();
        assert!(looks_like_one(secret.expose()));
        assert!(looks_like_one(&"0f".repeat(32)) && looks_like_one("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"));
        assert!(!looks_like_one(&new_client_id().unwrap()) && !looks_like_one("plant-7.pump:12"));
    }
}
