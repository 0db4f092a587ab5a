//! A batch into the tables, in one transaction.
//!
//! Most batches hold nothing that was seen before, so the counters are written first, and only if fewer rows came in than
//! went out the database is asked which were there. A batch that is refused for its content is done again by halves, each
//! under a savepoint of one and the same transaction, so that an error that passes still leaves nothing of the batch behind.
//!
//! Rows go into a table in the order of its key, so that those of one device find the page that the one before has found.

use super::fault::Fault;
use super::statements::{Envelope, Measured, Statements};
use super::writer::{Transaction, Writer};
use crate::store::batch::{Entry, Kept, Outcome, Seen};
use crate::store::halving::{Halving, Refusal};
use crate::store::judge::{Judgement, Known, judge, outcomes};
use crate::store::quarantine::{Bounds, Room, Suspect};
use std::collections::{HashMap, HashSet};

/// What commits.
pub(super) struct Committer {
    statements: Statements,
    bounds: Bounds,
}

impl Committer {
    /// With the bounds of the quarantine.
    pub(super) fn new(bounds: Bounds) -> Committer {
        Committer { statements: Statements::new(), bounds }
    }

    /// Commits a batch; an error leaves nothing of it and may pass.
    pub(super) async fn commit(&self, writer: &mut Writer, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
        match self.commit_whole(writer, batch).await {
            Err(error) if Fault::of(&error) == Fault::Content => self.commit_by_halves(writer, batch).await,
            done => done,
        }
    }

    async fn commit_whole(&self, writer: &mut Writer, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
        let mut transaction = writer.begin().await?;
        let written = self.write(&mut transaction, batch).await;
        transaction.end(written).await
    }

    async fn commit_by_halves(&self, writer: &mut Writer, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
        let mut transaction = writer.begin().await?;
        let written = self.write_by_halves(&mut transaction, batch).await;
        transaction.end(written).await
    }

    async fn write_by_halves(&self, transaction: &mut Transaction<'_>, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut halving = Halving::new(batch.len());
        while let Some(part) = halving.next() {
            if let Some(settled) = self.write_part(transaction, &batch[part.clone()]).await? {
                outcomes.extend(settled);
            } else if let Refusal::Entry(index) = halving.refused(part) {
                outcomes.push(self.set_aside(transaction, &batch[index]).await?);
            }
        }
        Ok(outcomes)
    }

    /// Writes a part of a batch; `None` if it was refused for its content, and then nothing of it is written.
    async fn write_part(
        &self,
        transaction: &mut Transaction<'_>,
        part: &[Entry],
    ) -> sqlx::Result<Option<Vec<Outcome>>> {
        transaction.begin_part().await?;
        let written = self.write(transaction, part).await;
        transaction.end_part(written).await
    }

    /// Quarantines an entry that the database does not take.
    async fn set_aside(&self, transaction: &mut Transaction<'_>, entry: &Entry) -> sqlx::Result<Outcome> {
        let Entry::Accepted(accepted) = entry else {
            return Ok(Outcome::Refused(Kept::OverBound));
        };
        transaction.begin_part().await?;
        let written = self.quarantine(transaction, &[Suspect::accepted(accepted, "bad_payload")]).await;
        let kept = transaction.end_part(written).await?.and_then(|kept| kept.first().copied());
        Ok(Outcome::BadPayload(kept.unwrap_or(Kept::OverBound)))
    }

    async fn write(&self, transaction: &mut Transaction<'_>, batch: &[Entry]) -> sqlx::Result<Vec<Outcome>> {
        let last = last_envelope(transaction).await?;
        let judged = self.use_up_counters(transaction, batch, last).await?;
        self.add_stored(transaction, &to_store(batch, &judged, last)).await?;
        let suspects: Vec<_> = batch.iter().zip(&judged).filter_map(|(entry, judged)| judged.suspect(entry)).collect();
        let kept = self.quarantine(transaction, &suspects).await?;
        Ok(outcomes(&judged, kept))
    }

    /// Judges the batch, and writes the counters of what is to be stored.
    async fn use_up_counters(
        &self,
        transaction: &mut Transaction<'_>,
        batch: &[Entry],
        last: i64,
    ) -> sqlx::Result<Vec<Judgement>> {
        let asks = |entry: &Entry| matches!(entry, Entry::Refused(refused) if refused.unless_stored.is_some());
        let known = match batch.iter().any(asks) {
            true => self.known(transaction, batch, last).await?,
            false => Known::default(),
        };
        let judged = judge(batch, known);
        let mut new = to_store(batch, &judged, last);
        new.sort_unstable_by_key(Envelope::place);
        let written = self.statements.use_up(&mut transaction.connection, &new).await?;
        if written == new.len() as u64 {
            return Ok(judged);
        }
        Ok(judge(batch, self.known(transaction, batch, last).await?))
    }

    /// Which counters of the batch were used up before it, that is by envelopes up to `last`.
    async fn known(&self, transaction: &mut Transaction<'_>, batch: &[Entry], last: i64) -> sqlx::Result<Known> {
        let asked: Vec<Seen> = batch.iter().filter_map(Entry::seen).collect();
        let found = self.statements.find_seen(&mut transaction.connection, &asked).await?;
        let mut known = Known::default();
        found.into_iter().filter(|(_, envelope)| *envelope <= last).for_each(|(seen, _)| known.insert(seen));
        Ok(known)
    }

    async fn add_stored(&self, transaction: &mut Transaction<'_>, new: &[Envelope<'_>]) -> sqlx::Result<()> {
        let encodings: Vec<_> = new.iter().map(|envelope| envelope.accepted.encoding).collect();
        let encodings = self.number(transaction, &encodings).await?;
        let envelopes: Vec<_> = new.iter().copied().zip(encodings).collect();
        self.statements.add_envelopes(&mut transaction.connection, &envelopes).await?;
        let readings = self.measured(transaction, new).await?;
        self.statements.add_readings(&mut transaction.connection, readings).await?;
        Ok(())
    }

    async fn measured<'a>(
        &self,
        transaction: &mut Transaction<'_>,
        new: &[Envelope<'a>],
    ) -> sqlx::Result<Vec<Measured<'a>>> {
        let readings = || new.iter().flat_map(|envelope| envelope.accepted.readings.iter());
        let words: Vec<&str> =
            readings().flat_map(|reading| [Some(reading.name.as_str()), reading.unit.as_deref()]).flatten().collect();
        let mut numbers = self.number(transaction, &words).await?.into_iter();
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
    async fn number(&self, transaction: &mut Transaction<'_>, words: &[&str]) -> sqlx::Result<Vec<i64>> {
        let numbers: Vec<Option<i64>> = words.iter().map(|word| transaction.remembered(word)).collect();
        let unknown: HashSet<&str> =
            words.iter().zip(&numbers).filter(|(_, number)| number.is_none()).map(|(word, _)| *word).collect();
        let looked_up = self.look_up(transaction, unknown).await?;
        let number = |(word, number): (&&str, Option<i64>)| number.or_else(|| looked_up.get(*word).copied());
        words.iter().zip(numbers).map(|pair| number(pair).ok_or(sqlx::Error::RowNotFound)).collect()
    }

    async fn look_up(
        &self,
        transaction: &mut Transaction<'_>,
        words: HashSet<&str>,
    ) -> sqlx::Result<HashMap<String, i64>> {
        let words: Vec<&str> = words.into_iter().collect();
        let mut found: HashMap<_, _> =
            self.statements.find_labels(&mut transaction.connection, &words).await?.into_iter().collect();
        let new: Vec<&str> = words.into_iter().filter(|word| !found.contains_key(*word)).collect();
        found.extend(self.statements.add_labels(&mut transaction.connection, &new).await?);
        found.iter().for_each(|(word, number)| transaction.remember(word, *number));
        Ok(found)
    }

    /// Quarantines what the bounds let in; answers for each suspect whether it is in.
    async fn quarantine(&self, transaction: &mut Transaction<'_>, suspects: &[Suspect<'_>]) -> sqlx::Result<Vec<Kept>> {
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let devices: HashSet<&str> = suspects.iter().map(|suspect| suspect.device_id).chain([""]).collect();
        let devices: Vec<&str> = devices.into_iter().collect();
        let usage = self.statements.find_usage(&mut transaction.connection, &devices).await?;
        let mut room = Room::new(self.bounds, usage);
        let kept: Vec<Kept> =
            suspects.iter().map(|suspect| room.admit(suspect.device_id, suspect.bytes.len())).collect();
        let admitted: Vec<_> = suspects
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept == Kept::Quarantined)
            .map(|(suspect, _)| *suspect)
            .collect();
        self.statements.add_suspects(&mut transaction.connection, &admitted).await?;
        Ok(kept)
    }
}

/// The number of the newest envelope, be it deleted since.
async fn last_envelope(transaction: &mut Transaction<'_>) -> sqlx::Result<i64> {
    let last = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'envelope'");
    Ok(last.fetch_optional(&mut transaction.connection).await?.unwrap_or(0))
}

/// What is to be stored. An entry's place in the batch gives its number, so that it stays the same when the batch is judged
/// again.
fn to_store<'a>(batch: &'a [Entry], judged: &[Judgement], last: i64) -> Vec<Envelope<'a>> {
    let numbered = (last + 1..).zip(batch).zip(judged);
    let stored = |((id, entry), judgement): ((i64, &'a Entry), &Judgement)| match (judgement, entry) {
        (Judgement::Store, Entry::Accepted(accepted)) => Some(Envelope { id, accepted }),
        _ => None,
    };
    numbered.filter_map(stored).collect()
}
