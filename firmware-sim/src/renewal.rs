//! When a device fetches its next token.

use crate::backoff::scaled;

/// When a token of `life_ms` is renewed, in ms after it was issued: at a random point between half and nine tenths of its life.
///
/// Half, because an issuer that is asked earlier has twice the work for nothing; nine tenths, because what fails then can still
/// be tried again. A random point in between, because a fleet that logged in together would otherwise come back together.
pub fn renewal_ms(life_ms: u32, random: u32) -> u32 {
    let (earliest, latest) = (life_ms / 2, life_ms / 10 * 9);
    earliest + scaled(random, latest.saturating_sub(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_between_half_and_nine_tenths_of_the_life() {
        assert_eq!(renewal_ms(3_600_000, 0), 1_800_000);
        assert_eq!(renewal_ms(3_600_000, u32::MAX), 3_240_000);
        let drawn = (0..100_u32).map(|draw| renewal_ms(60_000, draw.wrapping_mul(0x9E37_79B9)));
        assert!(drawn.into_iter().all(|at| (30_000..=54_000).contains(&at)));
    }

    #[test]
    fn a_token_of_no_life_is_renewed_at_once() {
        for life in [0, 1, 9] {
            assert!(renewal_ms(life, u32::MAX) <= life);
        }
    }
}
