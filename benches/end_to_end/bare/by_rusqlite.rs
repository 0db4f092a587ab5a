//! The bare insert through rusqlite: SQLite's own calls, on the calling thread.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, Statement};

use super::{CONTENT_FORMAT, ENVELOPE, Order, PRAGMAS, READING, SEEN, Tables, Took, Way, in_order, insert, timed};
use crate::fleet::name;
use crate::rows::{Message, Rows};

/// What the gateway's tables say, as one would write it down first.
const PLAINEST: &str = "
    CREATE TABLE plain_envelope (device_id TEXT NOT NULL, key_version INTEGER NOT NULL, counter INTEGER NOT NULL, tag BLOB NOT NULL,
        device_time INTEGER, received_at INTEGER NOT NULL, encoding TEXT NOT NULL, content_format INTEGER NOT NULL,
        bytes BLOB NOT NULL, PRIMARY KEY (device_id, key_version, counter)) STRICT;
    CREATE INDEX plain_envelope_by_time ON plain_envelope (device_id, received_at);
    CREATE TABLE plain_reading (device_id TEXT NOT NULL, time INTEGER NOT NULL, name TEXT NOT NULL, unit TEXT, value REAL, text TEXT,
        sum REAL, key_version INTEGER NOT NULL, counter INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;
    CREATE INDEX plain_reading_by_time ON plain_reading (device_id, time);";
const PLAIN_ENVELOPE: (&str, usize) = (
    "plain_envelope (device_id, key_version, counter, tag, device_time, received_at, encoding, content_format, bytes)",
    9,
);
const PLAIN_READING: (&str, usize) =
    ("plain_reading (device_id, time, name, unit, value, text, sum, key_version, counter, place)", 10);

/// The statement of one table, for many rows and for one.
struct Insert<'c> {
    columns: usize,
    many: Statement<'c>,
    rows: usize,
    one: Statement<'c>,
}

struct Inserts<'c> {
    seen: Insert<'c>,
    envelope: Insert<'c>,
    reading: Insert<'c>,
    encoding: i64,
}

pub(super) fn run(database: &Path, rows: &Rows, way: Way, batch: usize) -> Result<Took> {
    let connection = Connection::open(database)?;
    connection.execute_batch(PRAGMAS)?;
    let prepare = |table: (&str, usize)| -> Result<Insert<'_>> {
        let many = connection.prepare(&insert(table, way.statement_rows))?;
        Ok(Insert { columns: table.1, many, rows: way.statement_rows, one: connection.prepare(&insert(table, 1))? })
    };
    let (mut begin, mut commit) = (connection.prepare("BEGIN IMMEDIATE")?, connection.prepare("COMMIT")?);
    if way.tables == Tables::Plainest {
        connection.execute_batch(PLAINEST)?;
        let mut inserts = PlainInserts {
            envelope: prepare(PLAIN_ENVELOPE)?,
            reading: prepare(PLAIN_READING)?,
            names: (0..).map(name).take(rows.devices()).collect(),
            words: rows.words.iter().map(|(word, number)| (*number, word.as_str())).collect(),
        };
        return timed(rows, batch, |messages| {
            begin.execute([])?;
            inserts.write(messages)?;
            commit.execute([])?;
            Ok(())
        });
    }
    let encoding = rows.words["frame"];
    let mut inserts =
        Inserts { seen: prepare(SEEN)?, envelope: prepare(ENVELOPE)?, reading: prepare(READING)?, encoding };
    timed(rows, batch, |messages| {
        begin.execute([])?;
        inserts.write(way.order, messages)?;
        commit.execute([])?;
        Ok(())
    })
}

impl Inserts<'_> {
    fn write(&mut self, order: Order, messages: &[Message]) -> Result<()> {
        if order == Order::Message {
            return messages.iter().try_for_each(|message| self.write_tables(&[message], &[message]));
        }
        let as_they_came: Vec<&Message> = messages.iter().collect();
        self.write_tables(&as_they_came, &in_order(order, messages))
    }

    /// Envelopes have the key of their arrival, the other two that of their device.
    fn write_tables(&mut self, as_they_came: &[&Message], by_device: &[&Message]) -> Result<()> {
        self.seen.write(by_device.len(), |nth, row| {
            let message = by_device[nth];
            row.bind(message.device)?;
            row.bind(message.key_version)?;
            row.bind(message.counter)?;
            row.bind(&message.tag)?;
            row.bind(message.id)
        })?;
        let encoding = self.encoding;
        self.envelope.write(as_they_came.len(), |nth, row| {
            let message = as_they_came[nth];
            row.bind(message.id)?;
            row.bind(message.device)?;
            row.bind(message.key_version)?;
            row.bind(message.counter)?;
            row.bind(message.time_ms)?;
            row.bind(message.time_ms)?;
            row.bind(encoding)?;
            row.bind(CONTENT_FORMAT)?;
            row.bind(&message.bytes)
        })?;
        let readings: Vec<(&Message, usize)> =
            by_device.iter().flat_map(|message| (0..message.readings.len()).map(|place| (*message, place))).collect();
        self.reading.write(readings.len(), |nth, row| {
            let (message, place) = readings[nth];
            let reading = &message.readings[place];
            row.bind(message.device)?;
            row.bind(reading.time_ms)?;
            row.bind(message.id)?;
            row.bind(place as i64)?;
            row.bind(reading.name)?;
            row.bind(reading.unit)?;
            row.bind(reading.value)?;
            row.skip();
            row.skip();
            Ok(())
        })
    }
}

/// The statements of the plainest tables, and what stands in each of their rows.
struct PlainInserts<'c, 'r> {
    envelope: Insert<'c>,
    reading: Insert<'c>,
    /// Of devices, from number 1 on.
    names: Vec<String>,
    words: HashMap<i64, &'r str>,
}

impl PlainInserts<'_, '_> {
    fn write(&mut self, messages: &[Message]) -> Result<()> {
        let (names, words) = (&self.names, &self.words);
        let name = |message: &Message| names[message.device as usize - 1].as_str();
        self.envelope.write(messages.len(), |nth, row| {
            let message = &messages[nth];
            row.bind(name(message))?;
            row.bind(message.key_version)?;
            row.bind(message.counter)?;
            row.bind(&message.tag)?;
            row.bind(message.time_ms)?;
            row.bind(message.time_ms)?;
            row.bind("frame")?;
            row.bind(CONTENT_FORMAT)?;
            row.bind(&message.bytes)
        })?;
        let readings: Vec<(&Message, usize)> = messages
            .iter()
            .flat_map(|message| (0..message.readings.len()).map(move |place| (message, place)))
            .collect();
        self.reading.write(readings.len(), |nth, row| {
            let (message, place) = readings[nth];
            let reading = &message.readings[place];
            row.bind(name(message))?;
            row.bind(reading.time_ms)?;
            row.bind(words[&reading.name])?;
            row.bind(reading.unit.map(|unit| words[&unit]))?;
            row.bind(reading.value)?;
            row.skip();
            row.skip();
            row.bind(message.key_version)?;
            row.bind(message.counter)?;
            row.bind(place as i64)
        })
    }
}

/// Where a row's values go; what is skipped stays null, as it was before.
struct Row<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl Row<'_, '_> {
    fn bind(&mut self, value: impl rusqlite::ToSql) -> Result<()> {
        self.next += 1;
        Ok(self.statement.raw_bind_parameter(self.next, value)?)
    }

    fn skip(&mut self) {
        self.next += 1;
    }
}

impl Insert<'_> {
    fn write(&mut self, count: usize, mut bind: impl FnMut(usize, &mut Row<'_, '_>) -> Result<()>) -> Result<()> {
        let whole = count / self.rows * self.rows;
        for first in (0..whole).step_by(self.rows) {
            for nth in 0..self.rows {
                bind(first + nth, &mut Row { statement: &mut self.many, next: nth * self.columns })?;
            }
            self.many.raw_execute()?;
        }
        for nth in whole..count {
            bind(nth, &mut Row { statement: &mut self.one, next: 0 })?;
            self.one.raw_execute()?;
        }
        Ok(())
    }
}
