//! The rows that a fleet's messages become: for the bare insert, and for counting them afterwards.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use sealgate::ingest::content;
use sealgate::store::Value;

use super::fleet::{Device, Envelope, Fleet};

/// Rows of a message in each table and each view.
pub(crate) const OF_A_MESSAGE: [(&str, usize); 5] =
    [("seen", 1), ("envelope", 1), ("reading", 2), ("envelopes", 1), ("readings", 2)];
const SENML_JSON: u16 = 110;
/// Of a frame: the tag stands before the CRC.
const TAG_FROM_END: std::ops::Range<usize> = 4..36;

/// What one message writes: a row in `seen`, one in `envelope`, one in `reading` for each value.
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) device: i64,
    pub(crate) key_version: i64,
    pub(crate) counter: i64,
    pub(crate) time_ms: i64,
    pub(crate) tag: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) readings: Vec<Reading>,
}

/// With the numbers of its words.
pub(crate) struct Reading {
    pub(crate) time_ms: i64,
    pub(crate) name: i64,
    pub(crate) unit: Option<i64>,
    pub(crate) value: f64,
}

/// All messages in the order in which a fleet that sends evenly sends them, and the words that they use.
pub(crate) struct Rows {
    pub(crate) messages: Vec<Message>,
    pub(crate) words: HashMap<String, i64>,
}

impl Rows {
    pub(crate) fn of(fleet: &Fleet) -> Result<Rows> {
        let mut rows = Rows { messages: Vec::with_capacity(fleet.len()), words: HashMap::new() };
        rows.number("frame");
        let most = fleet.devices.iter().map(|device| device.envelopes.len()).max().unwrap_or(0);
        for index in 0..most {
            for (device, Device { envelopes, .. }) in (1..).zip(&fleet.devices) {
                rows.push(device, envelopes.get(index).context("devices send equally many")?)?;
            }
        }
        Ok(rows)
    }

    fn push(&mut self, device: i64, envelope: &Envelope) -> Result<()> {
        let Envelope { bytes, time_ms, .. } = envelope;
        let tag = bytes.len() - TAG_FROM_END.end..bytes.len() - TAG_FROM_END.start;
        let payload = content::decode(Some(SENML_JSON), &bytes[24..tag.start], *time_ms)?;
        let mut readings = Vec::with_capacity(payload.len());
        for reading in payload {
            let Some(Value::Number(value)) = reading.value else { continue };
            let (name, unit) = (self.number(&reading.name), reading.unit.map(|unit| self.number(&unit)));
            readings.push(Reading { time_ms: reading.time_ms, name, unit, value });
        }
        self.messages.push(Message {
            id: self.messages.len() as i64 + 1,
            device,
            key_version: envelope.key_version.into(),
            counter: i64::try_from(envelope.counter)?,
            time_ms: *time_ms,
            tag: bytes[tag].to_vec(),
            bytes: bytes.clone(),
            readings,
        });
        Ok(())
    }

    /// How many devices there are: they bear the numbers from 1 on.
    pub(crate) fn devices(&self) -> usize {
        self.messages.iter().map(|message| message.device as usize).max().unwrap_or(0)
    }

    fn number(&mut self, word: &str) -> i64 {
        let next = self.words.len() as i64 + 1;
        *self.words.entry(word.to_owned()).or_insert(next)
    }
}

/// Adds the names and words that the rows have numbers of.
pub(crate) fn name(database: &Path, rows: &Rows, devices: usize) -> Result<()> {
    let connection = Connection::open(database)?;
    for (number, id) in (0..devices).zip(1..) {
        let sql = "INSERT INTO device_name VALUES (?, ?) ON CONFLICT DO NOTHING";
        connection.execute(sql, (id, super::fleet::name(number)))?;
    }
    for (word, id) in &rows.words {
        connection.execute("INSERT INTO label VALUES (?, ?)", (id, word))?;
    }
    Ok(())
}

/// Each message has its rows, and the views show them.
pub(crate) fn check(database: &Path, messages: usize) -> Result<()> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    for (table, rows) in OF_A_MESSAGE {
        let found: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        ensure!(found == (messages * rows) as i64, "{table} has {found} rows of {messages} messages");
    }
    Ok(())
}
