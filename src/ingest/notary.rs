//! Receipts for devices: what became of their messages, sealed with their own keys.
//!
//! Not to be taken for a [`Receipt`](super::Receipt), which goes through the pipeline with its message. This is what the device is
//! told afterwards: MQTT 3.1.1 has no words for it, and a seal is worth more than an acknowledgement, which anybody on the way can
//! make. Each batch of the writer gives one [`Due`] for each device in it. Where they go and who listens is not known here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use minicbor::Encoder;
use tokio::sync::mpsc;

use super::Metrics;
use super::metrics::LeftOut;
use super::notes::{Note, Waiting};
use crate::seal::{Guard, Sender};

/// Messages that one receipt names at most. With those of the longest names it has 1,342 bytes: its packet goes into one of Ethernet,
/// and a device needs no larger buffer for it.
const NOTES_MAX: usize = 64;

/// Seals what devices are told.
pub struct Notary {
    waiting: mpsc::UnboundedReceiver<Waiting>,
    guard: Arc<Guard>,
    metrics: Metrics,
}

/// What one device is to be told after a batch.
pub struct Due {
    device_id: Arc<str>,
    notes: Vec<Note>,
}

impl Notary {
    pub(super) fn new(waiting: mpsc::UnboundedReceiver<Waiting>, guard: Arc<Guard>, metrics: Metrics) -> Self {
        Notary { waiting, guard, metrics }
    }

    /// What is due after the next batch; none: there will be no other. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Vec<Due>> {
        self.waiting.recv().await.map(|batch| by_device(batch.notes))
    }

    /// The receipts for one device, sealed at `now_ms` (Unix ms).
    pub fn seal(&self, due: &Due, now_ms: i64) -> Vec<Bytes> {
        let sender = self.sender(due);
        let sealed = sender.map(|sender| seal(&sender, &due.notes, now_ms)).unwrap_or_default();
        let told = sealed.iter().map(|(messages, _)| messages).sum();
        self.metrics.receipts_sealed(told);
        self.metrics.receipts_left_out(LeftOut::NoKey, due.notes.len() - told);
        sealed.into_iter().map(|(_, frame)| frame.into()).collect()
    }

    /// The sender as the newest of the notes knows it.
    fn sender(&self, due: &Due) -> Option<Arc<Sender>> {
        let known = due.notes.iter().rev().find_map(|note| note.name.sender.clone());
        known.or_else(|| self.guard.stranger(&due.device_id).map(Arc::new))
    }
}

impl Due {
    /// Who is told.
    pub fn device_id(&self) -> &str {
        &self.device_id
    }
}

/// In the order in which the devices come first.
fn by_device(notes: Vec<Note>) -> Vec<Due> {
    let mut due: Vec<Due> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    for note in notes {
        let device_id = note.name.device_id.clone();
        let place = *places.entry(device_id.clone()).or_insert(due.len());
        if place == due.len() {
            due.push(Due { device_id, notes: Vec::new() });
        }
        due[place].notes.push(note);
    }
    due
}

/// The receipts of one device, each with the number of messages that it names. What no key is there for is in none of them.
fn seal(sender: &Sender, notes: &[Note], now_ms: i64) -> Vec<(usize, Vec<u8>)> {
    let mut versions: BTreeMap<u8, Vec<&Note>> = BTreeMap::new();
    for note in notes {
        if let Some(version) = sender.receipt_key_version(note.name.key_version) {
            versions.entry(version).or_default().push(note);
        }
    }
    let parts = versions.iter().flat_map(|(version, notes)| notes.chunks(NOTES_MAX).map(move |part| (*version, part)));
    let sealed = |(version, part): (u8, &[&Note])| {
        let frame = sender.seal_receipt(version, &payload(part), now_ms)?;
        Some((part.len(), frame))
    };
    parts.filter_map(sealed).collect()
}

/// An array of `[counter or null, first 8 bytes of SHA-256, verdict]`.
fn payload(notes: &[&Note]) -> Vec<u8> {
    let mut cbor = Vec::new();
    write(&mut Encoder::new(&mut cbor), notes).expect("a vector takes all that is written");
    cbor
}

fn write(
    cbor: &mut Encoder<&mut Vec<u8>>,
    notes: &[&Note],
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    cbor.array(notes.len() as u64)?;
    for note in notes {
        cbor.array(3)?;
        match note.name.counter {
            Some(counter) => cbor.u64(counter)?,
            None => cbor.null()?,
        };
        cbor.bytes(&note.name.digest)?.u8(note.verdict.code())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
