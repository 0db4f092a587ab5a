//! The way of one message to the writer: find its sender, judge it, decode it.
//!
//! This is CPU alone as long as the sender is in the guard's cache. Where it is not, the look-up runs in a task of its own, so
//! that a slow database never stops a connection's task from reading a PINGREQ.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::warn;

use super::content::BadPayload;
use super::ledger::{EncodingLabel, Origin, Receipt};
use super::notes::{Name, Note, Notes};
use super::{Cause, Config, Inbox, Ledger, Permit, Settled, content};
use crate::metrics::Label;
use crate::seal::{Genuine, Guard, Header, Reason, Refusal, Sender};
use crate::store::{Accepted, Entry, Reading, Refused, Value};

/// Up to this size a payload does not keep the buffer that it came in, which may be four times as large (`edge`, READ_BYTES_BUSY).
const COPIED_BYTES_MAX: usize = 4096;

/// One message to a telemetry topic, as the connection has it.
pub struct Delivery {
    /// Whose telemetry topic it is: what the login said.
    pub device_id: Arc<str>,
    /// The envelope.
    pub payload: Bytes,
    /// When its packet was parsed, Unix ms.
    pub received_at_ms: i64,
    /// The same moment, for latency.
    pub received_at: Instant,
    /// How it is counted, should it turn out a duplicate.
    pub origin: Origin,
}

impl Delivery {
    /// A delivery whose packet came just now. A payload that is small against the buffer that it was read into is copied, so that what
    /// is held is what is charged for it.
    #[expect(clippy::disallowed_methods, reason = "drivers alone make deliveries")]
    pub fn new(device_id: Arc<str>, payload: Bytes, origin: Origin) -> Self {
        let payload = if payload.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&payload) } else { payload };
        let received_at_ms = unix_ms(SystemTime::now());
        Delivery { device_id, payload, received_at_ms, received_at: Instant::now(), origin }
    }
}

/// The door of the pipeline. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Ingest {
    guard: Arc<Guard>,
    ledger: Ledger,
    jobs: mpsc::UnboundedSender<Job>,
    notes: Notes,
    retry_delay_max: Duration,
}

/// A judged message on its way to the writer. The queue of jobs has no bound of its own: each holds its [`Permit`].
pub(super) struct Job {
    pub(super) entry: Entry,
    pub(super) pending: Pending,
}

/// What the writer keeps of a message while its entry is in the store's hands.
pub(super) struct Pending {
    pub(super) receipt: Receipt,
    pub(super) received_at: Instant,
    pub(super) origin: Origin,
    pub(super) encoding: EncodingLabel,
    /// Set where the message is refused already.
    pub(super) refused: Option<(Reason, Option<Box<str>>)>,
    /// Set where somebody may hear what becomes of it.
    pub(super) name: Option<Box<Name>>,
    pub(super) _permit: Permit,
}

impl Ingest {
    /// The door, and the receiving end for the writer.
    pub(super) fn new(
        config: &Config,
        guard: Arc<Guard>,
        ledger: Ledger,
        notes: Notes,
    ) -> (Self, mpsc::UnboundedReceiver<Job>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        (Ingest { guard, ledger, jobs, notes, retry_delay_max: config.retry_delay_max }, queue)
    }

    /// Counts a message as received; its receipt settles into `inbox` under `ticket`.
    pub fn receive(&self, inbox: &Arc<Inbox>, ticket: u64) -> Receipt {
        self.ledger.receive(inbox, ticket)
    }

    /// Takes a message on. Never waits: its receipt settles later, and gives back `permit`, its part of the common bound in bytes.
    pub fn submit(&self, delivery: Delivery, receipt: Receipt, permit: Permit) {
        match self.guard.known(&delivery.device_id) {
            Some(sender) => self.judge(delivery, receipt, permit, Some(sender)),
            None => drop(tokio::spawn(self.clone().look_up_and_judge(delivery, receipt, permit))),
        }
    }

    /// The same law for whoever scrapes.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn look_up_and_judge(self, delivery: Delivery, receipt: Receipt, permit: Permit) {
        let sender = tokio::select! {
            sender = self.look_up(&delivery.device_id) => sender,
            // The writer takes nothing any more, so nobody has to wait for the registry.
            () = self.jobs.closed() => return receipt.give_up(Cause::Shutdown),
        };
        self.judge(delivery, receipt, permit, sender);
    }

    /// Asks the registry until it answers.
    async fn look_up(&self, device_id: &Arc<str>) -> Option<Arc<Sender>> {
        let mut delay = Duration::from_millis(50);
        loop {
            match self.guard.look_up(device_id).await {
                Ok(sender) => return sender,
                Err(error) => warn!(%error, "The registry cannot be read; the message is held."),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(self.retry_delay_max);
        }
    }

    fn judge(&self, delivery: Delivery, receipt: Receipt, mut permit: Permit, sender: Option<Arc<Sender>>) {
        let judged = match self.guard.judge(&delivery.payload, sender.as_deref(), delivery.received_at_ms) {
            Ok(genuine) => accept(&delivery, &genuine),
            Err(refusal) => refuse(&delivery, refusal, None),
        };
        if let Entry::Accepted(accepted) = &judged.entry
            && let Some(bytes) = heap_bytes(&accepted.readings).checked_sub(READINGS_BYTES_FREE)
        {
            permit.grow(bytes);
        }
        let name = self.notes.are_wanted().then(|| Box::new(Name::new(&delivery, sender, judged.header.as_ref())));
        let pending = Pending {
            receipt,
            received_at: delivery.received_at,
            origin: delivery.origin,
            encoding: judged.encoding,
            refused: judged.refused,
            name,
            _permit: permit,
        };
        // Without a writer the job is dropped, and its receipt says Lost.
        let _ = self.jobs.send(Job { entry: judged.entry, pending });
    }
}

/// Readings up to this size are covered by what every permit charges besides the envelope.
const READINGS_BYTES_FREE: usize = 512;

/// What readings hold while they wait for the writer: a small envelope can say much, since SenML's base name stands in each record.
fn heap_bytes(readings: &[Reading]) -> usize {
    let strings = readings.iter().map(|reading| {
        let value = match &reading.value {
            Some(Value::String(text) | Value::Data(text)) => text.len(),
            _ => 0,
        };
        reading.name.len() + reading.unit.as_ref().map_or(0, String::len) + value
    });
    std::mem::size_of_val(readings) + strings.sum::<usize>()
}

fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Why what nobody can have played back for certain is refused as if it were.
const FORGOTTEN: &str = "its counter is not above those that retention has dropped";

struct Judged {
    entry: Entry,
    encoding: EncodingLabel,
    header: Option<Header>,
    refused: Option<(Reason, Option<Box<str>>)>,
}

fn accept(delivery: &Delivery, genuine: &Genuine<'_>) -> Judged {
    match decode(&delivery.device_id, &delivery.payload, delivery.received_at_ms, genuine) {
        Ok(accepted) => {
            let encoding = EncodingLabel::from(Some(genuine.header.encoding));
            Judged { entry: Entry::Accepted(accepted), encoding, header: Some(genuine.header), refused: None }
        }
        Err(bad) => refuse(delivery, Refusal::bad_payload(genuine), Some(bad.to_string().into())),
    }
}

/// What of a genuine envelope goes into the store.
pub fn decode(
    device_id: &Arc<str>,
    envelope: &Bytes,
    received_at_ms: i64,
    genuine: &Genuine<'_>,
) -> Result<Accepted, BadPayload> {
    let header = &genuine.header;
    let fallback_time_ms = header.time_ms.unwrap_or(received_at_ms);
    let readings = content::decode(header.content_format, &genuine.payload, fallback_time_ms)?;
    Ok(Accepted {
        device_id: device_id.clone(),
        seen: genuine.seen,
        device_time_ms: header.time_ms,
        received_at_ms,
        encoding: header.encoding.as_str(),
        content_format: header.content_format.expect("content::decode() refuses what has no format"),
        bytes: envelope.clone(),
        readings,
    })
}

fn refuse(delivery: &Delivery, refusal: Refusal, detail: Option<Box<str>>) -> Judged {
    let encoding = EncodingLabel::from(refusal.encoding);
    let entry = Entry::Refused(Refused {
        device_id: delivery.device_id.clone(),
        received_at_ms: delivery.received_at_ms,
        reason: refusal.reason.as_str(),
        encoding: encoding.as_str(),
        bytes: delivery.payload.clone(),
        unless_stored: refusal.unless_stored,
    });
    Judged { entry, encoding, header: refusal.header, refused: Some((refusal.reason, detail)) }
}

impl Pending {
    /// What its device is to be told, if somebody may hear of it.
    pub(super) fn note(&mut self, settled: &Settled) -> Option<Note> {
        self.name.take()?.note(settled)
    }

    /// What it means for the sender that the message is in the spool.
    pub(super) fn spooled(&mut self) -> Settled {
        match self.refused.take() {
            Some((reason, detail)) => Settled::Rejected { reason, encoding: self.encoding, detail },
            None => Settled::Spooled,
        }
    }

    /// What the store's outcome means for the sender.
    pub(super) fn settled(&mut self, outcome: crate::store::Outcome) -> Settled {
        use crate::store::Outcome;
        let rejected = |reason, detail| Settled::Rejected { reason, encoding: self.encoding, detail };
        match outcome {
            Outcome::Stored => Settled::Stored,
            Outcome::Duplicate => Settled::Duplicate(self.origin),
            Outcome::Replayed(_) => rejected(Reason::Replayed, None),
            Outcome::Forgotten(_) => rejected(Reason::Replayed, Some(FORGOTTEN.into())),
            Outcome::BadPayload(_) => rejected(Reason::BadPayload, None),
            Outcome::Refused(_) => {
                let (reason, detail) =
                    self.refused.take().expect("the store refuses only what was given to it as refused");
                rejected(reason, detail)
            }
        }
    }
}
