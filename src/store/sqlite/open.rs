//! Opening the file: look first, and change nothing that is not ours or that is newer than we are.
//!
//! A file is ours by its application id, and its schema has the number that SQLite calls the user version. Both stand in the
//! first page; where a write-ahead log is left over, the newer page may be in there, and SQLite itself is asked, without the
//! right to write.

use super::super::directory::Files;
use super::super::{OpenError, StoreError};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use std::io::Read;
use std::time::{Duration, Instant};

/// `Seal`, as SQLite's header has it at offset 68, <https://www.sqlite.org/fileformat.html#the_database_header>.
const APPLICATION_ID: i64 = 0x5365_616C;

/// Schemas by number: the first is 1.
const MIGRATIONS: [&str; 9] = [
    include_str!("../migrations/sqlite/0001_the_house.sql"),
    include_str!("../migrations/sqlite/0002_presence.sql"),
    include_str!("../migrations/sqlite/0003_retention.sql"),
    include_str!("../migrations/sqlite/0004_checkpoints.sql"),
    include_str!("../migrations/sqlite/0005_device_group.sql"),
    include_str!("../migrations/sqlite/0006_refusals.sql"),
    include_str!("../migrations/sqlite/0007_identity.sql"),
    include_str!("../migrations/sqlite/0008_issuers.sql"),
    include_str!("../migrations/sqlite/0009_keys.sql"),
];

/// From this schema on a file is made so that it gives back what is freed; an older one is written anew, once.
const GIVES_BACK: i64 = 3;

/// The newest schema that this version knows.
const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Longer than a command beside a running gateway holds the lock, or a gateway commits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A first start holds its locks for a few syncs.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// What the first page says.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    application: i64,
    schema: i64,
}

/// How a connection is opened for writing.
pub(super) fn writing(files: &Files) -> SqliteConnectOptions {
    reading(files)
        .read_only(false)
        // Of a new file alone: so that it can give back what retention has freed.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: in WAL mode NORMAL may lose commits when the power goes, and what is acknowledged is never lost.
        .synchronous(SqliteSynchronous::Full)
        .statement_cache_capacity(STATEMENTS_MAX)
        .pragma("cache_size", CACHE_KIB)
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("journal_size_limit", "134217728")
}

/// 16 MiB. A commit after a split in the middle of a table walks through the whole cache, because the split borrows the number of the
/// lock-byte page and SQLite then takes its cache for larger than the file; what is not in here is in the system's cache. With four
/// times as much `benches/end_to_end` was slower, and a fleet of 6,000 devices that send five messages a second no faster.
const CACHE_KIB: &str = "-16384";

/// 128 MiB. The log is copied back before that, beside the commits (`log`); where that fails, a commit does it, for which it waits. Batches
/// of 8 MiB would start one after each commit with SQLite's own 4 MiB.
const WAL_PAGES: &str = "32768";

/// Above the number of texts that a commit is made of, so that each is prepared once.
const STATEMENTS_MAX: usize = 200;

/// Rows that are read ahead; an envelope has 64 KiB at most where nobody has set another bound.
const ROWS_AHEAD: usize = 256;

/// How a connection is opened for reading.
pub(super) fn reading(files: &Files) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(files.database())
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        // A row goes from SQLite's thread to whoever asked for it; where many are asked for, neither waits for the other each time.
        .row_buffer_size(ROWS_AHEAD)
        .disable_statement_logging()
}

/// Opens the writing connection of a database that is there and of our schema afterwards.
///
/// SQLite does not wait for every lock as the busy timeout says: of two that switch a new file to the write-ahead log, one is
/// refused at once, because waiting for each other would never end. So a refusal for a lock is tried again, within the same
/// timeout. A lock file of our own was weighed against it: it would not keep a shell out, nor another process that is closing.
pub(super) async fn open(files: &Files) -> Result<SqliteConnection, OpenError> {
    let deadline = now() + BUSY_TIMEOUT;
    loop {
        match try_open(files).await {
            Err(OpenError::Database { source, .. }) if is_in_use(&source) && now() < deadline => {
                tokio::time::sleep(RETRY_DELAY).await;
            }
            done => return done,
        }
    }
}

async fn try_open(files: &Files) -> Result<SqliteConnection, OpenError> {
    if let Some(stamp) = look(files).await? {
        stamp.check(files)?;
    }
    files.claim()?;
    let engine = |error: sqlx::Error| database_error(files, error);
    let mut connection = writing(files).connect().await.map_err(engine)?;
    let found = stamp(&mut connection).await.map_err(engine)?;
    if found != Stamp::CURRENT {
        migrate(files, &mut connection).await?;
    }
    if (1..GIVES_BACK).contains(&found.schema)
        && let Err(error) = sqlx::raw_sql("VACUUM").execute(&mut connection).await
    {
        tracing::warn!(%error, "The file is not made new: what retention frees is used again, and not given back.");
    }
    Ok(connection)
}

/// Reads the stamp of a file and changes nothing; `None` if there is no database in it yet.
async fn look(files: &Files) -> Result<Option<Stamp>, OpenError> {
    let Some(file) = files.look()? else {
        return Ok(None);
    };
    let mut header = Vec::new();
    let read = file.take(100).read_to_end(&mut header);
    read.map_err(|source| OpenError::File { path: files.database().to_owned(), source })?;
    if header.is_empty() {
        return Ok(None);
    }
    let stamp = Stamp::of_header(&header).ok_or_else(|| OpenError::NotOurs { place: files.place() })?;
    if std::fs::metadata(files.wal()).is_ok_and(|wal| wal.len() > 0) {
        return stamp_behind_log(files).await.map(Some).map_err(|error| database_error(files, error));
    }
    // No stamp, and yet tables: another program's.
    if stamp == Stamp::BLANK && schema_cookie(&header) != Some(0) {
        return Err(OpenError::NotOurs { place: files.place() });
    }
    Ok(Some(stamp))
}

/// Counts the changes of the schema that a file has seen (section 1.3.9 of SQLite's file format).
fn schema_cookie(header: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(header.get(40..44)?.try_into().ok()?))
}

async fn stamp_behind_log(files: &Files) -> sqlx::Result<Stamp> {
    let mut connection = reading(files).connect().await?;
    let found = stamp(&mut connection).await;
    connection.close().await?;
    found
}

async fn stamp(connection: &mut SqliteConnection) -> sqlx::Result<Stamp> {
    let sql = "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok(Stamp { application: row.try_get(0)?, schema: row.try_get(1)? })
}

async fn has_tables(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").fetch_one(connection).await
}

/// Brings the schema up to date, in one transaction. Another process may have done it while this one waited for the lock.
async fn migrate(files: &Files, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let engine = |error: sqlx::Error| database_error(files, error);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(engine)?;
    let found = stamp(&mut transaction).await.map_err(engine)?;
    found.check(files)?;
    if found == Stamp::BLANK && has_tables(&mut transaction).await.map_err(engine)? {
        return Err(OpenError::NotOurs { place: files.place() });
    }
    for migration in MIGRATIONS.iter().skip(found.schema as usize) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(engine)?;
    }
    let stamp = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)).execute(&mut *transaction).await.map_err(engine)?;
    transaction.commit().await.map_err(engine)
}

impl Stamp {
    const CURRENT: Stamp = Stamp { application: APPLICATION_ID, schema: SCHEMA };
    /// Of a file that SQLite has made and nobody has written to: a first start that was interrupted.
    const BLANK: Stamp = Stamp { application: 0, schema: 0 };

    fn of_header(header: &[u8]) -> Option<Stamp> {
        let number = |at: usize| Some(i32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?).into());
        let schema = number(60)?;
        header.starts_with(b"SQLite format 3\0").then_some(Stamp { application: number(68)?, schema })
    }

    fn check(self, files: &Files) -> Result<(), OpenError> {
        let place = files.place();
        if self != Stamp::BLANK && self.application != APPLICATION_ID || self.schema < 0 {
            return Err(OpenError::NotOurs { place });
        }
        if self.schema > SCHEMA {
            return Err(OpenError::NewerSchema { place, found: self.schema, known: SCHEMA });
        }
        Ok(())
    }
}

/// Whether another connection holds a lock; the low byte of the extended code says so, whichever lock it is.
fn is_in_use(error: &StoreError) -> bool {
    const BUSY: i32 = 5;
    let code = error.0.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse().ok()).is_some_and(|code: i32| code & 0xFF == BUSY)
}

/// What the engine says about a file that is none of its own is not worth more than that.
pub(super) fn database_error(files: &Files, error: sqlx::Error) -> OpenError {
    const NOT_A_DATABASE: &str = "26";
    let place = files.place();
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) if code == NOT_A_DATABASE => OpenError::NotOurs { place },
        _ => OpenError::Database { place, source: StoreError::from(error) },
    }
}

#[expect(clippy::disallowed_methods, reason = "to open is to wait for others, which a driver does")]
fn now() -> Instant {
    Instant::now()
}
