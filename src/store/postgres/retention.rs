//! Dropping what is too old: the counters of a day a part of its devices at a time, and then the day's partition.
//!
//! A counter is forgotten in three transactions, so that no batch waits for the work and none takes a counter for new that was dropped:
//! the floor is raised; every batch that began before that is waited for; the counters are deleted. Until then they are known.

use super::Postgres;
use super::open::LOCK;
use crate::store::StoreError;
use crate::store::retention::{FIRST, Forgetting, Forgot, Stage, Step};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgTransaction, Row as _};

/// Envelopes at a time, about: those of one device go together.
const ROWS: i64 = 20_000;

/// How long a step waits for whoever reads a table that is to be dropped. Who inserts waits behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";

/// What came before the horizon and was not put into a partition of its day.
const OTHER: &str = "envelope_other";

/// Envelopes that are dropped together: after the first place and up to the last one. A place is a device, and a time of arrival, Unix ms.
struct Part<'a> {
    table: &'a str,
    horizon_ms: i64,
    after: (i64, i64),
    last: (i64, i64),
}

impl Postgres {
    /// Says from when on everything is kept, before anything is dropped; a horizon never goes back. By the clock of the database, should
    /// that of the gateway be ahead of it.
    pub(in crate::store) async fn set_horizon(
        &self,
        forgetting: Forgetting,
        now_ms: i64,
    ) -> Result<Forgetting, StoreError> {
        let clock: i64 = sqlx::query_scalar("SELECT to_ms(now())").fetch_one(&self.0.pool).await?;
        let ahead_ms = now_ms.saturating_sub(clock).max(0);
        let horizon_ms = forgetting.horizon_ms.saturating_sub(ahead_ms);
        let sql = "UPDATE meta SET number = greatest(number, $1) WHERE key = 'horizon'";
        sqlx::query(sql).bind(horizon_ms).execute(&self.0.pool).await?;
        Ok(Forgetting { horizon_ms, ..forgetting })
    }

    /// One step. Of several gateways one does it; to the others there is nothing to do.
    pub(in crate::store) async fn forget(&self, forgetting: &Forgetting) -> Result<Step, StoreError> {
        let mut connection = self.0.pool.acquire().await?;
        let Forgetting { horizon_ms, stage } = *forgetting;
        match stage {
            Stage::Envelopes { after } => Ok(forget_envelopes(&mut connection, horizon_ms, after).await?),
            Stage::Readings { .. } => Ok(drop_readings(&mut connection, horizon_ms).await?),
            // What a checkpoint speaks of and is gone. Of a partition that is dropped the files are gone; of what is deleted autovacuum makes room for what comes.
            Stage::Space => {
                let sql = "UPDATE checkpoint SET leaves = NULL WHERE leaves IS NOT NULL AND last_received_at < $1";
                sqlx::query(sql).bind(horizon_ms).execute(&mut *connection).await?;
                let sql = "DELETE FROM refusals WHERE hour < from_ms($1)";
                sqlx::query(sql).bind(horizon_ms).execute(&mut *connection).await?;
                Ok((Forgot::default(), None))
            }
        }
    }
}

async fn forget_envelopes(connection: &mut PgConnection, horizon_ms: i64, after: (i64, i64)) -> sqlx::Result<Step> {
    let partition = oldest_partition(connection, "envelope", horizon_ms).await?;
    let table = partition.as_deref().unwrap_or(OTHER);
    let part = match last_of_part(connection, table, horizon_ms, after).await? {
        Some(last) => Part { table, horizon_ms, after, last },
        None => return nothing_left(connection, partition).await,
    };
    let forgot = part.forget(connection).await?;
    let next = forgot.is_some().then_some(Stage::Envelopes { after: part.last });
    Ok((forgot.unwrap_or_default(), next))
}

/// All envelopes of a partition, or of the default one, are dealt with.
async fn nothing_left(connection: &mut PgConnection, partition: Option<String>) -> sqlx::Result<Step> {
    let next = match partition {
        Some(partition) => drop_partition(connection, &partition).await?.then_some(Stage::Envelopes { after: FIRST }),
        None => Some(Stage::Readings { after: 0 }),
    };
    Ok((Forgot::default(), next))
}

/// The oldest partition all of which is before the horizon.
async fn oldest_partition(connection: &mut PgConnection, table: &str, horizon_ms: i64) -> sqlx::Result<Option<String>> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = $1::text::regclass AND c.relname ~ ('^' || $1::text || '_[0-9]{8}$')
        AND c.relname < $1::text || to_char(from_ms($2), '_YYYYMMDD') ORDER BY c.relname LIMIT 1";
    sqlx::query_scalar(sql).bind(table).bind(horizon_ms).fetch_optional(connection).await
}

/// Where the part ends that begins after `after`; none: there is nothing any more.
async fn last_of_part(
    connection: &mut PgConnection,
    table: &str,
    horizon_ms: i64,
    after: (i64, i64),
) -> sqlx::Result<Option<(i64, i64)>> {
    let sql = format!(
        "SELECT device::bigint, to_ms(received_at) FROM (SELECT device, received_at FROM {table}
            WHERE (device, received_at) > ($1, from_ms($2)) AND received_at < from_ms($3)
            ORDER BY device, received_at LIMIT $4) p ORDER BY device DESC, received_at DESC LIMIT 1"
    );
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(after.0).bind(after.1).bind(horizon_ms).bind(ROWS);
    query.fetch_optional(connection).await
}

impl Part<'_> {
    /// None: another gateway is at it.
    async fn forget(&self, connection: &mut PgConnection) -> sqlx::Result<Option<Forgot>> {
        let mut raise = connection.begin().await?;
        if !try_lock(&mut raise).await? {
            return Ok(None);
        }
        let envelopes = self.run(&mut raise, MARK).await?;
        self.run(&mut raise, RAISE_FLOORS).await?;
        raise.commit().await?;
        wait_for_batches(connection).await?;

        let mut delete = connection.begin().await?;
        self.run(&mut delete, FORGET_COUNTERS).await?;
        let readings =
            self.run(&mut delete, FORGET_AHEAD).await? + self.run(&mut delete, FORGET_OTHER_READINGS).await?;
        self.run(&mut delete, FORGET_PLACES).await?;
        // Those of a partition go with it.
        if self.table == OTHER {
            self.run(&mut delete, FORGET_OTHER).await?;
        }
        delete.commit().await?;
        Ok(Some(Forgot { envelopes, readings }))
    }

    /// Runs a statement over the part; answers how many rows it changed.
    async fn run(&self, transaction: &mut PgTransaction<'_>, sql: &str) -> sqlx::Result<u64> {
        let Part { table, horizon_ms, after, last } = self;
        // The name is ours, and the bounds are numbers.
        let part = format!(
            "(SELECT id, device, key_version, counter FROM {table} WHERE received_at < from_ms({horizon_ms})
                AND (device, received_at) > ({}, from_ms({})) AND (device, received_at) <= ({}, from_ms({})))",
            after.0, after.1, last.0, last.1
        );
        let devices = format!("device BETWEEN {} AND {}", after.0, last.0);
        let sql = sql.replace("PART", &part).replace("DEVICES", &devices);
        let done = sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(&mut **transaction).await?;
        Ok(done.rows_affected())
    }
}

/// Until the end of the transaction.
async fn try_lock(transaction: &mut PgTransaction<'_>) -> sqlx::Result<bool> {
    let sql = format!("SELECT pg_try_advisory_xact_lock({LOCK})");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut **transaction).await
}

/// Whoever writes counters reads the floors in the same statement, and holds the lock of a reader until the end of the transaction.
async fn wait_for_batches(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::query("LOCK TABLE seen_floor IN ACCESS EXCLUSIVE MODE").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// False: another gateway is at it.
async fn drop_partition(connection: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    if !try_lock(&mut transaction).await? {
        return Ok(false);
    }
    sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::query(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn drop_readings(connection: &mut PgConnection, horizon_ms: i64) -> sqlx::Result<Step> {
    let Some(partition) = oldest_partition(connection, "reading", horizon_ms).await? else {
        return Ok((Forgot::default(), Some(Stage::Space)));
    };
    let count = sqlx::query(AssertSqlSafe(format!("SELECT count(*) FROM {partition}")));
    let readings: i64 = count.fetch_one(&mut *connection).await?.try_get(0)?;
    let dropped = drop_partition(connection, &partition).await?;
    let forgot = Forgot { readings: if dropped { readings.unsigned_abs() } else { 0 }, ..Forgot::default() };
    Ok((forgot, dropped.then_some(Stage::Readings { after: 0 })))
}

const MARK: &str = "UPDATE seen s SET envelope = 0 FROM PART p
    WHERE s.device = p.device AND s.key_version = p.key_version AND s.counter = p.counter AND s.envelope = p.id";

/// The greatest counter below the first one whose envelope is kept.
const RAISE_FLOORS: &str = "INSERT INTO seen_floor (device, key_version, counter)
    WITH touched AS (SELECT DISTINCT device, key_version FROM PART p),
    kept AS (SELECT device, key_version, (SELECT s.counter FROM seen s
        WHERE s.device = t.device AND s.key_version = t.key_version AND s.envelope <> 0 ORDER BY s.counter LIMIT 1) AS counter
        FROM touched t),
    floor AS (SELECT device, key_version, (SELECT s.counter FROM seen s
        WHERE s.device = k.device AND s.key_version = k.key_version AND s.counter <= coalesce(k.counter - 1, 9223372036854775807)
        ORDER BY s.counter DESC LIMIT 1) AS counter FROM kept k)
    SELECT device, key_version, counter FROM floor WHERE counter IS NOT NULL
    ON CONFLICT (device, key_version) DO UPDATE SET counter = greatest(seen_floor.counter, excluded.counter)";

const FORGET_COUNTERS: &str = "DELETE FROM seen s USING seen_floor f WHERE f.DEVICES
    AND s.device = f.device AND s.key_version = f.key_version AND s.counter <= f.counter AND s.envelope = 0";

const FORGET_AHEAD: &str =
    "DELETE FROM reading r USING reading_ahead a, PART p WHERE a.DEVICES AND p.device = a.device AND p.id = a.envelope
    AND r.device = a.device AND r.time = a.time AND r.envelope = a.envelope";

const FORGET_PLACES: &str = "DELETE FROM reading_ahead a USING PART p WHERE p.device = a.device AND p.id = a.envelope";

const FORGET_OTHER_READINGS: &str =
    "DELETE FROM reading_other r USING PART p WHERE r.device = p.device AND r.envelope = p.id";

const FORGET_OTHER: &str = "DELETE FROM envelope_other e USING PART p WHERE e.device = p.device AND e.id = p.id";
