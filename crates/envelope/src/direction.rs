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
    const fn label(self) -> &'static [u8] {
        match self {
            Self::FromDevice => b"sealgate/1",
            Self::Command => b"sealgate/1 down",
            Self::Receipt => b"sealgate/1 receipt",
        }
    }
}

/// The bytes that are under the seal and not in the message: label, a zero byte, the length of the device id, the device id.
pub(crate) struct Context<'a> {
    label: &'static [u8],
    zero_and_len: [u8; 2],
    device: &'a [u8],
}

impl<'a> Context<'a> {
    pub(crate) fn new(device: &'a DeviceId, direction: Direction) -> Self {
        Self { label: direction.label(), zero_and_len: [0, device.len()], device: device.as_bytes() }
    }

    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [self.label, &self.zero_and_len, self.device]
    }

    #[cfg(feature = "cose")]
    pub(crate) fn len(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}
