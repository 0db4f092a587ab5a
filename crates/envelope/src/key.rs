//! Keys: from the gateway's master to the keyed state that seals and opens for one device.
//!
//! Each is wiped when it is dropped and prints nothing of itself. Where keys rest, which versions are valid, and who may see
//! them is decided elsewhere.

use core::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::DeviceId;
use crate::header::Algorithm;
use crate::tag::Tag;

/// A gateway's key of one version, from which the device keys of that version are derived.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// The key of a device: HKDF-SHA-256 (RFC 5869), no salt, info = `sealgate/1 device`, a zero byte, the device id.
    pub fn device_key(&self, device: &DeviceId) -> DeviceKey {
        DeviceKey(*self.expand(&[b"sealgate/1 device\0", device.as_bytes()]))
    }

    /// A key for another purpose, which `info` names. A device's key has an info that starts with `sealgate/1 device`, so
    /// no other purpose may.
    pub fn derive(&self, info: &[u8]) -> Zeroizing<[u8; 32]> {
        self.expand(&[info])
    }

    fn expand(&self, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut okm = Zeroizing::new([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, &self.0).expand_multi_info(info, okm.as_mut_slice());
        expanded.expect("32 bytes are one block, and 255 are allowed");
        okm
    }
}

impl From<[u8; 32]> for MasterKey {
    fn from(mut bytes: [u8; 32]) -> Self {
        let key = Self(bytes);
        bytes.zeroize();
        key
    }
}

/// The 32 bytes that a device and its gateway share.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DeviceKey([u8; 32]);

impl DeviceKey {
    /// The bytes, to be burnt into a device.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for DeviceKey {
    fn from(mut bytes: [u8; 32]) -> Self {
        let key = Self(bytes);
        bytes.zeroize();
        key
    }
}

/// A device key in the form that seals and opens: the state of HMAC after the key, so that a message costs only itself.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// The state for this key.
    pub fn new(key: &DeviceKey) -> Self {
        Self(Hmac::new_from_slice(&key.0).expect("HMAC takes a key of any length"))
    }

    /// The tag over `parts`, one behind the other.
    ///
    /// They are gathered on a stage first: each call of `update` that ends in the middle of a block costs a good part of a
    /// block, and a context has three parts. `benches/open.rs` prints the sum.
    pub(crate) fn tag(&self, parts: &[&[u8]], algorithm: Algorithm) -> Tag {
        let mut state = self.0.clone();
        let mut stage = [0; STAGE_BYTES];
        let mut staged = 0;
        for part in parts {
            let (fitting, rest) = part.split_at(part.len().min(STAGE_BYTES - staged));
            stage[staged..staged + fitting.len()].copy_from_slice(fitting);
            staged += fitting.len();
            if !rest.is_empty() {
                state.update(&stage[..staged]);
                state.update(rest);
                staged = 0;
            }
        }
        state.update(&stage[..staged]);
        Tag::new(state.finalize().into_bytes().into(), algorithm)
    }
}

/// Four blocks of SHA-256: a reading of usual size is handed over in one call.
const STAGE_BYTES: usize = 256;

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // [RFC 4231 section 4.2], whose key of 20 bytes 0x0b is the same as one padded with zeros to 32 [RFC 2104 section 2].
        let mut bytes = [0; 32];
        bytes[..20].fill(0x0b);
        let tag = Key::new(&DeviceKey::from(bytes)).tag(&[b"Hi ", b"", b"There"], Algorithm::HmacSha256);
        assert_eq!(hex::encode(tag.as_bytes()), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn a_tag_does_not_depend_on_where_its_parts_end() {
        let key = Key::new(&DeviceKey::from([7; 32]));
        let whole: std::vec::Vec<u8> = (0..=255).cycle().take(3 * STAGE_BYTES).collect();
        let expected = key.tag(&[&whole], Algorithm::HmacSha256);
        for size in [1, 63, 64, 65, 255, 256, 257, 700] {
            let parts: std::vec::Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(key.tag(&parts, Algorithm::HmacSha256), expected, "{size}");
        }
        let direct = key.0.clone().chain_update(&whole).finalize().into_bytes();
        assert_eq!(expected.as_bytes(), direct.as_slice());
    }

    #[test]
    fn keys_print_nothing_of_themselves() {
        let device = DeviceKey::from([0xAB; 32]);
        let printed = format!("{:?} {:?} {:?}", MasterKey::from([0xAB; 32]), device, Key::new(&device));
        assert_eq!(printed, "MasterKey(..) DeviceKey(..) Key(..)");
    }

    #[test]
    fn another_purpose_gives_another_key() {
        let master = MasterKey::from([1; 32]);
        let device = master.device_key(&"a".parse().unwrap());
        // `assert_eq` would print the keys.
        assert!(*master.derive(b"sealgate/1 storage") != *device.as_bytes());
        assert!(*master.derive(b"sealgate/1 device\0a") == *device.as_bytes());
    }
}
