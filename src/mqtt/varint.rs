//! The Variable Byte Integer: seven bits a byte, the least first, at most four bytes (section 1.5.5).

use super::decode::DecodeError;

/// The greatest value that four bytes hold.
pub(super) const MAX: u32 = 268_435_455;

/// A value, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Varint {
    pub(super) value: u32,
    pub(super) bytes: usize,
}

impl Varint {
    /// [MQTT-1.5.5-1]; MQTT 3.1.1 does not ask for it.
    pub(super) fn check_minimal(self) -> Result<(), DecodeError> {
        if self.bytes == size(self.value) { Ok(()) } else { Err(DecodeError::LengthNotMinimal) }
    }
}

/// The integer that `bytes` begins with; `None` if it goes on after them.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Varint>, DecodeError> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some(Varint { value, bytes: place + 1 }));
        }
    }
    if bytes.len() >= BYTES_MAX { Err(DecodeError::LengthTooLong) } else { Ok(None) }
}

/// How many bytes `value` takes.
pub(super) fn size(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Hands the bytes of `value`, which is at most [`MAX`], to `put`. [MQTT-1.5.5-1]
pub(super) fn write(mut value: u32, mut put: impl FnMut(u8)) {
    while value > 0x7F {
        put((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    put(value as u8);
}

const BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_table_1_1() {
        let borders: [(u32, &[u8]); 8] = [
            (0, &[0x00]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ];
        for (value, bytes) in borders {
            let mut written = Vec::new();
            write(value, |byte| written.push(byte));
            assert_eq!(written, bytes);
            assert_eq!(size(value), bytes.len());
            assert_eq!(read(bytes), Ok(Some(Varint { value, bytes: bytes.len() })));
            assert_eq!(read(&bytes[..bytes.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn a_fifth_byte_and_a_needless_one_are_refused() {
        assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0xFF]), Err(DecodeError::LengthTooLong));
        let needless = read(&[0x80, 0x00]).unwrap().unwrap();
        assert_eq!(needless.check_minimal(), Err(DecodeError::LengthNotMinimal)); // [MQTT-1.5.5-1]
    }
}
