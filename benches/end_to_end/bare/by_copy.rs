//! The bare insert by binary COPY, <https://www.postgresql.org/docs/15/sql-copy.html>, section "Binary Format".

use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::Tables;
use crate::Options;
use crate::common::process::now;
use crate::fleet::name;
use crate::place::Place;
use crate::rows::{Message, Rows};
use crate::server;

const PLAINEST: &str = "
    CREATE TABLE plain_envelope (device_id text NOT NULL, key_version smallint NOT NULL, counter bigint NOT NULL, tag bytea NOT NULL,
        device_time timestamptz, received_at timestamptz NOT NULL, encoding text NOT NULL, content_format integer NOT NULL,
        bytes bytea NOT NULL, PRIMARY KEY (device_id, key_version, counter));
    CREATE INDEX ON plain_envelope (device_id, received_at);
    CREATE TABLE plain_reading (device_id text NOT NULL, time timestamptz NOT NULL, name text NOT NULL, unit text,
        value double precision, text text, sum double precision, key_version smallint NOT NULL, counter bigint NOT NULL,
        place smallint NOT NULL);
    CREATE INDEX ON plain_reading (device_id, time);";

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const EPOCH_MS: i64 = 946_684_800_000;
const CONTENT_FORMAT: i32 = 110;

/// Messages a second, through the Unix socket, which is the fastest way that the server has.
pub(super) fn run(rows: &Arc<Rows>, options: &Options, tables: Tables, connections: usize) -> Result<f64> {
    let place = Place::new("bare-postgres", true)?;
    // Whoever opens the database first makes the tables, and a gateway that serves makes the partitions.
    place.house.add_devices(&[name(0)])?;
    drop(place.house.serve(&[])?);
    let url = place.url().context("it is over PostgreSQL")?;
    if tables == Tables::Plainest {
        server::run(url, PLAINEST);
    }
    let socket = server::run(url, "SHOW unix_socket_directories");
    let (batch, total) = (options.devices * options.window, rows.messages.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(connections).enable_all().build()?;
    let took = runtime.block_on(async {
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(PgConnectOptions::from_str(url)?.socket(&socket).connect().await?);
        }
        let began = now();
        let mut inserting = tokio::task::JoinSet::new();
        for (number, mut connection) in opened.into_iter().enumerate() {
            let rows = rows.clone();
            inserting.spawn(async move {
                for messages in rows.messages.chunks(batch).skip(number).step_by(connections) {
                    insert(&mut connection, tables, messages, &rows.words).await?;
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(inserted) = inserting.join_next().await {
            inserted??;
        }
        Ok::<_, anyhow::Error>(now() - began)
    })?;
    let table = if tables == Tables::Ours { "reading" } else { "plain_reading" };
    let found: usize = server::run(url, &format!("SELECT count(*) FROM {table}")).parse()?;
    ensure!(found == 2 * total, "{table} has {found} rows of {total} messages");
    Ok(total as f64 / took.as_secs_f64())
}

async fn insert(
    connection: &mut PgConnection,
    tables: Tables,
    messages: &[Message],
    words: &std::collections::HashMap<String, i64>,
) -> Result<()> {
    let mut transaction = connection.begin().await?;
    match tables {
        Tables::Ours => {
            let mut seen = Copy::new(5);
            let mut envelopes = Copy::new(9);
            let mut readings = Copy::new(8);
            for message in messages {
                seen.row();
                seen.int(message.device as i32).short(message.key_version as i16).long(message.counter);
                seen.bytes(&message.tag).long(message.id);
                envelopes.row();
                envelopes.time(message.time_ms).long(message.id).long(message.counter).time(message.time_ms);
                envelopes.int(message.device as i32).int(1).int(CONTENT_FORMAT).short(message.key_version as i16);
                envelopes.bytes(&message.bytes);
                for (place, reading) in (0..).zip(&message.readings) {
                    readings.row();
                    readings.time(reading.time_ms).long(message.id).double(reading.value).int(message.device as i32);
                    readings.int(reading.name as i32).int_or_null(reading.unit).short(place).null();
                }
            }
            seen.send(&mut transaction, "seen (device, key_version, counter, tag, envelope)").await?;
            let columns = "envelope (received_at, id, counter, device_time, device, encoding, content_format, key_version, bytes)";
            envelopes.send(&mut transaction, columns).await?;
            readings.send(&mut transaction, "reading (time, envelope, value, device, name, unit, place, text)").await?;
        }
        Tables::Plainest => {
            let text = |number: i64| words.iter().find(|(_, id)| **id == number).map(|(word, _)| word.as_str());
            let mut envelopes = Copy::new(9);
            let mut readings = Copy::new(9);
            for message in messages {
                let device = name(usize::try_from(message.device)? - 1);
                envelopes.row();
                envelopes.bytes(device.as_bytes()).short(message.key_version as i16).long(message.counter);
                envelopes.bytes(&message.tag).time(message.time_ms).time(message.time_ms).bytes(b"frame");
                envelopes.int(CONTENT_FORMAT).bytes(&message.bytes);
                for (place, reading) in (0..).zip(&message.readings) {
                    readings.row();
                    readings.bytes(device.as_bytes()).time(reading.time_ms);
                    readings.bytes(text(reading.name).context("it has a name")?.as_bytes());
                    match reading.unit.and_then(text) {
                        Some(unit) => readings.bytes(unit.as_bytes()),
                        None => readings.null(),
                    };
                    readings
                        .double(reading.value)
                        .null()
                        .short(message.key_version as i16)
                        .long(message.counter)
                        .short(place);
                }
            }
            let columns = "plain_envelope (device_id, key_version, counter, tag, device_time, received_at, encoding, content_format, bytes)";
            envelopes.send(&mut transaction, columns).await?;
            let columns = "plain_reading (device_id, time, name, unit, value, text, key_version, counter, place)";
            readings.send(&mut transaction, columns).await?;
        }
    }
    Ok(transaction.commit().await?)
}

/// Rows in the binary format.
struct Copy {
    bytes: Vec<u8>,
    columns: i16,
}

impl Copy {
    fn new(columns: i16) -> Copy {
        Copy { bytes: HEADER.to_vec(), columns }
    }

    fn row(&mut self) {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
    }

    fn bytes(&mut self, value: &[u8]) -> &mut Copy {
        self.bytes.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    fn null(&mut self) -> &mut Copy {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    fn short(&mut self, value: i16) -> &mut Copy {
        self.bytes(&value.to_be_bytes())
    }

    fn int(&mut self, value: i32) -> &mut Copy {
        self.bytes(&value.to_be_bytes())
    }

    fn int_or_null(&mut self, value: Option<i64>) -> &mut Copy {
        match value {
            Some(value) => self.int(value as i32),
            None => self.null(),
        }
    }

    fn long(&mut self, value: i64) -> &mut Copy {
        self.bytes(&value.to_be_bytes())
    }

    fn double(&mut self, value: f64) -> &mut Copy {
        self.bytes(&value.to_be_bytes())
    }

    fn time(&mut self, ms: i64) -> &mut Copy {
        self.long((ms - EPOCH_MS) * 1000)
    }

    async fn send(mut self, connection: &mut PgConnection, table: &str) -> Result<()> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut copy = connection.copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
        copy.send(self.bytes).await?;
        copy.finish().await?;
        Ok(())
    }
}
