//! The store over real files, and what its tests share.

mod audit;
mod commit;
mod commit_faults;
mod evidence;
mod model;
mod opening;
mod opening_postgres;
mod presence;
mod quarantine;
mod readings;
mod registry;
mod retention;
#[path = "../../../tests/gateway/harness/postgres.rs"]
mod server;
mod spool;

use super::*;
use server::Postgres as Server;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the face promises, whichever database is behind it: the test runs once over each.
macro_rules! over_both {
    ($($(#[$attribute:meta])* async fn $name:ident($dir:ident) $test:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn test($dir: TempDir) $test

            #[tokio::test]
            async fn sqlite() {
                test(TempDir::new()).await;
            }

            #[tokio::test]
            async fn postgres() {
                test(TempDir::on_postgres()).await;
            }
        }
    )*};
}
use over_both;

/// A directory that goes when the test ends, and a database of its own.
struct TempDir(PathBuf, DatabaseConfig);

impl TempDir {
    /// With the database in the directory.
    fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sealgate-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path, DatabaseConfig::default())
    }

    /// With a schema on a server that all tests share.
    fn on_postgres() -> TempDir {
        let mut dir = TempDir::new();
        dir.1.url = Server::shared().schema();
        dir
    }

    fn config(&self) -> Config {
        Config { data_dir: self.0.join("data"), ..Config::default() }
    }

    async fn store(&self) -> Store {
        Store::open(&self.config(), &self.1).await.unwrap()
    }

    fn database(&self) -> PathBuf {
        self.0.join("data/sealgate.db")
    }

    /// Another hand on the database.
    async fn shell(&self) -> Shell {
        match self.1.url.as_str() {
            "" => shell(&self.database()).await,
            url => Shell::Postgres(PgConnectOptions::from_str(url).unwrap().connect().await.unwrap()),
        }
    }

    /// What is said in one database's SQL or the other's.
    fn in_sql_of<'s>(&self, sqlite: &'s str, postgres: &'s str) -> &'s str {
        if self.1.url.is_empty() { sqlite } else { postgres }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

enum Shell {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Shell {
    async fn close(self) {
        match self {
            Shell::Sqlite(connection) => connection.close().await.unwrap(),
            Shell::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

/// A connection as SQLite's shell makes it: without foreign keys.
async fn shell(database: &Path) -> Shell {
    Shell::Sqlite(SqliteConnectOptions::new().filename(database).foreign_keys(false).connect().await.unwrap())
}

async fn count(shell: &mut Shell, from: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {from}"));
    let counted = match shell {
        Shell::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
        Shell::Postgres(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
    };
    counted.unwrap()
}

/// The first column of each row; a text.
async fn texts(shell: &mut Shell, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(sql.to_owned());
    let texts = match shell {
        Shell::Sqlite(connection) => sqlx::query_scalar(sql).fetch_all(connection).await,
        Shell::Postgres(connection) => sqlx::query_scalar(sql).fetch_all(connection).await,
    };
    texts.unwrap()
}

async fn try_run(shell: &mut Shell, sql: &str) -> Result<(), sqlx::Error> {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match shell {
        Shell::Sqlite(connection) => sql.execute(connection).await.map(|_| ()),
        Shell::Postgres(connection) => sql.execute(connection).await.map(|_| ()),
    }
}

async fn run(shell: &mut Shell, sql: &str) {
    try_run(shell, sql).await.unwrap();
}

/// A row that only the database refuses: a reading of this name.
async fn poison(dir: &TempDir) {
    let sqlite = "CREATE TRIGGER poison BEFORE INSERT ON label WHEN NEW.text = 'poison' BEGIN
        SELECT RAISE(ABORT, 'no such word'); END";
    let postgres = "ALTER TABLE label ADD CONSTRAINT poison CHECK (text <> 'poison')";
    run(&mut dir.shell().await, dir.in_sql_of(sqlite, postgres)).await;
}

fn new_device(device_id: &str) -> NewDevice {
    NewDevice {
        device_id: device_id.into(),
        client_id: format!("client-of-{device_id}"),
        secret_sha256: [7; 32],
        key_version_min: 1,
        group: None,
        issuer: None,
        created_at_ms: 1_000,
    }
}

pub(super) fn seen(device: i64, counter: i64, tag: &[u8]) -> Seen {
    Seen { device, key_version: 1, counter, tag: Tag::new(tag).unwrap() }
}

pub(super) fn accepted(seen: Seen) -> Entry {
    accepted_with(seen, vec![number("temperature", 21.5)])
}

fn accepted_with(seen: Seen, readings: Vec<Reading>) -> Entry {
    Entry::Accepted(Accepted {
        device_id: format!("d{}", seen.device).into(),
        seen,
        device_time_ms: Some(1_000),
        received_at_ms: 2_000,
        encoding: "frame",
        content_format: 110,
        bytes: format!("{} {:?}", seen.counter, seen.tag).into(),
        readings,
    })
}

fn number(name: &str, value: f64) -> Reading {
    let value = Some(Value::Number(value));
    Reading { name: name.to_owned(), unit: Some("Cel".to_owned()), time_ms: 1_000, value, sum: None }
}

pub(super) fn refused(reason: &'static str, unless_stored: Option<Seen>) -> Entry {
    let device_id = unless_stored.map_or("d1".into(), |seen| format!("d{}", seen.device).into());
    let bytes = "0123456789".into();
    Entry::Refused(Refused { device_id, received_at_ms: 2_000, reason, encoding: "frame", bytes, unless_stored })
}
