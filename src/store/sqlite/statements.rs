//! The statements of a commit, each beside the order of its columns.
//!
//! `OR FAIL`: a statement that fails leaves what it has written, and the part or transaction around it is undone. By SQLite's
//! default a statement of many rows undoes its own first, and copies each page for that before it changes it.

use super::bulk::{Bulk, Row};
use crate::store::Usage;
use crate::store::batch::{Seen, Tag};
use crate::store::commit::{Ahead, Envelope, Measured};
use crate::store::integrity::Refusals;
use crate::store::quarantine::Suspect;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

/// The texts, made once.
pub(super) struct Statements {
    use_up: Bulk,
    find_seen: Bulk,
    add_envelopes: Bulk,
    /// Readings that are a number and nothing else, as most are.
    add_numbers: Bulk,
    add_others: Bulk,
    add_ahead: Bulk,
    find_labels: Bulk,
    add_labels: Bulk,
    find_usage: Bulk,
    add_suspects: Bulk,
    count_refusals: Bulk,
}

impl Statements {
    /// The texts.
    pub(super) fn new() -> Statements {
        Statements {
            use_up: Bulk::inserting(
                "INSERT OR FAIL INTO seen (device, key_version, counter, tag, envelope)",
                5,
                "AND NOT EXISTS (SELECT 1 FROM seen_floor f
                 WHERE f.device = column1 AND f.key_version = column2 AND f.counter >= column3) ON CONFLICT DO NOTHING",
            ),
            find_seen: Bulk::new(
                "WITH asked (device, key_version, counter) AS (VALUES",
                3,
                ") SELECT a.device, a.key_version, a.counter, coalesce(s.tag, x''), coalesce(s.envelope, -1) FROM asked a LEFT JOIN seen s
                 ON s.device = a.device AND s.key_version = a.key_version AND s.counter = a.counter
                 WHERE s.device IS NOT NULL OR EXISTS (SELECT 1 FROM seen_floor f
                 WHERE f.device = a.device AND f.key_version = a.key_version AND f.counter >= a.counter)",
            ),
            add_envelopes: Bulk::inserting(
                "INSERT OR FAIL INTO envelope
                 (id, device, key_version, counter, device_time, received_at, encoding, content_format, bytes)",
                9,
                "",
            ),
            add_numbers: Bulk::inserting(
                "INSERT OR FAIL INTO reading (device, time, envelope, place, name, unit, value)",
                7,
                "",
            ),
            add_others: Bulk::inserting(
                "INSERT OR FAIL INTO reading (device, time, envelope, place, name, unit, value, text, sum)",
                9,
                "",
            ),
            add_ahead: Bulk::inserting("INSERT OR FAIL INTO reading_ahead (envelope, device, time)", 3, ""),
            find_labels: Bulk::new(
                "WITH asked (text) AS (VALUES",
                1,
                ") SELECT l.text, l.id FROM asked a CROSS JOIN label l ON l.text = a.text",
            ),
            add_labels: Bulk::new("INSERT OR FAIL INTO label (text) VALUES", 1, "RETURNING text, id"),
            find_usage: Bulk::new(
                "WITH asked (device_id) AS (VALUES",
                1,
                ") SELECT u.device_id, u.row_count, u.byte_count FROM asked a CROSS JOIN quarantine_usage u
                 ON u.device_id = a.device_id",
            ),
            add_suspects: Bulk::inserting(
                "INSERT OR FAIL INTO quarantine (device_id, received_at, reason, encoding, bytes)",
                5,
                "",
            ),
            count_refusals: Bulk::inserting(
                "INSERT OR FAIL INTO refusals (device_id, hour, reason, messages)",
                4,
                "ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            ),
        }
    }

    /// Uses counters up, but for those that are or that are under a floor; answers how many were not.
    pub(super) async fn use_up(&self, connection: &mut SqliteConnection, new: &[Envelope<'_>]) -> sqlx::Result<u64> {
        let bind = |envelope: &Envelope<'_>, row: &mut Row| {
            bind_place(&envelope.accepted.seen, row);
            row.blob(envelope.accepted.seen.tag.as_bytes());
            row.int(envelope.id);
        };
        self.use_up.execute(connection, new, bind).await
    }

    /// Those of the asked counters that are used up, with the envelope that did it, or are under a floor.
    pub(super) async fn find_seen(
        &self,
        connection: &mut SqliteConnection,
        asked: &[Seen],
    ) -> sqlx::Result<Vec<(Seen, i64)>> {
        let rows = self.find_seen.fetch(connection, asked, bind_place).await?;
        rows.iter().map(|row| Ok((seen(row)?, row.try_get(4)?))).collect()
    }

    /// Adds envelopes; the encodings' labels are in the same order.
    pub(super) async fn add_envelopes(
        &self,
        connection: &mut SqliteConnection,
        new: &[(Envelope<'_>, i64)],
    ) -> sqlx::Result<()> {
        let bind = |(Envelope { id, accepted }, encoding): &(Envelope<'_>, i64), row: &mut Row| {
            row.int(*id);
            bind_place(&accepted.seen, row);
            row.int_or_null(accepted.device_time_ms);
            row.int(accepted.received_at_ms);
            row.int(*encoding);
            row.int(accepted.content_format);
            row.blob(&accepted.bytes);
        };
        self.add_envelopes.execute(connection, new, bind).await?;
        Ok(())
    }

    /// Adds readings.
    pub(super) async fn add_readings(
        &self,
        connection: &mut SqliteConnection,
        new: Vec<Measured<'_>>,
    ) -> sqlx::Result<()> {
        let (numbers, others): (Vec<_>, Vec<_>) = new.into_iter().partition(|measured| measured.number().is_some());
        let bind_key = |measured: &Measured<'_>, row: &mut Row| {
            row.int(measured.envelope.accepted.seen.device);
            row.int(measured.reading.time_ms);
            row.int(measured.envelope.id);
            row.int(measured.place);
            row.int(measured.name);
            row.int_or_null(measured.unit);
        };
        let bind_number = |measured: &Measured<'_>, row: &mut Row| {
            bind_key(measured, row);
            row.real_or_null(measured.number());
        };
        let bind_other = |measured: &Measured<'_>, row: &mut Row| {
            bind_key(measured, row);
            let (number, text) = measured.reading.value_and_text();
            row.real_or_null(number);
            row.text_or_null(text);
            row.real_or_null(measured.reading.sum);
        };
        self.add_numbers.execute(connection, &numbers, bind_number).await?;
        self.add_others.execute(connection, &others, bind_other).await?;
        Ok(())
    }

    /// Notes where readings are of a later day than that of their arrival.
    pub(super) async fn add_ahead(&self, connection: &mut SqliteConnection, new: &[Ahead]) -> sqlx::Result<()> {
        let bind = |ahead: &Ahead, row: &mut Row| {
            row.int(ahead.envelope);
            row.int(ahead.device);
            row.int(ahead.time_ms);
        };
        self.add_ahead.execute(connection, new, bind).await?;
        Ok(())
    }

    /// Those of the words that have a number.
    pub(super) async fn find_labels(
        &self,
        connection: &mut SqliteConnection,
        words: &[&str],
    ) -> sqlx::Result<Vec<(String, i64)>> {
        labels(self.find_labels.fetch(connection, words, |word, row| row.text(word)).await?)
    }

    /// Numbers words that have none.
    pub(super) async fn add_labels(
        &self,
        connection: &mut SqliteConnection,
        words: &[&str],
    ) -> sqlx::Result<Vec<(String, i64)>> {
        labels(self.add_labels.fetch(connection, words, |word, row| row.text(word)).await?)
    }

    /// What the quarantine holds, by device, and under the empty name in all.
    pub(super) async fn find_usage(
        &self,
        connection: &mut SqliteConnection,
        devices: &[&str],
    ) -> sqlx::Result<Vec<(String, Usage)>> {
        let rows = self.find_usage.fetch(connection, devices, |device_id, row| row.text(device_id)).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, usage(row, 1)?))).collect()
    }

    /// Quarantines.
    pub(super) async fn add_suspects(
        &self,
        connection: &mut SqliteConnection,
        new: &[Suspect<'_>],
    ) -> sqlx::Result<()> {
        let bind = |suspect: &Suspect<'_>, row: &mut Row| {
            row.text(suspect.device_id);
            row.int(suspect.received_at_ms);
            row.text(suspect.reason);
            row.text(suspect.encoding);
            row.blob(suspect.bytes);
        };
        self.add_suspects.execute(connection, new, bind).await?;
        Ok(())
    }

    /// Adds to what was refused of devices.
    pub(super) async fn count_refusals(
        &self,
        connection: &mut SqliteConnection,
        more: &[Refusals<'_>],
    ) -> sqlx::Result<()> {
        let bind = |refusals: &Refusals<'_>, row: &mut Row| {
            row.text(refusals.device_id);
            row.int(refusals.hour_ms);
            row.text(refusals.reason);
            row.int(refusals.messages);
        };
        self.count_refusals.execute(connection, more, bind).await?;
        Ok(())
    }
}

fn bind_place(seen: &Seen, row: &mut Row) {
    row.int(seen.device);
    row.int(seen.key_version);
    row.int(seen.counter);
}

/// Row and byte count of a usage row, from a column on.
pub(super) fn usage(row: &SqliteRow, column: usize) -> sqlx::Result<Usage> {
    let count = |column| row.try_get(column).map(|count: i64| u64::try_from(count).unwrap_or(0));
    Ok(Usage { rows: count(column)?, bytes: count(column + 1)? })
}

fn seen(row: &SqliteRow) -> sqlx::Result<Seen> {
    // A tag that is too long was put there by other hands; as an empty one it equals none that a device sends.
    let tag = Tag::new(row.try_get(3)?).unwrap_or_else(Tag::empty);
    Ok(Seen { device: row.try_get(0)?, key_version: row.try_get(1)?, counter: row.try_get(2)?, tag })
}

fn labels(rows: Vec<SqliteRow>) -> sqlx::Result<Vec<(String, i64)>> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
