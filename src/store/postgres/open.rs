//! Opening the database: look first, and change nothing that is not ours or that is newer than we are.
//!
//! A database, or the schema that the search path begins with, is ours by its table `meta`, in which the number of the schema stands.
//! One that holds anything else is left alone. Gateways that start at once wait for each other: an advisory lock is held while
//! anything is made.

use super::fault;
use crate::store::{DatabaseConfig, OpenError, StoreError};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use std::str::FromStr as _;
use std::time::Duration;

/// Schemas by number: the first is 1.
const MIGRATIONS: [&str; 9] = [
    include_str!("../migrations/postgres/0001_the_house.sql"),
    include_str!("../migrations/postgres/0002_retention.sql"),
    include_str!("../migrations/postgres/0003_checkpoints.sql"),
    include_str!("../migrations/postgres/0004_nodes.sql"),
    include_str!("../migrations/postgres/0005_device_group.sql"),
    include_str!("../migrations/postgres/0006_refusals.sql"),
    include_str!("../migrations/postgres/0007_identity.sql"),
    include_str!("../migrations/postgres/0008_issuers.sql"),
    include_str!("../migrations/postgres/0009_keys.sql"),
];

/// The newest schema that this version knows.
const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Whoever changes the schema or its partitions holds this advisory lock: `Seal`, and which schema it is.
pub(super) const LOCK: &str = "1399153004, hashtext(current_schema())";

/// How a connection is opened, and how the database is called where it is spoken of: never by the whole URL, which has a password.
pub(super) fn options(database: &DatabaseConfig) -> sqlx::Result<(PgConnectOptions, String)> {
    let options = PgConnectOptions::from_str(&database.url)?;
    let place = format!("{} on {}", options.get_database().unwrap_or(options.get_username()), server(&options));
    let millis = |time: Duration| time.as_millis().to_string();
    let options = options
        .application_name("sealgate")
        .options([
            // A gateway that is cut off leaves locks behind: the server ends its transaction.
            ("idle_in_transaction_session_timeout", millis(database.statement_timeout)),
            ("statement_timeout", millis(database.statement_timeout)),
            ("tcp_user_timeout", millis(database.statement_timeout)),
            // No statement here is worth being compiled.
            ("jit", "off".to_owned()),
            ("TimeZone", "UTC".to_owned()),
        ])
        .disable_statement_logging();
    Ok((options, place))
}

fn server(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Brings the database to our schema, if it is ours or empty, and looks whether its commits are durable.
pub(super) async fn open(options: &PgConnectOptions, place: &str, database: &DatabaseConfig) -> Result<(), OpenError> {
    let engine = |error: sqlx::Error| OpenError::Database { place: place.to_owned(), source: StoreError::from(error) };
    let mut connection = options.connect().await.map_err(engine)?;
    if !database.accept_lost_commits {
        check_durability(&mut connection, place).await?;
    }
    let mut transaction = connection.begin().await.map_err(engine)?;
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *transaction).await.map_err(engine)?;
    let found = schema(&mut transaction, place).await?;
    for migration in MIGRATIONS.iter().skip(found as usize) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(engine)?;
    }
    let sql =
        "INSERT INTO meta (key, number) VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET number = excluded.number";
    sqlx::query(sql).bind(SCHEMA).execute(&mut *transaction).await.map_err(engine)?;
    transaction.commit().await.map_err(engine)?;
    connection.close().await.map_err(engine)
}

/// The number of the schema that is there; 0: nothing is.
async fn schema(connection: &mut PgConnection, place: &str) -> Result<i64, OpenError> {
    let engine = |error: sqlx::Error| OpenError::Database { place: place.to_owned(), source: StoreError::from(error) };
    let not_ours = || OpenError::NotOurs { place: place.to_owned() };
    let sql = "SELECT count(*), count(*) FILTER (WHERE relname = 'meta' AND relkind = 'r')
        FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')";
    let (all, meta): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *connection).await.map_err(engine)?;
    if all == 0 {
        return Ok(0);
    }
    if meta == 0 {
        return Err(not_ours());
    }
    let sql = "SELECT number FROM meta WHERE key = 'schema'";
    let found: Result<Option<Option<i64>>, _> = sqlx::query_scalar(sql).fetch_optional(connection).await;
    let found = match found {
        Ok(found) => found.flatten().filter(|found| *found > 0).ok_or_else(not_ours)?,
        // A table of that name and of other columns.
        Err(error) if fault::is_another_schema(&error) => return Err(not_ours()),
        Err(error) => return Err(engine(error)),
    };
    if found > SCHEMA {
        return Err(OpenError::NewerSchema { place: place.to_owned(), found, known: SCHEMA });
    }
    Ok(found)
}

/// With these a server says that a commit is done before it is, and an acknowledgement would be a lie.
async fn check_durability(connection: &mut PgConnection, place: &str) -> Result<(), OpenError> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: Result<String, _> =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut *connection).await;
        let value = value.map_err(|error| OpenError::Database { place: place.to_owned(), source: error.into() })?;
        if value == "off" {
            return Err(OpenError::LosesCommits { place: place.to_owned(), setting });
        }
    }
    Ok(())
}
