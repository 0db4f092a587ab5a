//! Which way a message goes, so that one that goes down cannot be played back as one that goes up.
//!
//! One key serves both ways; the label in the MAC's context keeps them apart. JWS has no such context, and COSE is not used
//! to the device at all, so only a frame opens as anything but [`Direction::FromDevice`].

use crate::DeviceId;

/// Who speaks to whom, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A device's reading or answer.
    FromDevice,
    /// A command to the device.
    Command,
    /// What became of the device's messages.
    Receipt,
}

impl Direction {
    const fn label(self) -> Label {
        match self {
            Self::FromDevice => const { Label::new(b"sealgate/1") },
            Self::Command => const { Label::new(b"sealgate/1 down") },
            Self::Receipt => const { Label::new(b"sealgate/1 receipt") },
        }
    }
}

/// The bytes that are under the seal and not in the message: label, a zero byte, the length of the device id, the device id.
///
/// Label and device id are copied with their padding, which the next part overwrites: a copy of known length is a few moves,
/// one of unknown length a call.
pub(crate) struct Context {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Context {
    pub(crate) fn new(device: &DeviceId, direction: Direction) -> Self {
        let mut bytes = [0; BYTES_MAX];
        let label = direction.label();
        let id_start = label.len + 2;
        bytes[..LABEL_BYTES_MAX].copy_from_slice(&label.padded);
        bytes[label.len + 1] = device.len();
        bytes[id_start..id_start + DeviceId::BYTES_MAX].copy_from_slice(device.padded());
        Self { bytes, len: id_start + usize::from(device.len()) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Label {
    padded: [u8; LABEL_BYTES_MAX],
    len: usize,
}

impl Label {
    const fn new(label: &[u8]) -> Self {
        let mut padded = [0; LABEL_BYTES_MAX];
        padded.split_at_mut(label.len()).0.copy_from_slice(label);
        Self { padded, len: label.len() }
    }
}

const LABEL_BYTES_MAX: usize = 18;
const BYTES_MAX: usize = LABEL_BYTES_MAX + 2 + DeviceId::BYTES_MAX;
