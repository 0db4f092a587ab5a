//! CRC-32C, which tells damage on the way from a seal that does not fit.
//!
//! Firmware may prefer the table of 1 KiB. On a gateway it would cost more than the HMAC of the same bytes, so there the
//! feature `wide-crc` takes the one of 16 KiB; `benches/open.rs` prints what that gives.

use crc::{CRC_32_ISCSI, Crc, Table};

#[cfg(not(feature = "wide-crc"))]
type Lanes = Table<1>;
#[cfg(feature = "wide-crc")]
type Lanes = Table<16>;

static CRC_32C: Crc<u32, Lanes> = Crc::<u32, Lanes>::new(&CRC_32_ISCSI);

pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_is_that_of_the_catalogue() {
        assert_eq!(super::checksum(b"123456789"), 0xE306_9283);
    }
}
