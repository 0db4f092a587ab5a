//! What is done to the database now and then, besides what is asked of it.

use super::Store;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// A day's partition is made three days ahead, so that an hour that is missed costs nothing.
const INTERVAL: Duration = Duration::from_secs(3600);

impl Store {
    /// Looks after the database until `ends`. What fails is logged and tried again an hour later: nothing waits for it.
    pub async fn keep_up(self, ends: CancellationToken) {
        loop {
            if let Err(error) = self.prepare_days(now_ms()).await {
                tracing::warn!(%error, "The partitions of the coming days are not made yet; readings are stored all the same.");
            }
            tokio::select! {
                () = ends.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
