//! `[store]`: where the data lies, and how much of what was refused is kept.

use serde::Deserialize;
use std::path::PathBuf;

/// The settings of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of `sealgate.db`.
    pub data_dir: PathBuf,
    /// Messages in quarantine, of all devices.
    pub quarantine_rows_max: u64,
    /// Their bytes in sum.
    pub quarantine_bytes_max: u64,
    /// Messages in quarantine, of one device: so that one broken device cannot push out what the others send.
    pub quarantine_device_rows_max: u64,
    /// Their bytes in sum.
    pub quarantine_device_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: PathBuf::from("./sealgate-data"),
            quarantine_rows_max: 1_000_000,
            quarantine_bytes_max: 1 << 30,
            quarantine_device_rows_max: 1_000,
            quarantine_device_bytes_max: 8 << 20,
        }
    }
}
