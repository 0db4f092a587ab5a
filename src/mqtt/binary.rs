//! Bytes that MQTT sends with their length in front, so at most 65,535: wills, correlation data, authentication data.
//!
//! A [`Password`] is such bytes too, but is kept apart: it does not print, it is wiped, and it has no part in the
//! buffer that was read.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::text::BYTES_MAX;

/// At most 65,535 bytes. Cheap to clone; reads as [`Bytes`].
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Binary(Bytes);

/// What CONNECT has as its password; here, an access token.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

/// More bytes than two bytes of length can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the binary data is longer than 65535 bytes")]
pub struct BinaryError;

impl Binary {
    /// A copy that has its own memory and no longer keeps the buffer alive that these bytes came in.
    pub fn detached(&self) -> Binary {
        Binary(Bytes::copy_from_slice(&self.0))
    }
}

impl TryFrom<Bytes> for Binary {
    type Error = BinaryError;

    fn try_from(bytes: Bytes) -> Result<Binary, BinaryError> {
        if bytes.len() > BYTES_MAX { Err(BinaryError) } else { Ok(Binary(bytes)) }
    }
}

impl From<Binary> for Bytes {
    fn from(binary: Binary) -> Bytes {
        binary.0
    }
}

impl Deref for Binary {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Password {
    /// The secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Password {
    type Error = BinaryError;

    fn try_from(bytes: &[u8]) -> Result<Password, BinaryError> {
        if bytes.len() > BYTES_MAX { Err(BinaryError) } else { Ok(Password(Zeroizing::new(bytes.to_vec()))) }
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Password) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_print() {
        let password = Password::try_from(&b"hunter2"[..]).unwrap();
        assert_eq!(format!("{password:?}"), "Password(..)");
        assert_eq!(password.as_bytes(), b"hunter2");
    }

    #[test]
    fn binary_data_is_as_long_as_two_bytes_can_say() {
        assert!(Binary::try_from(Bytes::from(vec![0; 65_535])).is_ok());
        assert_eq!(Binary::try_from(Bytes::from(vec![0; 65_536])), Err(BinaryError));
        assert_eq!(Password::try_from(&[0; 65_536][..]), Err(BinaryError));
    }
}
