//! What was acknowledged, one JSON object a line, for a checker to hold against the database.
//!
//! A line is written when the acknowledgement has come: at MQTT 5 a PUBACK below 0x80; at 3.1.1, which has no codes, the PUBACK of
//! a message with which nothing was made to go wrong. What stands here must be in the database.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// An open ledger; clones write into the same.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<BufWriter<File>>>);

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
    /// A new and empty file; one that is there is overwritten.
    pub fn create(path: &Path) -> io::Result<Ledger> {
        Ok(Ledger(Arc::new(Mutex::new(BufWriter::new(File::create(path)?)))))
    }

    /// Writes what is still in memory.
    pub fn flush(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }

    pub(super) fn write(&self, line: &Acknowledged) -> io::Result<()> {
        let mut text = serde_json::to_string(line).expect("strings and numbers are JSON");
        text.push('\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
    }
}

/// The hash by which an envelope is known in a ledger.
pub(super) fn sha256_hex(envelope: &[u8]) -> String {
    hex::encode(Sha256::digest(envelope))
}
