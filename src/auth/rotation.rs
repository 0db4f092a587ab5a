//! When which signing key signs, and until when what it has signed is believed. Pure.
//!
//! A new key is shown for a while before it signs, so that whoever verifies our tokens has it by then; the one before it is shown until the
//! last token that it can have signed has ended. So no good token is ever refused.

use std::time::Duration;

use crate::store::SealedSigningKey;

/// By the settings of `[auth]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// How long a key signs; zero: until somebody rotates it.
    pub(crate) lifetime: Duration,
    /// How long a key is shown before it signs.
    pub(crate) announce: Duration,
    /// How long a token lives.
    pub(crate) token_lifetime: Duration,
}

/// When the next key signs, and when all others end. Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) signs_from_ms: i64,
    pub(crate) others_end_ms: i64,
}

/// How a key makes way for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The new key is announced, and the old one's tokens are good until they end.
    Overlapping,
    /// Somebody else may have the old key: the new one signs now, and what the old one signed is no longer believed.
    AtOnce,
}

/// What gateways do that have not looked since a key began to sign.
const SLACK: Duration = Duration::from_secs(120);

impl Schedule {
    /// The times of a rotation that begins now.
    pub(crate) fn plan(&self, rotation: Rotation, now_ms: i64) -> Plan {
        match rotation {
            Rotation::AtOnce => Plan { signs_from_ms: now_ms, others_end_ms: now_ms },
            Rotation::Overlapping => {
                let signs_from_ms = now_ms + ms(self.announce);
                Plan { signs_from_ms, others_end_ms: signs_from_ms + ms(self.token_lifetime + SLACK) }
            }
        }
    }

    /// Whether it is time for the next key, if `newest` is the newest one.
    pub(crate) fn is_due(&self, newest: &SealedSigningKey, now_ms: i64) -> bool {
        let ends_ms = newest.signs_from_ms.saturating_add(ms(self.lifetime));
        !self.lifetime.is_zero() && now_ms >= ends_ms.saturating_sub(ms(self.announce))
    }
}

/// The place of the key that signs at `now_ms`: the newest whose time has come, or the oldest that is good, if that of none has.
pub fn signing(keys: &[SealedSigningKey], now_ms: i64) -> Option<usize> {
    let is_good = |key: &SealedSigningKey| is_shown(key, now_ms);
    let begun = keys.iter().rposition(|key| is_good(key) && key.signs_from_ms <= now_ms);
    begun.or_else(|| keys.iter().position(is_good))
}

/// Whether what the key signed may be believed at `now_ms`.
pub(crate) fn is_shown(key: &SealedSigningKey, now_ms: i64) -> bool {
    key.ends_at_ms.is_none_or(|ends_at_ms| now_ms < ends_at_ms)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn key(kid: &str, signs_from_ms: i64, ends_at_ms: Option<i64>) -> SealedSigningKey {
        SealedSigningKey { kid: kid.to_owned(), sealed: vec![], created_at_ms: 0, signs_from_ms, ends_at_ms }
    }

    fn schedule() -> Schedule {
        let hour = Duration::from_secs(3600);
        Schedule { lifetime: hour * 24, announce: hour / 6, token_lifetime: hour }
    }

    #[test]
    fn a_key_is_announced_before_it_signs() {
        let keys = [key("old", 0, None), key("new", NOW_MS + 1, None)];
        assert_eq!(signing(&keys, NOW_MS), Some(0));
        assert_eq!(signing(&keys, NOW_MS + 1), Some(1));
        assert_eq!(signing(&[], NOW_MS), None);
        // The clock has been set back.
        assert_eq!(signing(&keys[1..], NOW_MS), Some(0));
    }

    #[test]
    fn what_somebody_else_may_have_signs_no_more() {
        let keys = [key("old", 0, Some(NOW_MS)), key("new", NOW_MS, None)];
        assert_eq!(signing(&keys, NOW_MS), Some(1));
        assert!(!is_shown(&keys[0], NOW_MS));
        let plan = schedule().plan(Rotation::AtOnce, NOW_MS);
        assert_eq!(plan, Plan { signs_from_ms: NOW_MS, others_end_ms: NOW_MS });
    }

    #[test]
    fn the_next_key_is_made_as_long_before_as_it_is_announced() {
        let newest = key("k", NOW_MS, None);
        let due_ms = NOW_MS + 24 * 3_600_000 - 600_000;
        assert!(!schedule().is_due(&newest, due_ms - 1));
        assert!(schedule().is_due(&newest, due_ms));
        let never = Schedule { lifetime: Duration::ZERO, ..schedule() };
        assert!(!never.is_due(&newest, i64::MAX));
    }

    proptest! {
        /// Over many rotations, by schedule and by hand: at each moment a key signs, and each of its tokens is believed until it ends.
        #[test]
        fn no_good_token_is_refused(steps in prop::collection::vec((1i64..200_000_000, any::<bool>()), 1..40)) {
            let (schedule, mut now_ms) = (schedule(), NOW_MS);
            let mut keys = vec![key("0", now_ms, None)];
            let mut tokens: Vec<(String, i64)> = Vec::new();
            for (step, (later_ms, by_hand)) in steps.into_iter().enumerate() {
                now_ms += later_ms;
                if by_hand || schedule.is_due(keys.last().unwrap(), now_ms) {
                    let plan = schedule.plan(Rotation::Overlapping, now_ms);
                    for key in &mut keys {
                        key.ends_at_ms = Some(key.ends_at_ms.unwrap_or(i64::MAX).min(plan.others_end_ms));
                    }
                    keys.push(key(&(step + 1).to_string(), plan.signs_from_ms, None));
                }
                tokens.retain(|(_, ends_ms)| now_ms < *ends_ms);
                for (kid, _) in &tokens {
                    prop_assert!(keys.iter().any(|key| key.kid == *kid && is_shown(key, now_ms)), "{kid}");
                }
                let signs = &keys[signing(&keys, now_ms).unwrap()];
                tokens.push((signs.kid.clone(), now_ms + ms(schedule.token_lifetime)));
            }
        }
    }
}
