//! The audit log in its table.

use super::Postgres;
use super::time::Time;
use crate::store::audit::column;
use crate::store::{Actor, AuditFilter, Audited, Event, StoreError};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, PgPool, PgTransaction, QueryBuilder, Row as _};

impl Postgres {
    pub(in crate::store) async fn note(&self, events: &[Event]) -> Result<(), StoreError> {
        insert(&mut *self.0.pool.acquire().await?, events).await?;
        Ok(())
    }

    pub(in crate::store) async fn audit_log(
        &self,
        which: &AuditFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Audited>, StoreError> {
        let mut query =
            QueryBuilder::new("SELECT id, to_ms(at), who, origin, action, subject, detail FROM audit WHERE id > ");
        query.push_bind(after);
        narrow(&mut query, which)?;
        query.push(" ORDER BY id LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(audited).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn forget_audit(&self, horizon_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let mut transaction = self.0.pool.begin().await?;
        let raise = "UPDATE meta SET number = greatest(number, $1) WHERE key = 'audit_horizon'";
        sqlx::query(raise).bind(horizon_ms).execute(&mut *transaction).await?;
        let delete = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < from_ms($1) ORDER BY at LIMIT $2)";
        let delete = sqlx::query(delete).bind(horizon_ms).bind(i64::from(limit));
        let deleted = delete.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected())
    }
}

impl Postgres {
    /// How many rows one statement changes, in a transaction of its own, entered as this one's.
    pub(super) async fn changed(
        &self,
        actor: &Actor,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<u64, StoreError> {
        let mut transaction = begin_as(&self.0.pool, actor).await?;
        let changed = query.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(changed.rows_affected())
    }
}

/// Enters events.
pub(super) async fn insert(connection: &mut PgConnection, events: &[Event]) -> sqlx::Result<()> {
    let sql = "INSERT INTO audit (at, who, origin, action, subject, detail)
        SELECT from_ms(at), who, origin, action, subject, detail
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
            AS event (at, who, origin, action, subject, detail)";
    let texts = |text: fn(&Event) -> &str| events.iter().map(|event| column(text(event))).collect::<Vec<_>>();
    let times: Vec<i64> = events.iter().map(|event| event.at_ms).collect();
    let insert = sqlx::query(sql).bind(times).bind(texts(|event| &event.who)).bind(texts(|event| &event.origin));
    let insert = insert.bind(texts(|event| event.action)).bind(texts(|event| &event.subject));
    insert.bind(texts(|event| &event.detail)).execute(connection).await?;
    Ok(())
}

/// Begins a transaction whose changes are entered as this one's.
pub(super) async fn begin_as(pool: &PgPool, actor: &Actor) -> sqlx::Result<PgTransaction<'static>> {
    let mut transaction = pool.begin().await?;
    let (who, origin) = actor.columns();
    let sql = "SELECT set_config('sealgate.who', $1, true), set_config('sealgate.origin', $2, true)";
    sqlx::query(sql).bind(who).bind(origin).execute(&mut *transaction).await?;
    Ok(transaction)
}

fn narrow(query: &mut QueryBuilder<sqlx::Postgres>, which: &AuditFilter) -> sqlx::Result<()> {
    let AuditFilter { who, action, subject, since_ms, until_ms } = which;
    for (condition, text) in [(" AND who = ", who), (" AND action = ", action), (" AND subject = ", subject)] {
        if let Some(text) = text {
            query.push(condition).push_bind(column(text));
        }
    }
    for (condition, ms) in [(" AND at >= ", since_ms), (" AND at < ", until_ms)] {
        if let Some(ms) = ms {
            query.push(condition).push_bind(Time::of_ms(*ms)?);
        }
    }
    Ok(())
}

fn audited(row: &PgRow) -> sqlx::Result<Audited> {
    Ok(Audited {
        id: row.try_get(0)?,
        at_ms: row.try_get(1)?,
        who: row.try_get(2)?,
        origin: row.try_get(3)?,
        action: row.try_get(4)?,
        subject: row.try_get(5)?,
        detail: row.try_get(6)?,
    })
}
