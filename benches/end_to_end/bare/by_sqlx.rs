//! The bare insert through sqlx, which runs SQLite on a thread of its own.

use std::path::Path;

use anyhow::Result;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Encode, Sqlite, Type};

use super::{CONTENT_FORMAT, ENVELOPE, PRAGMAS, READING, SEEN, Took, Way, in_order, insert, timed};
use crate::rows::{Message, Rows};

pub(super) fn run(database: &Path, rows: &Rows, way: Way, batch: usize) -> Result<Took> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = SqliteConnectOptions::new().filename(database).disable_statement_logging();
    let mut connection = runtime.block_on(options.connect())?;
    runtime.block_on(sqlx::raw_sql(PRAGMAS).execute(&mut connection))?;
    let encoding = rows.words["frame"];
    timed(rows, batch, |messages| runtime.block_on(commit(&mut connection, way, messages, encoding)))
}

async fn commit(connection: &mut SqliteConnection, way: Way, messages: &[Message], encoding: i64) -> Result<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let by_device = in_order(way.order, messages);
    write(connection, SEEN, way, &by_device, |message, row| {
        row.add(message.device);
        row.add(message.key_version);
        row.add(message.counter);
        row.add(&message.tag);
        row.add(message.id);
    })
    .await?;
    let as_they_came: Vec<&Message> = messages.iter().collect();
    write(connection, ENVELOPE, way, &as_they_came, |message, row| {
        row.add(message.id);
        row.add(message.device);
        row.add(message.key_version);
        row.add(message.counter);
        row.add(message.time_ms);
        row.add(message.time_ms);
        row.add(encoding);
        row.add(CONTENT_FORMAT);
        row.add(&message.bytes);
    })
    .await?;
    let readings: Vec<(&Message, usize)> =
        by_device.iter().flat_map(|message| (0..message.readings.len()).map(|place| (*message, place))).collect();
    write(connection, READING, way, &readings, |(message, place), row| {
        let reading = &message.readings[*place];
        row.add(message.device);
        row.add(reading.time_ms);
        row.add(message.id);
        row.add(*place as i64);
        row.add(reading.name);
        row.add(reading.unit);
        row.add(reading.value);
        row.add(None::<&str>);
        row.add(None::<f64>);
    })
    .await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(())
}

struct Row(SqliteArguments);

impl Row {
    fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        self.0.add(value).expect("numbers, text and bytes are bound as they are");
    }
}

/// As many statements of many rows as there are, and the rest in one more of another text.
async fn write<T>(
    connection: &mut SqliteConnection,
    table: (&str, usize),
    way: Way,
    rows: &[T],
    bind: impl Fn(&T, &mut Row),
) -> Result<()> {
    for part in rows.chunks(way.statement_rows) {
        let mut arguments = Row(SqliteArguments::default());
        part.iter().for_each(|row| bind(row, &mut arguments));
        let sql = insert(table, part.len());
        sqlx::query_with(AssertSqlSafe(sql), arguments.0).execute(&mut *connection).await?;
    }
    Ok(())
}
