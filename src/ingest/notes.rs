//! What is noted of a message while it goes through the pipeline, so that its device can be told what became of it.
//!
//! Notes are taken only while somebody may hear of them; a message that came before has none. A note is small, and holds nothing of
//! the message but its hash, which is made where the message is opened: on the task of its connection, so that the writer has no part
//! in it. From the writer they go to the [`Notary`], batch by batch. Where more wait than may, they are left out and counted: a
//! device that is told nothing sends again, and is told that it is a duplicate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::metrics::LeftOut;
use super::{Delivery, Metrics, Notary, Settled};
use crate::seal::{Guard, Header, Sender, Verdict};

/// Notes that may wait, of all batches together: less than 10 MiB.
const WAITING_MAX: usize = 65_536;

/// How a receipt names a message, and whose it is.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) device_id: Arc<str>,
    /// As the registry had it when the message came; none: it had none.
    pub(super) sender: Option<Arc<Sender>>,
    /// None where the message could not be read so far.
    pub(super) counter: Option<u64>,
    pub(super) key_version: Option<u8>,
    /// The first bytes of its SHA-256.
    pub(super) digest: [u8; Name::DIGEST_BYTES],
}

/// What became of a message.
#[derive(Clone)]
pub(super) struct Note {
    pub(super) name: Box<Name>,
    pub(super) verdict: Verdict,
}

/// Where notes are left. Cloning it gives another handle to the same place.
#[derive(Clone)]
pub(super) struct Notes {
    wanted: Arc<AtomicBool>,
    room: Arc<Semaphore>,
    waiting: mpsc::UnboundedSender<Waiting>,
    metrics: Metrics,
}

/// The notes of a batch, and the room that they take up.
pub(super) struct Waiting {
    pub(super) notes: Vec<Note>,
    _room: OwnedSemaphorePermit,
}

impl Name {
    pub(super) const DIGEST_BYTES: usize = 8;

    /// The name of a message that says `header` of itself.
    pub(super) fn new(delivery: &Delivery, sender: Option<Arc<Sender>>, header: Option<&Header>) -> Self {
        let hash = Sha256::digest(&delivery.payload);
        Name {
            device_id: delivery.device_id.clone(),
            sender,
            counter: header.map(|header| header.counter),
            key_version: header.map(|header| header.key_version),
            digest: *hash.first_chunk().expect("SHA-256 has 32 bytes"),
        }
    }

    /// The note about it; none: nothing is known of what became of it.
    pub(super) fn note(self: Box<Self>, settled: &Settled) -> Option<Note> {
        Some(Note { verdict: settled.verdict()?, name: self })
    }
}

impl Notes {
    /// The place, and who takes from it. While `wanted` is false nothing is noted.
    pub(super) fn open(wanted: Arc<AtomicBool>, guard: Arc<Guard>, metrics: Metrics) -> (Self, Notary) {
        let (waiting, taken) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(WAITING_MAX));
        (Notes { wanted, room, waiting, metrics: metrics.clone() }, Notary::new(taken, guard, metrics))
    }

    /// Whether somebody may hear of what becomes of a message.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Leaves the notes of a batch, as many as there is room for.
    pub(super) fn leave(&self, mut notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let all = notes.len();
        notes.truncate(self.room.available_permits());
        let noted = self.try_leave(notes);
        self.metrics.receipts_left_out(LeftOut::Full, all - noted);
    }

    /// The number of notes that were left: all of them, or none.
    fn try_leave(&self, notes: Vec<Note>) -> usize {
        let count = notes.len();
        // Another hand may have been faster.
        let room = self.room.clone().try_acquire_many_owned(count as u32);
        let Some(room) = room.ok().filter(|_| count > 0) else { return 0 };
        // Without a notary the gateway is at its end, and so are its devices' connections.
        let _ = self.waiting.send(Waiting { notes, _room: room });
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    const ROOM: usize = 5;

    fn note() -> Note {
        let name =
            Name { device_id: "pump".into(), sender: None, counter: Some(1), key_version: Some(1), digest: [7; 8] };
        Note { name: Box::new(name), verdict: Verdict::Stored }
    }

    fn notes(registry: &Registry) -> (Notes, mpsc::UnboundedReceiver<Waiting>) {
        let (waiting, taken) = mpsc::unbounded_channel();
        let (room, metrics) = (Arc::new(Semaphore::new(ROOM)), Metrics::new(registry));
        (Notes { wanted: Arc::default(), room, waiting, metrics }, taken)
    }

    fn left_out(registry: &Registry) -> String {
        let text = String::from_utf8(registry.render()).unwrap();
        let series = "sealgate_ingest_receipts_left_out_total{cause=\"full\"} ";
        text.lines().find_map(|line| line.strip_prefix(series)).unwrap().to_owned()
    }

    #[tokio::test]
    async fn at_the_bound_notes_are_left_out_and_counted() {
        let registry = Registry::default();
        let (notes, mut taken) = notes(&registry);
        notes.leave(Vec::new());
        notes.leave(vec![note(); 3]);
        notes.leave(vec![note(); 4]);
        notes.leave(vec![note(); 2]);
        assert_eq!(left_out(&registry), "4");
        assert_eq!((taken.recv().await.unwrap().notes.len(), taken.recv().await.unwrap().notes.len()), (3, 2));
        assert!(taken.is_empty());
        // What was taken has given its room back.
        notes.leave(vec![note(); ROOM + 1]);
        assert_eq!(taken.recv().await.unwrap().notes.len(), ROOM);
        assert_eq!(left_out(&registry), "5");
    }

    #[test]
    fn what_is_lost_leaves_no_note() {
        assert!(note().name.note(&Settled::Lost).is_none());
        assert!(note().name.note(&Settled::Stored).is_some());
    }
}
