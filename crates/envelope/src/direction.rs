//! Which way a message goes, so that one that goes down cannot be played back as one that goes up.
//!
//! One key serves both ways; the label in the MAC's context keeps them apart. JWS has no such context, and COSE is not used
//! to the device at all, so only a frame opens as anything but [`Direction::FromDevice`].

use crate::DeviceId;
use crate::key::Mac;

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
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) device: &'a DeviceId,
    pub(crate) direction: Direction,
}

impl Context<'_> {
    pub(crate) fn feed(self, mac: &mut Mac) {
        mac.update(self.direction.label());
        mac.update(&[0, self.device.len()]);
        mac.update(self.device.as_bytes());
    }

    #[cfg(feature = "cose")]
    pub(crate) fn len(self) -> usize {
        self.direction.label().len() + 2 + usize::from(self.device.len())
    }
}
