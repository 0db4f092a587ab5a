//! A batch into the tables, in one transaction: the steps, whichever database the tables are in.
//!
//! Most batches hold nothing that was seen before, so the counters are written first, and only if fewer rows came in than
//! went out the database is asked which were there. A batch that is refused for its content is done again by halves, each
//! under a savepoint of one and the same transaction, so that an error that passes still leaves nothing of the batch behind.
//!
//! Rows go into a table in the order of its key, so that those of one device find the page that the one before has found, and two
//! transactions that write the same rows wait for each other in one order.

use super::Usage;
use super::batch::{Accepted, Entry, Kept, Outcome, Reading, Seen, Value};
use super::halving::{Halving, Refusal};
use super::integrity::{self, Refusals};
use super::judge::{Judgement, Known, judge, outcomes};
use super::leaf::Leaf;
use super::quarantine::{Bounds, Room, Suspect};
use super::retention::day;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::Range;

/// Whose fault a failed statement is: the row's, or that of the moment.
///
/// Only what a database lists as the row's fault is. Anything else is held and tried again: a row that is held too long can be
/// looked at, a row that was refused for a full disk would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The row will never be taken as it is.
    Content,
    /// The connection, the disk or a lock.
    Passing,
}

/// The tables under a transaction that holds them.
pub(super) trait Tables: Send {
    /// Whose fault an error of the driver is.
    fn fault(error: &sqlx::Error) -> Fault;

    /// So many numbers that no envelope has had.
    fn reserve(&mut self, count: usize) -> impl Future<Output = sqlx::Result<Range<i64>>> + Send;

    /// Begins a part that can be undone alone.
    fn begin_part(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Keeps the part.
    fn keep_part(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Undoes the part.
    fn undo_part(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Uses counters up, but for those that are or that are under a floor; answers how many were not.
    fn use_up(&mut self, new: &[Envelope<'_>]) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Those of the asked counters that are used up, with the envelope that did it; [`FORGOTTEN`]: they are under a floor.
    fn find_seen(&mut self, asked: &[Seen]) -> impl Future<Output = sqlx::Result<Vec<(Seen, i64)>>> + Send;

    /// Adds envelopes; the labels of their encodings are in the same order.
    fn add_envelopes(&mut self, new: &[(Envelope<'_>, i64)]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Adds readings.
    fn add_readings(&mut self, new: Vec<Measured<'_>>) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Notes where readings are of a later day than that of their arrival.
    fn add_ahead(&mut self, new: &[Ahead]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Leaves what envelopes there are now for the next checkpoint.
    fn add_leaves(&mut self, leaves: &[u8]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// The number of a word, if it is remembered.
    fn remembered(&mut self, word: &str) -> Option<i64>;

    /// The numbers of words; those that have none get one. They are remembered once the transaction is committed.
    fn number(&mut self, words: &[&str]) -> impl Future<Output = sqlx::Result<HashMap<String, i64>>> + Send;

    /// What the quarantine holds of some devices, and under the empty name in all.
    fn find_usage(&mut self, devices: &[&str]) -> impl Future<Output = sqlx::Result<Vec<(String, Usage)>>> + Send;

    /// Adds to what was refused of devices.
    fn count_refusals(&mut self, more: &[Refusals<'_>]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Quarantines.
    fn add_suspects(&mut self, new: &[Suspect<'_>]) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// In the place of an envelope's number: retention has dropped what used the counter, if anything did.
pub(super) const FORGOTTEN: i64 = -1;

/// Where a reading is that goes with its envelope and not by its time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) envelope: i64,
    pub(super) device: i64,
    pub(super) time_ms: i64,
}

/// An accepted entry, with the number that its envelope gets.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) id: i64,
    pub(super) accepted: &'a Accepted,
}

/// A reading, with what its row needs besides.
pub(super) struct Measured<'a> {
    pub(super) envelope: Envelope<'a>,
    pub(super) place: u16,
    pub(super) name: i64,
    pub(super) unit: Option<i64>,
    pub(super) reading: &'a Reading,
}

impl Envelope<'_> {
    /// The key of `seen`.
    pub(super) fn place(&self) -> (i64, u8, i64) {
        let seen = &self.accepted.seen;
        (seen.device, seen.key_version, seen.counter)
    }
}

impl<'a> Measured<'a> {
    /// The order of `reading`.
    pub(super) fn key(&self) -> (i64, i64, i64, u16) {
        (self.envelope.accepted.seen.device, self.reading.time_ms, self.envelope.id, self.place)
    }

    /// Its place, if it is of a later day than that of its arrival.
    fn ahead(&self) -> Option<Ahead> {
        let Accepted { seen, received_at_ms, .. } = self.envelope.accepted;
        let time_ms = self.reading.time_ms;
        (day(time_ms) > day(*received_at_ms)).then_some(Ahead {
            envelope: self.envelope.id,
            device: seen.device,
            time_ms,
        })
    }

    /// The number, if the reading is that alone.
    pub(super) fn number(&self) -> Option<f64> {
        match (&self.reading.value, self.reading.sum) {
            (Some(Value::Number(number)), None) => Some(*number),
            _ => None,
        }
    }
}

/// Writes a batch whole; an error for its content asks for [`write_by_halves`] in a new transaction.
pub(super) async fn write<T: Tables>(tables: &mut T, bounds: Bounds, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
    let ids = tables.reserve(batch.len()).await?;
    let judged = use_up_counters(tables, batch, &ids).await?;
    add_stored(tables, &to_store(batch, &judged, &ids)).await?;
    let suspects: Vec<_> = batch.iter().zip(&judged).filter_map(|(entry, judged)| judged.suspect(entry)).collect();
    let kept = quarantine(tables, bounds, &suspects).await?;
    Ok(outcomes(&judged, kept))
}

/// Writes a batch part by part, and sets aside the entries that the database does not take.
pub(super) async fn write_by_halves<T: Tables>(
    tables: &mut T,
    bounds: Bounds,
    batch: &[Entry],
) -> sqlx::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut halving = Halving::new(batch.len());
    while let Some(part) = halving.next() {
        tables.begin_part().await?;
        let written = write(tables, bounds, &batch[part.clone()]).await;
        if let Some(settled) = end_part(tables, written).await? {
            outcomes.extend(settled);
        } else if let Refusal::Entry(index) = halving.refused(part) {
            outcomes.push(set_aside(tables, bounds, &batch[index]).await?);
        }
    }
    Ok(outcomes)
}

/// Ends a part: keeps it if it succeeded, undoes it (`None`) if it was refused for its content.
async fn end_part<T: Tables, D>(tables: &mut T, done: sqlx::Result<D>) -> sqlx::Result<Option<D>> {
    match done {
        Ok(done) => tables.keep_part().await.map(|()| Some(done)),
        Err(error) if T::fault(&error) == Fault::Content => tables.undo_part().await.map(|()| None),
        Err(error) => Err(error),
    }
}

/// Quarantines an entry that the database does not take.
async fn set_aside<T: Tables>(tables: &mut T, bounds: Bounds, entry: &Entry) -> sqlx::Result<Outcome> {
    let Entry::Accepted(accepted) = entry else {
        return Ok(Outcome::Refused(Kept::OverBound));
    };
    tables.begin_part().await?;
    let written = quarantine(tables, bounds, &[Suspect::accepted(accepted, "bad_payload")]).await;
    let kept = end_part(tables, written).await?.and_then(|kept| kept.first().copied());
    Ok(Outcome::BadPayload(kept.unwrap_or(Kept::OverBound)))
}

/// Judges the batch, and writes the counters of what is to be stored.
async fn use_up_counters<T: Tables>(tables: &mut T, batch: &[Entry], ids: &Range<i64>) -> sqlx::Result<Vec<Judgement>> {
    let asks = |entry: &Entry| matches!(entry, Entry::Refused(refused) if refused.unless_stored.is_some());
    let known = match batch.iter().any(asks) {
        true => known(tables, batch, ids).await?,
        false => Known::default(),
    };
    let judged = judge(batch, known);
    let mut new = to_store(batch, &judged, ids);
    new.sort_unstable_by_key(Envelope::place);
    let written = tables.use_up(&new).await?;
    if written == new.len() as u64 {
        return Ok(judged);
    }
    Ok(judge(batch, self::known(tables, batch, ids).await?))
}

/// Which counters of the batch were used up before it, that is by envelopes of other numbers.
async fn known<T: Tables>(tables: &mut T, batch: &[Entry], ids: &Range<i64>) -> sqlx::Result<Known> {
    let asked: Vec<Seen> = batch.iter().filter_map(Entry::seen).collect();
    let mut known = Known::default();
    for (seen, envelope) in tables.find_seen(&asked).await? {
        match envelope {
            FORGOTTEN => known.insert_forgotten(seen),
            own if ids.contains(&own) => {}
            _ => known.insert(seen),
        }
    }
    Ok(known)
}

async fn add_stored<T: Tables>(tables: &mut T, new: &[Envelope<'_>]) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let encodings: Vec<_> = new.iter().map(|envelope| envelope.accepted.encoding).collect();
    let encodings = number(tables, &encodings).await?;
    let envelopes: Vec<_> = new.iter().copied().zip(encodings).collect();
    tables.add_envelopes(&envelopes).await?;
    let mut leaves: Vec<Leaf> = new.iter().map(|envelope| Leaf::of(envelope.accepted)).collect();
    leaves.sort_unstable();
    tables.add_leaves(&Leaf::encode(&leaves)).await?;
    let readings = measured(tables, new).await?;
    // In the order of devices and times, so that the same place stands once.
    let mut ahead: Vec<Ahead> = readings.iter().filter_map(Measured::ahead).collect();
    ahead.dedup();
    tables.add_readings(readings).await?;
    match ahead.is_empty() {
        true => Ok(()),
        false => tables.add_ahead(&ahead).await,
    }
}

async fn measured<'a, T: Tables>(tables: &mut T, new: &[Envelope<'a>]) -> sqlx::Result<Vec<Measured<'a>>> {
    let readings = || new.iter().flat_map(|envelope| envelope.accepted.readings.iter());
    let words: Vec<&str> =
        readings().flat_map(|reading| [Some(reading.name.as_str()), reading.unit.as_deref()]).flatten().collect();
    let mut numbers = number(tables, &words).await?.into_iter();
    let mut next = || numbers.next().expect("each word was numbered");
    let mut measured = Vec::with_capacity(readings().count());
    for envelope in new {
        for (place, reading) in (0..).zip(&envelope.accepted.readings) {
            let (name, unit) = (next(), reading.unit.as_ref().map(|_| next()));
            measured.push(Measured { envelope: *envelope, place, name, unit, reading });
        }
    }
    measured.sort_unstable_by_key(Measured::key);
    Ok(measured)
}

/// The numbers of words, in their order; words that have none get one.
async fn number<T: Tables>(tables: &mut T, words: &[&str]) -> sqlx::Result<Vec<i64>> {
    let numbers: Vec<Option<i64>> = words.iter().map(|word| tables.remembered(word)).collect();
    let unknown: HashSet<&str> =
        words.iter().zip(&numbers).filter(|(_, number)| number.is_none()).map(|(word, _)| *word).collect();
    let mut unknown: Vec<&str> = unknown.into_iter().collect();
    // Two transactions that bring the same new words wait for each other in one order.
    unknown.sort_unstable();
    let looked_up = if unknown.is_empty() { HashMap::new() } else { tables.number(&unknown).await? };
    let number = |(word, number): (&&str, Option<i64>)| number.or_else(|| looked_up.get(*word).copied());
    words.iter().zip(numbers).map(|pair| number(pair).ok_or(sqlx::Error::RowNotFound)).collect()
}

/// Quarantines what the bounds let in; answers for each suspect whether it is in.
async fn quarantine<T: Tables>(tables: &mut T, bounds: Bounds, suspects: &[Suspect<'_>]) -> sqlx::Result<Vec<Kept>> {
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let devices: HashSet<&str> = suspects.iter().map(|suspect| suspect.device_id).chain([""]).collect();
    let devices: Vec<&str> = devices.into_iter().collect();
    let usage = tables.find_usage(&devices).await?;
    let mut room = Room::new(bounds, usage);
    let kept: Vec<Kept> = suspects.iter().map(|suspect| room.admit(suspect.device_id, suspect.bytes.len())).collect();
    let admitted: Vec<_> = suspects
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| **kept == Kept::Quarantined)
        .map(|(suspect, _)| *suspect)
        .collect();
    tables.add_suspects(&admitted).await?;
    if bounds.count() {
        tables.count_refusals(&integrity::counted(suspects)).await?;
    }
    Ok(kept)
}

/// What is to be stored. An entry's place in the batch gives its number, so that it stays the same when the batch is judged
/// again.
fn to_store<'a>(batch: &'a [Entry], judged: &[Judgement], ids: &Range<i64>) -> Vec<Envelope<'a>> {
    let numbered = ids.clone().zip(batch).zip(judged);
    let stored = |((id, entry), judgement): ((i64, &'a Entry), &Judgement)| match (judgement, entry) {
        (Judgement::Store, Entry::Accepted(accepted)) => Some(Envelope { id, accepted }),
        _ => None,
    };
    numbered.filter_map(stored).collect()
}
