//! Messages as rows, and back.

use super::super::bulk::{Bulk, Row};
use super::{Spooled, Waiting, reading};
use crate::store::{Accepted, Entry, Refused, Seen, Tag};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Error, Row as _};

/// The statements, and the words that messages are made of.
pub(super) struct Rows {
    add: Bulk,
    words: Vec<&'static str>,
}

/// What a row takes besides its texts and bytes: numbers, and its part of the pages between.
pub(super) const ROW_BYTES: i64 = 100;

/// The bytes that a message counts for.
pub(super) fn bytes(entry: &Entry) -> u64 {
    let (device_id, bytes) = match entry {
        Entry::Accepted(accepted) => (&accepted.device_id, accepted.bytes.len() + reading_bytes(accepted)),
        Entry::Refused(refused) => (&refused.device_id, refused.bytes.len()),
    };
    (device_id.len() + bytes) as u64 + ROW_BYTES as u64
}

/// What readings take in their column.
fn reading_bytes(accepted: &Accepted) -> usize {
    reading::encode(&accepted.readings).len()
}

impl Rows {
    /// `words` are all that may stand for an encoding, a reason or an origin.
    pub(super) fn new(words: Vec<&'static str>) -> Rows {
        let add = Bulk::inserting(
            "INSERT INTO spooled (id, device_id, received_at, origin, encoding, reason, device, key_version, counter, tag,
             device_time, content_format, readings, bytes)",
            14,
            "",
        );
        Rows { add, words }
    }

    /// Adds messages under the numbers from `first` on.
    pub(super) async fn add(
        &self,
        connection: &mut SqliteConnection,
        first: i64,
        messages: &[Spooled<'_>],
    ) -> sqlx::Result<()> {
        let numbered: Vec<_> = (first..).zip(messages).collect();
        self.add.execute(connection, &numbered, |(id, message), row| bind(*id, message, row)).await?;
        Ok(())
    }

    /// Messages whose numbers are above `after` and not above `through`, in order, up to the bounds; but one at least.
    pub(super) async fn between(
        &self,
        connection: &mut SqliteConnection,
        after: i64,
        through: i64,
        rows_max: usize,
        bytes_max: usize,
    ) -> sqlx::Result<Vec<Waiting>> {
        let sql = "SELECT id, device_id, received_at, origin, encoding, reason, device, key_version, counter, tag,
                device_time, content_format, readings, bytes
            FROM spooled WHERE id > ? AND id <= ? ORDER BY id LIMIT ?";
        let select = sqlx::query(sql).bind(after).bind(through).bind(i64::try_from(rows_max).unwrap_or(i64::MAX));
        let mut rows = select.fetch(connection);
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await? {
            bytes += row.try_get::<&[u8], _>(13)?.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(self.waiting(&row)?);
        }
        Ok(found)
    }

    /// Removes all up to a number.
    pub(super) async fn remove_through(connection: &mut SqliteConnection, through: i64) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM spooled WHERE id <= ?").bind(through).execute(connection).await?;
        Ok(())
    }

    /// Removes all above a number.
    pub(super) async fn remove_after(connection: &mut SqliteConnection, last: i64) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM spooled WHERE id > ?").bind(last).execute(connection).await?;
        Ok(())
    }

    fn waiting(&self, row: &SqliteRow) -> sqlx::Result<Waiting> {
        let entry = match row.try_get::<Option<&str>, _>(5)? {
            Some(reason) => Entry::Refused(self.refused(row, self.word(reason)?)?),
            None => Entry::Accepted(self.accepted(row)?),
        };
        Ok(Waiting { id: row.try_get(0)?, entry, origin: self.word(row.try_get(3)?)? })
    }

    fn accepted(&self, row: &SqliteRow) -> sqlx::Result<Accepted> {
        let tag = Tag::new(row.try_get(9)?).ok_or_else(|| broken("a tag is too long"))?;
        let seen = Seen { device: row.try_get(6)?, key_version: row.try_get(7)?, counter: row.try_get(8)?, tag };
        Ok(Accepted {
            device_id: row.try_get::<&str, _>(1)?.into(),
            seen,
            device_time_ms: row.try_get(10)?,
            received_at_ms: row.try_get(2)?,
            encoding: self.word(row.try_get(4)?)?,
            content_format: row.try_get(11)?,
            bytes: message(row)?,
            readings: reading::decode(row.try_get(12)?).map_err(broken)?,
        })
    }

    fn refused(&self, row: &SqliteRow, reason: &'static str) -> sqlx::Result<Refused> {
        Ok(Refused {
            device_id: row.try_get::<&str, _>(1)?.into(),
            received_at_ms: row.try_get(2)?,
            reason,
            encoding: self.word(row.try_get(4)?)?,
            bytes: message(row)?,
            unless_stored: None,
        })
    }

    fn word(&self, text: &str) -> sqlx::Result<&'static str> {
        let known = self.words.iter().find(|word| **word == text);
        known.copied().ok_or_else(|| broken(format!("no message has the word {text:?}")))
    }
}

fn bind(id: i64, message: &Spooled<'_>, row: &mut Row) {
    row.int(id);
    match message.entry {
        Entry::Accepted(accepted) => {
            bind_head(&accepted.device_id, accepted.received_at_ms, message.origin, accepted.encoding, row);
            row.text_or_null(None);
            row.int(accepted.seen.device);
            row.int(accepted.seen.key_version);
            row.int(accepted.seen.counter);
            row.blob(accepted.seen.tag.as_bytes());
            row.int_or_null(accepted.device_time_ms);
            row.int(accepted.content_format);
            row.blob(&reading::encode(&accepted.readings));
            row.blob(&accepted.bytes);
        }
        Entry::Refused(refused) => {
            bind_head(&refused.device_id, refused.received_at_ms, message.origin, refused.encoding, row);
            row.text_or_null(Some(refused.reason));
            (0..NULLS_OF_REFUSED).for_each(|_| row.int_or_null(None));
            row.blob(&refused.bytes);
        }
    }
}

/// The columns from `device` to `readings`.
const NULLS_OF_REFUSED: usize = 7;

fn bind_head(device_id: &str, received_at_ms: i64, origin: &str, encoding: &str, row: &mut Row) {
    row.text(device_id);
    row.int(received_at_ms);
    row.text(origin);
    row.text(encoding);
}

fn message(row: &SqliteRow) -> sqlx::Result<Bytes> {
    Ok(Bytes::from(row.try_get::<Vec<u8>, _>(13)?))
}

/// Other hands were at the file.
fn broken(what: impl ToString) -> Error {
    Error::Decode(what.to_string().into())
}
