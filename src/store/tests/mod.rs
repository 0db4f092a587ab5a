//! The store over real files, and what its tests share.

mod commit;
mod commit_faults;
mod model;
mod opening;
mod presence;
mod quarantine;
mod registry;

use super::*;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes when the test ends.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sealgate-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    fn config(&self) -> Config {
        Config { data_dir: self.0.join("data"), ..Config::default() }
    }

    async fn store(&self) -> Store {
        Store::open(&self.config()).await.unwrap()
    }

    fn database(&self) -> PathBuf {
        self.0.join("data/sealgate.db")
    }

    /// Another hand on the file.
    async fn shell(&self) -> SqliteConnection {
        shell(&self.database()).await
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A connection as a shell makes it: without foreign keys.
async fn shell(database: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(database).foreign_keys(false).connect().await.unwrap()
}

async fn count(shell: &mut SqliteConnection, from: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {from}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(shell).await.unwrap()
}

async fn run(shell: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(shell).await.unwrap();
}

fn new_device(device_id: &str) -> NewDevice {
    NewDevice {
        device_id: device_id.into(),
        client_id: format!("client-of-{device_id}"),
        secret_sha256: [7; 32],
        key_version_min: 1,
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
