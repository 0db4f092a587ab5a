//! One envelope, one verdict: the order of the specification's table "Opening, in this order", as far as a key reaches.
//!
//! Pure: the bytes, the sender as the registry knows it, and the time go in.

use std::time::Duration;

use sealgate_envelope::{Direction, Encoding, Header, Payload, Policy, Reason, Sealed};

use super::Sender;
use crate::store::{Seen, State, Tag};

/// How far a device's clock may be from the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimePolicy {
    /// Ahead of the gateway by more than this is `future`.
    pub future_tolerance: Duration,
    /// Older than this is `stale`; none: no limit on age.
    pub age_max: Option<Duration>,
}

/// An envelope that is whole, genuine and timely.
pub struct Genuine<'a> {
    /// What the envelope says of itself.
    pub header: Header,
    /// What makes it unique.
    pub seen: Seen,
    /// The verified payload.
    pub payload: Payload<'a>,
}

/// An envelope that is refused.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Which encoding its first byte claims.
    pub encoding: Option<Encoding>,
    /// What it says of itself, as far as it could be read; nobody has vouched for it.
    pub header: Option<Header>,
    /// The answer is "stored" if this same envelope is: a retry of what was good must not turn bad with time.
    pub unless_stored: Option<Seen>,
}

impl Refusal {
    /// Of an envelope that is genuine, and whose payload cannot be read.
    pub fn bad_payload(genuine: &Genuine<'_>) -> Self {
        let Header { encoding, .. } = genuine.header;
        let header = Some(genuine.header);
        Refusal { reason: Reason::BadPayload, encoding: Some(encoding), header, unless_stored: None }
    }
}

/// Judges `bytes` as sent by `sender` (none: nobody of that name is known) and received at `now_ms`.
pub fn judge<'a>(
    bytes: &'a [u8],
    sender: Option<&Sender>,
    policy: &Policy,
    now_ms: i64,
) -> Result<Genuine<'a>, Refusal> {
    let encoding = Encoding::of(bytes.first().copied());
    let unread = |reason| Refusal { reason, encoding, header: None, unless_stored: None };

    let sealed = Sealed::parse(bytes, policy).map_err(unread)?;
    let header = *sealed.header();
    let refuse = |reason, unless_stored| Refusal { reason, encoding, header: Some(header), unless_stored };
    let sender = sender.ok_or_else(|| refuse(Reason::UnknownDevice, None))?;
    if sender.state == State::Disabled {
        return Err(refuse(Reason::DeviceDisabled, None));
    }
    let seen = seen_of(sender.row, &sealed);
    let Some(key) = sender.key(header.key_version) else {
        return Err(refuse(Reason::UnknownKey, Some(seen)));
    };
    let payload = sealed.open(key, &sender.id, Direction::FromDevice).map_err(|reason| refuse(reason, None))?;
    match sender.time.check(header.time_ms, now_ms) {
        Some(reason) => Err(refuse(reason, Some(seen))),
        None => Ok(Genuine { header, seen, payload }),
    }
}

/// What makes an envelope unique that the device of this row has sent.
pub(super) fn seen_of(row: i64, sealed: &Sealed<'_>) -> Seen {
    let header = sealed.header();
    Seen {
        device: row,
        key_version: header.key_version,
        counter: i64::try_from(header.counter).expect("a header's counter is at most 2^63 - 1"),
        tag: Tag::new(sealed.tag().as_bytes()).expect("a parsed tag has 8 or 32 bytes"),
    }
}

impl TimePolicy {
    /// Any time is right.
    #[cfg(test)]
    pub(crate) const NONE: TimePolicy = TimePolicy { future_tolerance: Duration::MAX, age_max: None };

    fn check(&self, device_time_ms: Option<i64>, now_ms: i64) -> Option<Reason> {
        let ahead_ms = i128::from(device_time_ms?) - i128::from(now_ms);
        if ahead_ms > i128::from(saturated_ms(self.future_tolerance)) {
            return Some(Reason::Future);
        }
        let too_old = self.age_max.is_some_and(|age| -ahead_ms > i128::from(saturated_ms(age)));
        too_old.then_some(Reason::Stale)
    }
}

fn saturated_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
