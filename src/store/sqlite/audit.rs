//! The audit log in its table.

use super::writer::{Transaction, Writer};
use super::{Inner, Sqlite};
use crate::store::audit::column;
use crate::store::{Actor, AuditFilter, Audited, Event, StoreError};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{QueryBuilder, Row as _};

impl Sqlite {
    pub(in crate::store) async fn note(&self, events: &[Event]) -> Result<(), StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let inserted = insert(&mut transaction, events).await;
        Ok(transaction.end(inserted).await?)
    }

    pub(in crate::store) async fn audit_log(
        &self,
        which: &AuditFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Audited>, StoreError> {
        let mut query = QueryBuilder::new("SELECT id, at, who, origin, action, subject, detail FROM audit WHERE id > ");
        query.push_bind(after);
        narrow(&mut query, which);
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(audited).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn forget_audit(&self, horizon_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = writer.begin().await?;
        let forgotten = forget(&mut transaction, horizon_ms, limit).await;
        Ok(transaction.end(forgotten).await?)
    }
}

impl Inner {
    /// How many rows one statement changes, in a transaction of its own, entered as this one's.
    pub(super) async fn changed(
        &self,
        actor: &Actor,
        query: Query<'_, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await?;
        let changed = query.execute(&mut transaction.connection).await;
        Ok(transaction.end(changed).await?.rows_affected())
    }
}

/// Enters events.
pub(super) async fn insert(transaction: &mut Transaction<'_>, events: &[Event]) -> sqlx::Result<()> {
    let sql = "INSERT INTO audit (at, who, origin, action, subject, detail)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?)";
    let rows: Vec<_> = events.iter().map(row).collect();
    let rows = serde_json::to_string(&rows).expect("numbers and strings are JSON");
    sqlx::query(sql).bind(rows).execute(&mut transaction.connection).await?;
    Ok(())
}

async fn forget(transaction: &mut Transaction<'_>, horizon_ms: i64, limit: u32) -> sqlx::Result<u64> {
    let connection = &mut transaction.connection;
    let raise = "UPDATE meta SET value = max(value, ?) WHERE key = 'audit_horizon'";
    sqlx::query(raise).bind(horizon_ms).execute(&mut *connection).await?;
    let delete = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? ORDER BY at LIMIT ?)";
    let deleted = sqlx::query(delete).bind(horizon_ms).bind(limit).execute(connection).await?;
    Ok(deleted.rows_affected())
}

/// Begins a transaction whose changes are entered as this one's.
pub(super) async fn begin_as<'w>(writer: &'w mut Writer, actor: &Actor) -> sqlx::Result<Transaction<'w>> {
    let mut transaction = writer.begin().await?;
    let (who, origin) = actor.columns();
    let sql = "INSERT INTO acting (id, who, origin) VALUES (1, ?, ?)";
    let entered = sqlx::query(sql).bind(who).bind(origin).execute(&mut transaction.connection).await;
    match entered {
        Ok(_) => {
            transaction.acts();
            Ok(transaction)
        }
        Err(error) => {
            transaction.roll_back().await;
            Err(error)
        }
    }
}

fn row(event: &Event) -> (i64, String, String, &'static str, String, String) {
    let Event { at_ms, who, origin, action, subject, detail } = event;
    (*at_ms, column(who), column(origin), action, column(subject), column(detail))
}

fn narrow(query: &mut QueryBuilder<sqlx::Sqlite>, which: &AuditFilter) {
    let AuditFilter { who, action, subject, since_ms, until_ms } = which;
    for (condition, text) in [(" AND who = ", who), (" AND action = ", action), (" AND subject = ", subject)] {
        if let Some(text) = text {
            query.push(condition).push_bind(text.clone());
        }
    }
    for (condition, ms) in [(" AND at >= ", since_ms), (" AND at < ", until_ms)] {
        if let Some(ms) = ms {
            query.push(condition).push_bind(*ms);
        }
    }
}

fn audited(row: &SqliteRow) -> sqlx::Result<Audited> {
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
