//! The clock of this area's drivers.

use std::future::pending;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::time::sleep_until;

/// Waits for a moment; for ever, if there is none.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what the drivers read the clock by")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Unix ms.
#[expect(clippy::disallowed_methods, reason = "this is what the drivers read the clock by")]
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
