//! The secrets that brokers show, of which hashes alone are kept: what is not there can be neither printed nor stolen.
//!
//! A secret is compared by its SHA-256 in a time that does not depend on it. It comes as a bearer token, or as the
//! password of HTTP Basic where a broker has no other place for it than its URL; under which name is not looked at.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;
use zeroize::Zeroizing;

/// A secret shorter than this can be guessed sooner or later.
const CHARS_MIN: usize = 32;
/// Two while they are exchanged.
const SECRETS_MAX: usize = 2;
/// No file of two secrets is longer.
const FILE_BYTES_MAX: usize = 4096;

/// The secrets of a file, one a line.
pub struct Secrets(Vec<[u8; 32]>);

/// Why a file cannot be used.
#[derive(Debug, Error)]
#[error("hooks.secret_file = \"{}\": {fault}", path.display())]
pub struct SecretError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is empty")]
    Empty,
    #[error("it has more than {SECRETS_MAX} secrets, one a line")]
    TooMany,
    #[error("a secret has fewer than {CHARS_MIN} characters")]
    TooShort,
    #[error("a secret is of printable ASCII without blanks")]
    Character,
}

impl Secrets {
    /// The secrets in the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or what it holds is no secret. The error names the setting and shows nothing of the
    /// file.
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        let secrets = read(path).and_then(|text| Self::parse(&text));
        secrets.map_err(|fault| SecretError { path: path.to_owned(), fault })
    }

    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        match lines.len() {
            0 => return Err(Fault::Empty),
            1..=SECRETS_MAX => {}
            _ => return Err(Fault::TooMany),
        }
        for line in &lines {
            if !line.iter().all(u8::is_ascii_graphic) {
                return Err(Fault::Character);
            }
            if line.len() < CHARS_MIN {
                return Err(Fault::TooShort);
            }
        }
        Ok(Secrets(lines.into_iter().map(|line| Sha256::digest(line).into()).collect()))
    }

    /// Whether the header `Authorization` shows one of the secrets.
    pub(super) fn admit(&self, authorization: &[u8]) -> bool {
        let Some((scheme, credentials)) = split(authorization, b' ') else { return false };
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return self.holds(credentials.trim_ascii());
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return false;
        }
        let Ok(decoded) = STANDARD.decode(credentials.trim_ascii()).map(Zeroizing::new) else { return false };
        split(&decoded, b':').is_some_and(|(_, password)| self.holds(password))
    }

    fn holds(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        // Each is compared, so that time does not tell which of them it is.
        self.0.iter().fold(Choice::from(0), |found, kept| found | kept.ct_eq(&shown)).into()
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // Room for all of it from the start: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > FILE_BYTES_MAX { Err(Fault::TooLong) } else { Ok(text) }
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|&byte| byte == at)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210!:";

    fn basic(user: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into_bytes()
    }

    #[test]
    fn a_secret_comes_as_bearer_or_as_a_password() {
        let secrets = Secrets::parse(format!("{OLD}\r\n{NEW}\n").as_bytes()).unwrap();
        for secret in [OLD, NEW] {
            assert!(secrets.admit(format!("Bearer {secret}").as_bytes()));
            assert!(secrets.admit(format!("bearer  {secret}").as_bytes()));
            assert!(secrets.admit(&basic("vernemq", secret)) && secrets.admit(&basic("", secret)));
        }
    }

    #[test]
    fn nothing_else_is_the_secret() {
        let secrets = Secrets::parse(OLD.as_bytes()).unwrap();
        for shown in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"Basic !",
            OLD.as_bytes(),
            format!("Bearer {NEW}").as_bytes(),
            format!("Bearer {}", &OLD[1..]).as_bytes(),
            format!("Bearer {OLD}x").as_bytes(),
            format!("Digest {OLD}").as_bytes(),
            &basic(OLD, ""),
            &basic(OLD, NEW),
            format!("Basic {}", STANDARD.encode(OLD)).as_bytes(),
        ] {
            assert!(!secrets.admit(shown), "{}", String::from_utf8_lossy(shown));
        }
    }

    #[test]
    fn a_file_that_holds_no_secret_is_told_by_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hooks.secret");
        for (text, sentence) in [
            (String::new(), "it is empty"),
            ("\n\r\n".to_owned(), "it is empty"),
            ("x".repeat(31), "fewer than 32 characters"),
            (format!("{OLD}\nshort"), "fewer than 32 characters"),
            (format!("{OLD} {OLD}"), "printable ASCII"),
            (format!("{OLD}ä"), "printable ASCII"),
            (format!("{OLD}\n{OLD}\n{OLD}"), "more than 2 secrets"),
            ("x".repeat(FILE_BYTES_MAX + 1), "more than 4096 bytes"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let told = Secrets::load(&path).unwrap_err().to_string();
            assert!(told.starts_with("hooks.secret_file = \"") && told.contains(sentence), "{told}");
            assert!(!told.contains(OLD), "{told}");
        }
        let told = Secrets::load(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(told.starts_with("hooks.secret_file = \""), "{told}");
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", Secrets::parse(OLD.as_bytes()).unwrap()), "Secrets(..)");
    }
}
