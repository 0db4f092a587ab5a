//! Dropping what is too old, in transactions of about a thousand rows, so that batches come in between.
//!
//! Envelopes are numbered as they arrive, so the oldest are the first. There is no index by arrival: where a clock was ahead for more than
//! a step of envelopes, those that came after it wait until these are too old themselves.

use super::{Inner, Sqlite};
use crate::store::StoreError;
use crate::store::retention::{FIRST, Forgetting, Forgot, Stage, Step};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments as _, Row as _};

/// Envelopes, or readings of one device, in one step.
const ROWS: i64 = 1_000;
/// Devices that are looked at in one step.
const DEVICES: i64 = 100;
/// 4 MiB in one step.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(1000)";
/// Pages that are free are used again; what is above this part of the file is given back to the file system.
const FREE_PART: i64 = 8;

impl Sqlite {
    /// Says from when on everything is kept, before anything is dropped; a horizon never goes back.
    pub(in crate::store) async fn set_horizon(&self, forgetting: Forgetting) -> Result<Forgetting, StoreError> {
        let sql = "UPDATE meta SET value = max(value, ?) WHERE key = 'horizon'";
        self.0.change(sql, &[forgetting.horizon_ms]).await?;
        Ok(forgetting)
    }

    /// One step.
    pub(in crate::store) async fn forget(&self, forgetting: &Forgetting) -> Result<Step, StoreError> {
        let horizon_ms = forgetting.horizon_ms;
        match forgetting.stage {
            Stage::Envelopes { .. } => self.0.forget_envelopes(horizon_ms).await,
            Stage::Readings { after } => self.0.forget_readings(horizon_ms, after).await,
            Stage::Space => self.0.give_space_back(horizon_ms).await,
        }
    }
}

impl Inner {
    async fn forget_envelopes(&self, horizon_ms: i64) -> Result<Step, StoreError> {
        let sql = "SELECT coalesce(min(id), 0), coalesce(max(id), 0), count(*) FILTER (WHERE received_at < ?)
            FROM (SELECT id, received_at FROM envelope ORDER BY id LIMIT ?)";
        let oldest = sqlx::query(sql).bind(horizon_ms).bind(ROWS).fetch_one(&self.readers).await?;
        if oldest.try_get::<i64, _>(2)? == 0 {
            return Ok((Forgot::default(), Some(Stage::Readings { after: 0 })));
        }
        let range = [oldest.try_get(0)?, oldest.try_get(1)?, horizon_ms];
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let done = forget_range(&mut transaction.connection, &range).await;
        let forgot = transaction.end(done).await?;
        Ok((forgot, Some(Stage::Envelopes { after: FIRST })))
    }

    /// Those that are too old and whose envelope is gone.
    async fn forget_readings(&self, horizon_ms: i64, after: i64) -> Result<Step, StoreError> {
        let found =
            sqlx::query(NEXT_DEVICES).bind(after).bind(DEVICES).bind(horizon_ms).fetch_all(&self.readers).await?;
        let Some(last) = found.last() else { return Ok((Forgot::default(), Some(Stage::Space))) };
        let mut next = last.try_get(0)?;
        let mut forgot = Forgot::default();
        for device in &found {
            let (device, has_old): (i64, bool) = (device.try_get(0)?, device.try_get(1)?);
            if !has_old {
                continue;
            }
            let oldest = [device, horizon_ms, ROWS];
            let readings = self.change(FORGET_READINGS, &oldest).await?;
            forgot.readings += readings;
            if readings == ROWS.unsigned_abs() {
                next = device - 1;
                break;
            }
        }
        Ok((forgot, Some(Stage::Readings { after: next })))
    }

    async fn give_space_back(&self, horizon_ms: i64) -> Result<Step, StoreError> {
        self.change(FORGET_LEAVES, &[horizon_ms]).await?;
        self.change("DELETE FROM refusals WHERE hour < ?1", &[horizon_ms]).await?;
        let sql = "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count";
        let row = sqlx::query(sql).fetch_one(&self.readers).await?;
        let (free, pages): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if free <= pages / FREE_PART {
            return Ok((Forgot::default(), None));
        }
        self.change(GIVE_BACK, &[]).await?;
        let left: i64 =
            sqlx::query_scalar("SELECT freelist_count FROM pragma_freelist_count").fetch_one(&self.readers).await?;
        // A file that is not made for it gives nothing back.
        Ok((Forgot::default(), (left < free).then_some(Stage::Space)))
    }

    /// One statement in a transaction of the writing connection; answers how many rows it changed.
    async fn change(&self, sql: &'static str, numbers: &[i64]) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let done = run(&mut transaction.connection, sql, numbers).await;
        Ok(transaction.end(done).await?)
    }
}

/// Envelopes of a range of numbers, as far as they came before the horizon, and what goes with them.
async fn forget_range(connection: &mut SqliteConnection, range: &[i64; 3]) -> sqlx::Result<Forgot> {
    for sql in [MARK, RAISE_FLOORS, FORGET_COUNTERS] {
        run(connection, sql, range).await?;
    }
    let envelopes = run(connection, FORGET_ENVELOPES, range).await?;
    let readings = run(connection, FORGET_AHEAD, range).await?;
    run(connection, FORGET_PLACES, range).await?;
    Ok(Forgot { envelopes, readings })
}

async fn run(connection: &mut SqliteConnection, sql: &'static str, numbers: &[i64]) -> sqlx::Result<u64> {
    let mut arguments = SqliteArguments::default();
    for number in numbers {
        arguments.add(*number).map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(sql, arguments).execute(connection).await?.rows_affected())
}

// In these ?1 and ?2 are the first and the last number of the range, and ?3 is the horizon.

const MARK: &str = "UPDATE seen SET envelope = 0 WHERE envelope BETWEEN ?1 AND ?2 AND (device, key_version, counter) IN
    (SELECT device, key_version, counter FROM envelope WHERE id BETWEEN ?1 AND ?2 AND received_at < ?3)";

/// The greatest counter below the first one whose envelope is kept.
const RAISE_FLOORS: &str = "INSERT INTO seen_floor (device, key_version, counter)
    WITH touched AS (SELECT DISTINCT device, key_version FROM envelope WHERE id BETWEEN ?1 AND ?2 AND received_at < ?3),
    kept AS (SELECT device, key_version, (SELECT s.counter FROM seen s
        WHERE s.device = t.device AND s.key_version = t.key_version AND s.envelope <> 0 ORDER BY s.counter LIMIT 1) AS counter
        FROM touched t),
    floor AS (SELECT device, key_version, (SELECT s.counter FROM seen s
        WHERE s.device = k.device AND s.key_version = k.key_version AND s.counter <= coalesce(k.counter - 1, 9223372036854775807)
        ORDER BY s.counter DESC LIMIT 1) AS counter FROM kept k)
    SELECT device, key_version, counter FROM floor WHERE counter IS NOT NULL
    ON CONFLICT DO UPDATE SET counter = max(counter, excluded.counter)";

const FORGET_COUNTERS: &str = "DELETE FROM seen WHERE (device, key_version, counter) IN
    (SELECT s.device, s.key_version, s.counter
    FROM (SELECT DISTINCT device, key_version FROM envelope WHERE id BETWEEN ?1 AND ?2 AND received_at < ?3) t
    CROSS JOIN seen_floor f ON f.device = t.device AND f.key_version = t.key_version
    CROSS JOIN seen s ON s.device = f.device AND s.key_version = f.key_version AND s.counter <= f.counter
    WHERE s.envelope = 0)";

const FORGET_ENVELOPES: &str = "DELETE FROM envelope WHERE id BETWEEN ?1 AND ?2 AND received_at < ?3";

const FORGET_AHEAD: &str = "DELETE FROM reading WHERE (device, time, envelope, place) IN
    (SELECT r.device, r.time, r.envelope, r.place FROM reading_ahead a
    CROSS JOIN reading r ON r.device = a.device AND r.time = a.time AND r.envelope = a.envelope
    WHERE a.envelope BETWEEN ?1 AND ?2 AND NOT EXISTS (SELECT 1 FROM envelope e WHERE e.id = a.envelope))";

const FORGET_PLACES: &str = "DELETE FROM reading_ahead
    WHERE envelope BETWEEN ?1 AND ?2 AND NOT EXISTS (SELECT 1 FROM envelope e WHERE e.id = reading_ahead.envelope)";

/// What a checkpoint speaks of and is gone.
const FORGET_LEAVES: &str = "UPDATE checkpoint SET leaves = NULL WHERE leaves IS NOT NULL AND last_received_at < ?1";

/// The next devices after ?1, at most ?2, each with whether it has readings to drop. From one device to the next by the table's key, so
/// that the readings between are not read.
const NEXT_DEVICES: &str = "WITH RECURSIVE next (device) AS (
    SELECT min(device) FROM reading WHERE device > ?1
    UNION ALL
    SELECT (SELECT min(r.device) FROM reading r WHERE r.device > next.device) FROM next WHERE next.device IS NOT NULL LIMIT ?2)
    SELECT device, EXISTS (SELECT 1 FROM reading r WHERE r.device = next.device AND r.time < ?3
        AND NOT EXISTS (SELECT 1 FROM envelope e WHERE e.id = r.envelope))
    FROM next WHERE device IS NOT NULL";

/// Of the device ?1, before ?2, at most ?3.
const FORGET_READINGS: &str = "DELETE FROM reading WHERE (device, time, envelope, place) IN
    (SELECT device, time, envelope, place FROM reading r WHERE device = ?1 AND time < ?2
    AND NOT EXISTS (SELECT 1 FROM envelope e WHERE e.id = r.envelope) ORDER BY time LIMIT ?3)";
