//! Days: partitions are made ahead, and what came before its partition was there is moved into it.
//!
//! A batch never waits for this: what no partition was made for goes into the default one, which belongs to the days of clocks that are
//! wrong, and to those that come back.

use super::Postgres;
use super::open::LOCK;
use crate::store::StoreError;
use crate::store::retention::{DAY_MS, day};
use sqlx::{AssertSqlSafe, PgConnection};

/// How many days ahead there is a partition.
const AHEAD: i64 = 3;

/// What is divided by days, and by which column.
const DIVIDED: [(&str, &str); 2] = [("envelope", "received_at"), ("reading", "time")];

impl Postgres {
    /// Makes the partitions of today and of the next days, where they are not there. Of several gateways one does it; the others go on.
    pub(in crate::store) async fn prepare_days(&self, now_ms: i64) -> Result<(), StoreError> {
        let today = day(now_ms);
        let mut connection = self.0.pool.acquire().await?;
        for (table, column) in DIVIDED {
            for day in today..=today + AHEAD {
                prepare(&mut connection, table, column, day).await?;
            }
        }
        Ok(())
    }
}

/// In a transaction of its own, so that a table is locked for one day's sake and not for all of them; and not for long, should a query
/// be reading the default partition: batches wait behind the lock.
async fn prepare(connection: &mut PgConnection, table: &str, column: &str, day: i64) -> sqlx::Result<()> {
    let name: String = sqlx::query_scalar("SELECT $1 || to_char(from_ms($2), '_YYYYMMDD')")
        .bind(table)
        .bind(day * DAY_MS)
        .fetch_one(&mut *connection)
        .await?;
    let is_there = "SELECT to_regclass($1) IS NOT NULL";
    if sqlx::query_scalar(is_there).bind(&name).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let (from, to) = (day * DAY_MS, (day + 1) * DAY_MS);
    // The names are ours, and the bounds are numbers. What has come for that day already is moved; the check tells PostgreSQL that
    // the new table need not be read when it is attached.
    let sql = format!(
        "DO $$ BEGIN
            IF NOT pg_try_advisory_xact_lock({LOCK}) OR to_regclass('{name}') IS NOT NULL THEN RETURN; END IF;
            SET LOCAL lock_timeout = '1s';
            LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;
            CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE,
                CONSTRAINT its_day CHECK ({column} >= from_ms({from}) AND {column} < from_ms({to})));
            WITH moved AS (DELETE FROM {table}_other WHERE {column} >= from_ms({from}) AND {column} < from_ms({to}) RETURNING *)
                INSERT INTO {name} SELECT * FROM moved;
            EXECUTE format('ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%L) TO (%L)', from_ms({from}), from_ms({to}));
            ALTER TABLE {name} DROP CONSTRAINT its_day;
        END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
