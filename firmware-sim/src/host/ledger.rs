//! What was acknowledged, one JSON object a line, for a checker to hold against the database.
//!
//! A line is written when the acknowledgement has come: at MQTT 5 a PUBACK below 0x80; at 3.1.1, which has no codes, the PUBACK of
//! a message with which nothing was made to go wrong. What stands here must be in the database, unless the gateway refused at 3.1.1
//! what nobody had made go wrong, a device that was disabled for example; its counts of refusals tell.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// An open ledger; clones write into the same.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Inner>>);

struct Inner {
    file: BufWriter<File>,
    /// Why nothing more is written.
    broken: Option<io::Error>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The device that sealed it.
    pub device: String,
    /// Its key's version.
    pub key_version: u8,
    /// Its counter.
    pub counter: u64,
    /// SHA-256 of the envelope, in hexadecimal.
    pub sha256: String,
    /// The version of MQTT over which it went.
    pub mqtt: String,
}

impl Ledger {
    /// A new and empty file; one that is there is somebody's and stays.
    pub fn create(path: &Path) -> io::Result<Ledger> {
        Ok(Ledger(Arc::new(Mutex::new(Inner { file: BufWriter::new(File::create_new(path)?), broken: None }))))
    }

    /// Writes what is still in memory. An error says that lines are missing, be it from an earlier write.
    pub fn flush(&self) -> io::Result<()> {
        let mut inner = self.locked();
        match inner.broken.take() {
            Some(broken) => Err(broken),
            None => inner.file.flush(),
        }
    }

    /// Writes a line. What goes wrong is told by [`Ledger::flush`]: a device has no use for it.
    pub(super) fn write(&self, line: &Acknowledged) {
        let mut text = serde_json::to_string(line).expect("strings and numbers are JSON");
        text.push('\n');
        let mut inner = self.locked();
        if inner.broken.is_none() {
            inner.broken = inner.file.write_all(text.as_bytes()).err();
        }
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash by which an envelope is known in a ledger.
pub(super) fn sha256_hex(envelope: &[u8]) -> String {
    hex::encode(Sha256::digest(envelope))
}
