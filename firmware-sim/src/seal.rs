//! One way to seal for all encodings: into room that is given.

use sealgate_envelope::{DeviceId, Direction, Key, Message, SealError, frame_bytes, seal_frame};

/// How a device writes its envelopes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The fixed header of constrained firmware.
    #[default]
    Frame,
    /// COSE_Mac0.
    #[cfg(feature = "cose")]
    Cose,
    /// JWS compact, which needs an allocator.
    #[cfg(feature = "host")]
    Jws,
}

impl Encoding {
    /// Room that is enough for a message.
    pub(crate) fn bytes_max(self, message: &Message<'_>) -> usize {
        match self {
            Self::Frame => frame_bytes(message.payload.len(), message.algorithm),
            #[cfg(feature = "cose")]
            Self::Cose => sealgate_envelope::cose_bytes_max(message.payload.len()),
            // Base64 makes four bytes of three; the header has a device id of 64 bytes at most.
            #[cfg(feature = "host")]
            Self::Jws => message.payload.len().div_ceil(3) * 4 + JWS_OVERHEAD_BYTES_MAX,
        }
    }

    /// Seals into the front of `room`, and gives the length.
    pub(crate) fn seal(
        self,
        room: &mut [u8],
        message: &Message<'_>,
        key: &Key,
        id: &DeviceId,
    ) -> Result<usize, SealError> {
        match self {
            Self::Frame => seal_frame(room, message, key, id, Direction::FromDevice),
            #[cfg(feature = "cose")]
            Self::Cose => sealgate_envelope::seal_cose(room, message, key, id),
            #[cfg(feature = "host")]
            Self::Jws => {
                let jws = sealgate_envelope::seal_jws(message, key, id)?;
                room.get_mut(..jws.len()).ok_or(SealError::Room)?.copy_from_slice(&jws);
                Ok(jws.len())
            }
        }
    }
}

#[cfg(feature = "host")]
const JWS_OVERHEAD_BYTES_MAX: usize = 384;
