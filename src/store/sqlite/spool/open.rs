//! Opening the spool, and finding out what of it the database has already.

use super::super::open::{database_error, writing};
use super::super::writer::Writer;
use super::row::{ROW_BYTES, Rows};
use super::{Inner, Mark, Spool, SpoolId, State};
use crate::store::directory::Files;
use crate::store::{Config, OnOutage, OpenError, Store, Usage};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteLockingMode};
use sqlx::{ConnectOptions as _, Connection as _};
use std::sync::{Arc, Mutex};

/// `Spol`, as SQLite's header has it.
const APPLICATION_ID: i64 = 0x5370_6F6C;
/// The schema that this version knows, and the first.
const SCHEMA: i64 = 1;
const MIGRATION: &str = include_str!("../../migrations/spool/0001_the_spool.sql");

/// 16 MiB of log: a checkpoint after each two of the largest batches.
const WAL_PAGES: &str = "4096";

impl Spool {
    /// Opens the spool of a data directory, and makes it if it is wanted and not there. One that was left over is opened whether it is
    /// wanted or not: what it holds was acknowledged. `words` are all that ingest says of encodings, reasons and origins.
    ///
    /// Once in a process, as [`Store::open`]. No other process has it open meanwhile: two that drain it would store a refusal twice.
    pub async fn open(config: &Config, store: &Store, words: Vec<&'static str>) -> Result<Option<Spool>, OpenError> {
        let files = Files::new(&config.data_dir, "spool.db");
        let takes_more = config.on_outage == OnOutage::Spool;
        if !takes_more && !files.database().exists() {
            return Ok(None);
        }
        let options = options(&files);
        let mut connection = connect(&files, &options).await?;
        let engine = |error: sqlx::Error| database_error(&files, error);
        let id = identity(&mut connection).await.map_err(engine)?;
        let drained = drained(&files, store, id, &mut connection).await?;
        let Some(drained) = drained else { return Ok(None) };
        Rows::remove_through(&mut connection, drained).await.map_err(engine)?;
        let usage = usage(&mut connection).await.map_err(engine)?;
        let last = last(&mut connection).await.map_err(engine)?.max(drained);
        let writer = Writer::new(options, connection);
        let state = State { writer, last, is_unclean: false, drained, to_remove: Usage::default() };
        Ok(Some(Spool(Arc::new(Inner {
            id,
            bytes_max: config.spool_bytes_max,
            takes_more,
            after: config.spool_after,
            rows: Rows::new(words),
            usage: Mutex::new(usage),
            recovered: Mark { spool: id, through: last },
            state: tokio::sync::Mutex::new(state),
        }))))
    }
}

fn options(files: &Files) -> SqliteConnectOptions {
    writing(files).locking_mode(SqliteLockingMode::Exclusive).pragma("wal_autocheckpoint", WAL_PAGES)
}

/// A connection to a file that is ours, and of our schema.
async fn connect(files: &Files, options: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    files.claim()?;
    let engine = |error: sqlx::Error| database_error(files, error);
    let mut connection = options.connect().await.map_err(engine)?;
    let sql = "SELECT application_id, user_version, EXISTS (SELECT 1 FROM sqlite_schema)
        FROM pragma_application_id, pragma_user_version";
    let (application, schema, has_tables): (i64, i64, bool) =
        sqlx::query_as(sql).fetch_one(&mut connection).await.map_err(engine)?;
    match (application, schema, has_tables) {
        (APPLICATION_ID, SCHEMA, _) => {}
        (APPLICATION_ID, found @ SCHEMA.., _) => {
            return Err(OpenError::NewerSchema { place: files.place(), found, known: SCHEMA });
        }
        (0, 0, false) => make(&mut connection).await.map_err(engine)?,
        _ => return Err(OpenError::NotOurs { place: files.place() }),
    }
    Ok(connection)
}

async fn make(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| sqlx::Error::Io(error.into()))?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(MIGRATION).execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO spool (id) VALUES (?)").bind(&id[..]).execute(&mut *transaction).await?;
    let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn identity(connection: &mut SqliteConnection) -> sqlx::Result<SpoolId> {
    let id: Vec<u8> = sqlx::query_scalar("SELECT id FROM spool").fetch_one(connection).await?;
    let id = id.try_into().map_err(|_| sqlx::Error::Decode("the id of a spool has 16 bytes".into()))?;
    Ok(SpoolId(id))
}

/// Up to which number the database has what was spooled; none: it has no use for this spool, which is empty.
///
/// A message is told to the database under the number that its device has there. In another database that number is another device, or none.
async fn drained(
    files: &Files,
    store: &Store,
    id: SpoolId,
    connection: &mut SqliteConnection,
) -> Result<Option<i64>, OpenError> {
    let asked = |source| OpenError::Database { place: "that database.url names".to_owned(), source };
    if let Some(through) = store.spool_mark(id).await.map_err(asked)? {
        return Ok(Some(through));
    }
    let messages: i64 = sqlx::query_scalar("SELECT count(*) FROM spooled")
        .fetch_one(connection)
        .await
        .map_err(|error| database_error(files, error))?;
    if messages > 0 {
        return Err(OpenError::ForeignSpool { place: files.place(), messages });
    }
    Ok(store.add_spool_mark(id).await.map_err(asked)?.then_some(0))
}

/// As [`bytes`](super::row::bytes) counts it.
async fn usage(connection: &mut SqliteConnection) -> sqlx::Result<Usage> {
    let sql = "SELECT count(*), coalesce(sum(length(device_id) + length(bytes) + coalesce(length(readings), 0) + ?), 0) FROM spooled";
    let (rows, bytes): (i64, i64) = sqlx::query_as(sql).bind(ROW_BYTES).fetch_one(connection).await?;
    Ok(Usage { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() })
}

/// The greatest number that was ever given.
async fn last(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'spooled'";
    sqlx::query_scalar(sql).fetch_one(connection).await
}
