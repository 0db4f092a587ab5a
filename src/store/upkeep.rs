//! What is done to the database now and then, besides what is asked of it.

use super::{Metrics, Store};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// How often the database is looked at.
const INTERVAL: Duration = Duration::from_secs(60);
/// A day's partition is made three days ahead, so that an hour that is missed costs nothing.
const INTERVALS_BETWEEN_DAYS: u32 = 60;

/// Looks after a database.
pub struct Upkeep {
    store: Store,
    metrics: Metrics,
    alarm: Alarm,
}

/// Whether the database is larger than it should get.
struct Alarm {
    /// 0: there is no such size.
    max_bytes: u64,
    raised: bool,
}

/// What is to be said of the size.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Raised,
    Over,
}

impl Upkeep {
    /// With the size from the settings above which an alarm is raised.
    pub fn new(store: Store, metrics: Metrics, max_bytes: u64) -> Upkeep {
        metrics.bytes_max.set(i64::try_from(max_bytes).unwrap_or(i64::MAX));
        Upkeep { store, metrics, alarm: Alarm { max_bytes, raised: false } }
    }

    /// Goes on until `ends`. What fails is logged and tried again: nothing waits for it.
    pub async fn run(mut self, ends: CancellationToken) {
        for interval in (0..INTERVALS_BETWEEN_DAYS).cycle() {
            if interval == 0
                && let Err(error) = self.store.prepare_days(now_ms()).await
            {
                tracing::warn!(%error, "The partitions of the coming days are not made yet; readings are stored all the same.");
            }
            self.look_at_size().await;
            tokio::select! {
                () = ends.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn look_at_size(&mut self) {
        let bytes = match self.store.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return tracing::warn!(%error, "The size of the database is not known."),
        };
        self.metrics.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let max_bytes = self.alarm.max_bytes;
        match self.alarm.look(bytes) {
            Some(Said::Raised) => tracing::error!(
                bytes,
                max_bytes,
                "The database is larger than database.max_bytes. Give it room, or take out what is not needed any more, before its disk is full."
            ),
            Some(Said::Over) => {
                tracing::info!(bytes, max_bytes, "The database is no larger than database.max_bytes again.")
            }
            None => {}
        }
    }
}

impl Alarm {
    fn look(&mut self, bytes: u64) -> Option<Said> {
        let above = self.max_bytes > 0 && bytes > self.max_bytes;
        let changed = std::mem::replace(&mut self.raised, above) != above;
        changed.then_some(if above { Said::Raised } else { Said::Over })
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_raised_once_until_it_is_over() {
        let mut alarm = Alarm { max_bytes: 100, raised: false };
        let said = [100, 101, 500, 100, 99, 101].map(|bytes| alarm.look(bytes));
        assert_eq!(said, [None, Some(Said::Raised), None, Some(Said::Over), None, Some(Said::Raised)]);
    }

    #[test]
    fn no_size_is_too_large_where_none_is_set() {
        assert_eq!(Alarm { max_bytes: 0, raised: false }.look(u64::MAX), None);
    }
}
