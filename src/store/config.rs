//! `[store]`: where the data lies, and how much of what was refused is kept. `[database]`: which database it is.

use crate::setting::{Mistake, outside};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of the master keys, and of `sealgate.db` where that is the database.
    pub data_dir: PathBuf,
    /// Messages in quarantine, of all devices.
    pub quarantine_rows_max: u64,
    /// Their bytes in sum.
    pub quarantine_bytes_max: u64,
    /// Messages in quarantine, of one device: so that one broken device cannot push out what the others send.
    pub quarantine_device_rows_max: u64,
    /// Their bytes in sum.
    pub quarantine_device_bytes_max: u64,
    /// What becomes of messages while PostgreSQL is away.
    pub on_outage: OnOutage,
    /// Bytes that may wait in the spool; at the bound messages are held.
    pub spool_bytes_max: u64,
    /// How long a batch waits for the database before it is spooled.
    #[serde(with = "humantime_serde")]
    pub spool_after: Duration,
}

/// What becomes of messages while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOutage {
    /// They are held: nothing is acknowledged, and their connections wait.
    Hold,
    /// They go to this gateway's disk, and are acknowledged when they are there.
    Spool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: PathBuf::from("./sealgate-data"),
            quarantine_rows_max: 1_000_000,
            quarantine_bytes_max: 1 << 30,
            quarantine_device_rows_max: 1_000,
            quarantine_device_bytes_max: 8 << 20,
            on_outage: OnOutage::Hold,
            spool_bytes_max: 1 << 30,
            spool_after: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let unnamed = self.data_dir.as_os_str().is_empty();
        let found = [
            unnamed.then(|| ("data_dir", "a data directory has a name; the current one is `.`".to_owned())),
            outside("quarantine_rows_max", self.quarantine_rows_max, 0..=COUNT_MAX),
            outside("quarantine_bytes_max", self.quarantine_bytes_max, 0..=COUNT_MAX),
            outside("quarantine_device_rows_max", self.quarantine_device_rows_max, 0..=COUNT_MAX),
            outside("quarantine_device_bytes_max", self.quarantine_device_bytes_max, 0..=COUNT_MAX),
            outside("spool_bytes_max", self.spool_bytes_max, 64 * 1024..=COUNT_MAX),
            outside("spool_after", self.spool_after, Duration::from_millis(100)..=Duration::from_secs(3600)),
        ];
        found.into_iter().flatten().collect()
    }

    /// What does not fit the database.
    pub fn misfits(&self, database: &DatabaseConfig) -> Vec<Mistake> {
        let nothing_is_away = self.on_outage == OnOutage::Spool && database.url.is_empty();
        let sentence =
            "\"spool\" is for PostgreSQL: without database.url the database is a file on the same disk".to_owned();
        nothing_is_away.then_some(("on_outage", sentence)).into_iter().collect()
    }
}

/// The database counts in signed 64 bits.
const COUNT_MAX: u64 = i64::MAX as u64;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Which database, and how it is used.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// A URL of PostgreSQL; empty: the file `sealgate.db` in the data directory.
    pub url: String,
    /// Connections that write, each a batch at a time.
    pub writers: u32,
    /// How long a new connection may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a statement may take; then it is given up and tried again.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// How long readings and envelopes are kept, to the day; 0: for ever.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How long the audit log is kept; 0: for ever.
    #[serde(with = "humantime_serde")]
    pub audit_retention: Duration,
    /// Bytes of the database above which an alarm is raised; 0: none is. Nothing is refused for it.
    pub max_bytes: u64,
    /// The operator's word that a commit may be lost when the server crashes: without it a server that is set up so is refused.
    pub accept_lost_commits: bool,
}

impl Default for DatabaseConfig {
    fn default() -> DatabaseConfig {
        DatabaseConfig {
            url: String::new(),
            writers: 4,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            retention: Duration::ZERO,
            audit_retention: DAY * 90,
            max_bytes: 0,
            accept_lost_commits: false,
        }
    }
}

impl DatabaseConfig {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let is_known =
            self.url.is_empty() || ["postgres://", "postgresql://"].iter().any(|scheme| self.url.starts_with(scheme));
        // The URL itself is not repeated: it has a password.
        let unknown = "is not a URL of PostgreSQL: postgres://USER@HOST:PORT/DATABASE".to_owned();
        let times = Duration::from_millis(100)..=Duration::from_secs(3600);
        let found = [
            (!is_known).then_some(("url", unknown)),
            outside("writers", self.writers, 1..=64),
            outside("connect_timeout", self.connect_timeout, times.clone()),
            outside("statement_timeout", self.statement_timeout, times),
            self.retention_mistake(),
            outside("max_bytes", self.max_bytes, 0..=COUNT_MAX),
            self.audit_retention_mistake(),
        ];
        found.into_iter().flatten().collect()
    }

    fn retention_mistake(&self) -> Option<Mistake> {
        let is_set = !self.retention.is_zero();
        is_set.then(|| outside("retention", self.retention, DAY..=DAY * 36_500)).flatten()
    }

    fn audit_retention_mistake(&self) -> Option<Mistake> {
        let is_set = !self.audit_retention.is_zero();
        is_set.then(|| outside("audit_retention", self.audit_retention, DAY..=DAY * 36_500)).flatten()
    }
}

/// Without the URL, which has a password.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DatabaseConfig {
            url,
            writers,
            connect_timeout,
            statement_timeout,
            retention,
            audit_retention,
            max_bytes,
            accept_lost_commits,
        } = self;
        f.debug_struct("DatabaseConfig")
            .field("url", if url.is_empty() { &"" } else { &"…" })
            .field("writers", writers)
            .field("connect_timeout", connect_timeout)
            .field("statement_timeout", statement_timeout)
            .field("retention", retention)
            .field("audit_retention", audit_retention)
            .field("max_bytes", max_bytes)
            .field("accept_lost_commits", accept_lost_commits)
            .finish()
    }
}
