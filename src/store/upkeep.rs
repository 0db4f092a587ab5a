//! What is done to the database now and then, besides what is asked of it.

use super::{DatabaseConfig, Forgot, Metrics, Store, StoreError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// How often the database is looked at.
const INTERVAL: Duration = Duration::from_secs(60);
/// A day's partition is made three days ahead, so that an hour that is missed costs nothing.
const INTERVALS_BETWEEN_DAYS: u32 = 60;
/// Dropping rests three times as long as each of its steps took: batches come first.
const REST: u32 = 3;

/// Rows of the audit log that go in one transaction, and how long batches have for themselves after it.
const AUDIT_ROWS: u32 = 2_000;
const AUDIT_REST: Duration = Duration::from_millis(200);

/// A checkpoint is waited for as long as there is one a minute; else the next interval tries again.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(1);
const CHECKPOINT_WAITS: u32 = 65;

/// Looks after a database.
pub struct Upkeep {
    store: Store,
    metrics: Metrics,
    alarm: Alarm,
    retention: Duration,
    audit_retention: Duration,
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
    /// As the settings say.
    pub fn new(store: Store, metrics: Metrics, config: &DatabaseConfig) -> Upkeep {
        let DatabaseConfig { max_bytes, retention, audit_retention, .. } = *config;
        metrics.bytes_max.set(i64::try_from(max_bytes).unwrap_or(i64::MAX));
        Upkeep { store, metrics, alarm: Alarm { max_bytes, raised: false }, retention, audit_retention }
    }

    /// Goes on until `ends`. What fails is logged and tried again: nothing waits for it.
    pub async fn run(mut self, ends: CancellationToken) {
        let mut is_forgotten = false;
        for interval in (0..INTERVALS_BETWEEN_DAYS).cycle() {
            if interval == 0 {
                self.prepare_days().await;
                self.forget_audit().await;
                is_forgotten = false;
            }
            self.look_at_size().await;
            if !is_forgotten && !self.retention.is_zero() {
                is_forgotten = ends.run_until_cancelled(self.forget()).await.unwrap_or_default();
            }
            tokio::select! {
                () = ends.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn prepare_days(&self) {
        if let Err(error) = self.store.prepare_days(now_ms()).await {
            tracing::warn!(%error, "The partitions of the coming days are not made yet; readings are stored all the same.");
        }
    }

    /// Takes away what of the audit log is too old, a part at a time.
    async fn forget_audit(&self) {
        if self.audit_retention.is_zero() {
            return;
        }
        let kept_ms = i64::try_from(self.audit_retention.as_millis()).unwrap_or(i64::MAX);
        loop {
            match self.store.forget_audit(now_ms().saturating_sub(kept_ms), AUDIT_ROWS).await {
                Ok(rows) if rows < u64::from(AUDIT_ROWS) => return,
                Ok(_) => tokio::time::sleep(AUDIT_REST).await,
                Err(error) => {
                    return tracing::warn!(%error, "What is older than database.audit_retention is not all gone yet.");
                }
            }
        }
    }

    /// Drops what is too old; whether it came to the end.
    async fn forget(&self) -> bool {
        let mut sum = Forgot::default();
        let done = self.forget_all(&mut sum).await;
        let Forgot { envelopes, readings } = sum;
        if sum != Forgot::default() {
            tracing::info!(envelopes, readings, "What was older than database.retention is dropped.");
        }
        done.inspect_err(
            |error| tracing::warn!(%error, "What is older than database.retention is not all dropped yet."),
        )
        .is_ok()
    }

    async fn forget_all(&self, sum: &mut Forgot) -> Result<(), StoreError> {
        let mut next = self.store.begin_to_forget(now_ms(), self.retention).await?;
        for _ in 0..CHECKPOINT_WAITS {
            if next.is_some() {
                break;
            }
            // Nothing is dropped before a checkpoint has said so.
            tokio::time::sleep(CHECKPOINT_WAIT).await;
            next = self.store.begin_to_forget(now_ms(), self.retention).await?;
        }
        while let Some(forgetting) = next {
            let began = now();
            let (forgot, rest) = self.store.forget(forgetting).await?;
            self.metrics.dropped_envelopes.inc_by(forgot.envelopes);
            self.metrics.dropped_readings.inc_by(forgot.readings);
            sum.envelopes += forgot.envelopes;
            sum.readings += forgot.readings;
            next = rest;
            tokio::time::sleep((now() - began) * REST).await;
        }
        Ok(())
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

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now() -> Instant {
    Instant::now()
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
