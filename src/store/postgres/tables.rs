//! The tables under a transaction, each statement beside the order of its columns.
//!
//! Rows go as arrays, one for each column. Binary COPY was weighed against it: the driver sends a COPY in two writes and leaves Nagle's
//! algorithm on, so that over TCP the second one waits for the acknowledgement of the first, 40 ms each time.

use super::fault;
use super::time::Time;
use super::writer::Transaction;
use crate::store::Usage;
use crate::store::batch::{Seen, Tag};
use crate::store::commit::{Ahead, Envelope, Fault, Measured, Tables};
use crate::store::integrity::Refusals;
use crate::store::quarantine::Suspect;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::ops::Range;

impl Tables for Transaction<'_> {
    fn fault(error: &sqlx::Error) -> Fault {
        fault::of(error)
    }

    async fn reserve(&mut self, count: usize) -> sqlx::Result<Range<i64>> {
        Transaction::reserve(self, count).await
    }

    async fn begin_part(&mut self) -> sqlx::Result<()> {
        say(self, "SAVEPOINT part").await
    }

    async fn keep_part(&mut self) -> sqlx::Result<()> {
        say(self, "RELEASE part").await
    }

    async fn undo_part(&mut self) -> sqlx::Result<()> {
        self.forget();
        say(self, "ROLLBACK TO part").await?;
        say(self, "RELEASE part").await
    }

    async fn use_up(&mut self, new: &[Envelope<'_>]) -> sqlx::Result<u64> {
        let sql = "INSERT INTO seen (device, key_version, counter, tag, envelope)
            SELECT * FROM unnest($1::int[], $2::smallint[], $3::bigint[], $4::bytea[], $5::bigint[]) a (device, key_version, counter)
            WHERE NOT EXISTS (SELECT FROM seen_floor f
                WHERE f.device = a.device AND f.key_version = a.key_version AND f.counter >= a.counter)
            ON CONFLICT DO NOTHING";
        let (devices, key_versions, counters) = places(new.iter().map(|envelope| &envelope.accepted.seen));
        let tags: Vec<&[u8]> = new.iter().map(|envelope| envelope.accepted.seen.tag.as_bytes()).collect();
        let ids: Vec<i64> = new.iter().map(|envelope| envelope.id).collect();
        let insert = sqlx::query(sql).bind(devices).bind(key_versions).bind(counters).bind(tags).bind(ids);
        Ok(insert.execute(self.connection()).await?.rows_affected())
    }

    async fn find_seen(&mut self, asked: &[Seen]) -> sqlx::Result<Vec<(Seen, i64)>> {
        let sql = "SELECT a.device, a.key_version, a.counter, coalesce(s.tag, ''), coalesce(s.envelope, -1)
            FROM unnest($1::int[], $2::smallint[], $3::bigint[]) a (device, key_version, counter)
            LEFT JOIN seen s USING (device, key_version, counter)
            WHERE s.device IS NOT NULL OR EXISTS (SELECT FROM seen_floor f
                WHERE f.device = a.device AND f.key_version = a.key_version AND f.counter >= a.counter)";
        let (devices, key_versions, counters) = places(asked.iter());
        let found =
            sqlx::query(sql).bind(devices).bind(key_versions).bind(counters).fetch_all(self.connection()).await?;
        found.iter().map(|row| Ok((seen(row)?, row.try_get(4)?))).collect()
    }

    async fn add_envelopes(&mut self, new: &[(Envelope<'_>, i64)]) -> sqlx::Result<()> {
        let sql = "INSERT INTO envelope
            (received_at, id, counter, device_time, device, encoding, content_format, key_version, bytes)
            SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::int[], $6::int[], $7::int[],
                $8::smallint[], $9::bytea[])";
        let accepted = || new.iter().map(|(envelope, _)| envelope.accepted);
        let received_at = accepted().map(|accepted| Time::of_ms(accepted.received_at_ms));
        let device_times = accepted().map(|accepted| accepted.device_time_ms.map(Time::of_ms).transpose());
        let (devices, key_versions, counters) = places(accepted().map(|accepted| &accepted.seen));
        let insert = sqlx::query(sql)
            .bind(received_at.collect::<sqlx::Result<Vec<_>>>()?)
            .bind(new.iter().map(|(envelope, _)| envelope.id).collect::<Vec<_>>())
            .bind(counters)
            .bind(device_times.collect::<sqlx::Result<Vec<_>>>()?)
            .bind(devices)
            .bind(new.iter().map(|(_, encoding)| integer(*encoding)).collect::<Vec<_>>())
            .bind(accepted().map(|accepted| i32::from(accepted.content_format)).collect::<Vec<_>>())
            .bind(key_versions)
            .bind(accepted().map(|accepted| &accepted.bytes[..]).collect::<Vec<_>>());
        insert.execute(self.connection()).await?;
        Ok(())
    }

    async fn add_readings(&mut self, new: Vec<Measured<'_>>) -> sqlx::Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO reading (time, envelope, value, sum, device, name, unit, place, text)
            SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::double precision[], $4::double precision[], $5::int[], $6::int[],
                $7::int[], $8::smallint[], $9::text[])";
        let times = new.iter().map(|measured| Time::of_ms(measured.reading.time_ms));
        let insert = sqlx::query(sql)
            .bind(times.collect::<sqlx::Result<Vec<_>>>()?)
            .bind(new.iter().map(|measured| measured.envelope.id).collect::<Vec<_>>())
            .bind(new.iter().map(|measured| measured.reading.value_and_text().0).collect::<Vec<_>>())
            .bind(new.iter().map(|measured| measured.reading.sum).collect::<Vec<_>>())
            .bind(new.iter().map(|measured| integer(measured.envelope.accepted.seen.device)).collect::<Vec<_>>())
            .bind(new.iter().map(|measured| integer(measured.name)).collect::<Vec<_>>())
            .bind(new.iter().map(|measured| measured.unit.map(integer)).collect::<Vec<_>>())
            // A payload has at most 1,000 records.
            .bind(new.iter().map(|measured| measured.place as i16).collect::<Vec<_>>())
            .bind(new.iter().map(|measured| measured.reading.value_and_text().1).collect::<Vec<_>>());
        insert.execute(self.connection()).await?;
        Ok(())
    }

    async fn add_ahead(&mut self, new: &[Ahead]) -> sqlx::Result<()> {
        let sql = "INSERT INTO reading_ahead (time, envelope, device)
            SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::int[])";
        let times = new.iter().map(|ahead| Time::of_ms(ahead.time_ms)).collect::<sqlx::Result<Vec<_>>>()?;
        let insert = sqlx::query(sql)
            .bind(times)
            .bind(new.iter().map(|ahead| ahead.envelope).collect::<Vec<_>>())
            .bind(new.iter().map(|ahead| integer(ahead.device)).collect::<Vec<_>>());
        insert.execute(self.connection()).await?;
        Ok(())
    }

    async fn add_leaves(&mut self, leaves: &[u8]) -> sqlx::Result<()> {
        let insert = sqlx::query("INSERT INTO uncovered (leaves) VALUES ($1)").bind(leaves);
        insert.execute(self.connection()).await?;
        Ok(())
    }

    fn remembered(&mut self, word: &str) -> Option<i64> {
        Transaction::remembered(self, word)
    }

    async fn number(&mut self, words: &[&str]) -> sqlx::Result<HashMap<String, i64>> {
        let find = "SELECT text, id::bigint FROM label WHERE text = ANY($1)";
        let mut found: HashMap<String, i64> =
            sqlx::query_as(find).bind(words).fetch_all(self.connection()).await?.into_iter().collect();
        let new: Vec<&str> = words.iter().copied().filter(|word| !found.contains_key(*word)).collect();
        if !new.is_empty() {
            // Another transaction may add one at the same moment: then this one waits for it, and finds it afterwards.
            let add = "INSERT INTO label (text) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";
            sqlx::query(add).bind(&new[..]).execute(self.connection()).await?;
            let added: Vec<(String, i64)> = sqlx::query_as(find).bind(&new[..]).fetch_all(self.connection()).await?;
            found.extend(added);
        }
        found.iter().for_each(|(word, number)| self.remember(word, *number));
        Ok(found)
    }

    async fn find_usage(&mut self, devices: &[&str]) -> sqlx::Result<Vec<(String, Usage)>> {
        // Locked, so that of two transactions that quarantine the second one sees what the first one has added.
        let lock = "SELECT FROM quarantine_usage WHERE device_id = '' FOR UPDATE";
        sqlx::query(lock).execute(self.connection()).await?;
        let sql = "SELECT device_id, row_count, byte_count FROM quarantine_usage WHERE device_id = ANY($1)";
        let rows = sqlx::query(sql).bind(devices).fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, usage(row, 1)?))).collect()
    }

    async fn count_refusals(&mut self, more: &[Refusals<'_>]) -> sqlx::Result<()> {
        let sql = "INSERT INTO refusals (device_id, hour, reason, messages)
            SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::bigint[])
            ON CONFLICT (device_id, hour, reason) DO UPDATE SET messages = refusals.messages + excluded.messages";
        let hours = more.iter().map(|refusals| Time::of_ms(refusals.hour_ms)).collect::<sqlx::Result<Vec<_>>>()?;
        let insert = sqlx::query(sql)
            .bind(more.iter().map(|refusals| refusals.device_id).collect::<Vec<_>>())
            .bind(hours)
            .bind(more.iter().map(|refusals| refusals.reason).collect::<Vec<_>>())
            .bind(more.iter().map(|refusals| refusals.messages).collect::<Vec<_>>());
        insert.execute(self.connection()).await?;
        Ok(())
    }

    async fn add_suspects(&mut self, new: &[Suspect<'_>]) -> sqlx::Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO quarantine (device_id, received_at, reason, encoding, bytes)
            SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bytea[])";
        let times = new.iter().map(|suspect| Time::of_ms(suspect.received_at_ms));
        let insert = sqlx::query(sql)
            .bind(new.iter().map(|suspect| suspect.device_id).collect::<Vec<_>>())
            .bind(times.collect::<sqlx::Result<Vec<_>>>()?)
            .bind(new.iter().map(|suspect| suspect.reason).collect::<Vec<_>>())
            .bind(new.iter().map(|suspect| suspect.encoding).collect::<Vec<_>>())
            .bind(new.iter().map(|suspect| suspect.bytes).collect::<Vec<_>>());
        insert.execute(self.connection()).await?;
        Ok(())
    }
}

async fn say(transaction: &mut Transaction<'_>, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(transaction.connection()).await?;
    Ok(())
}

/// A number that the database gave, and that its column holds; another is an error of ours, and no row has it.
fn integer(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MIN)
}

/// Devices, key versions and counters.
fn places<'a>(seen: impl Iterator<Item = &'a Seen> + Clone) -> (Vec<i32>, Vec<i16>, Vec<i64>) {
    (
        seen.clone().map(|seen| integer(seen.device)).collect(),
        seen.clone().map(|seen| seen.key_version.into()).collect(),
        seen.map(|seen| seen.counter).collect(),
    )
}

/// Row and byte count of a usage row, from a column on.
pub(super) fn usage(row: &PgRow, column: usize) -> sqlx::Result<Usage> {
    let count = |column| row.try_get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
    Ok(Usage { rows: count(column)?, bytes: count(column + 1)? })
}

fn seen(row: &PgRow) -> sqlx::Result<Seen> {
    // A tag that is too long, or a key version that there is not, was put there by other hands; as an empty tag it equals none that a
    // device sends.
    let tag = Tag::new(row.try_get(3)?).unwrap_or_else(Tag::empty);
    let device: i32 = row.try_get(0)?;
    let key_version: i16 = row.try_get(1)?;
    Ok(Seen {
        device: device.into(),
        key_version: u8::try_from(key_version).unwrap_or(0),
        counter: row.try_get(2)?,
        tag,
    })
}
