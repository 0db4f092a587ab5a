//! What the pipeline counts besides the law: how large batches are, how long commits and acknowledgements take.

use std::time::Duration;

use crate::metrics::{CountBy, Histogram, IntCounter, IntGauge, Registry, label};
use crate::store::{Kept, Usage};

label! { Kept as "kept": Quarantined = "yes", OverBound = "over_bound" }

/// Why a device is not told what became of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeftOut {
    /// As many wait to be told as may.
    Full,
    /// No key of the device is valid.
    NoKey,
}

label! { LeftOut as "cause": Full = "full", NoKey = "no_key" }

/// Why an acknowledged message is not stored after all.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undone {
    /// Its counter was used by another envelope.
    Replayed,
    /// The database refuses what it says.
    BadPayload,
}

label! { Undone as "reason": Replayed = "replayed", BadPayload = "bad_payload" }

/// The pipeline's own series.
#[derive(Clone)]
pub struct Metrics {
    quarantined: CountBy<Kept>,
    batch_messages: Histogram,
    commit_seconds: Histogram,
    commit_failures: IntCounter,
    acknowledgement_seconds: Histogram,
    unpublished: IntCounter,
    receipts: IntCounter,
    receipts_left_out: CountBy<LeftOut>,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        let seconds = || vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let messages = (0..13).map(|power| f64::from(1 << power)).collect();
        Metrics {
            quarantined: registry.counter_by(
                "sealgate_ingest_quarantined_total",
                "Refused envelopes, by whether their bytes were kept.",
            ),
            batch_messages: registry.histogram("sealgate_ingest_batch_messages", "Messages in one commit.", messages),
            commit_seconds: registry.histogram("sealgate_ingest_commit_seconds", "Time of one commit.", seconds()),
            commit_failures: registry
                .counter("sealgate_ingest_commit_failures_total", "Commits that failed and were tried again."),
            acknowledgement_seconds: registry.histogram(
                "sealgate_ingest_acknowledgement_seconds",
                "Time from a message's packet to its settled receipt.",
                seconds(),
            ),
            unpublished: registry.counter(
                "sealgate_ingest_unpublished_total",
                "Stored messages whose readings were not published, because subscribers fell behind.",
            ),
            receipts: registry.counter("sealgate_ingest_receipts_total", "Messages that a sealed receipt names."),
            receipts_left_out: registry.counter_by(
                "sealgate_ingest_receipts_left_out_total",
                "Messages that no receipt names, though their device may have listened.",
            ),
        }
    }

    pub(super) fn committed(&self, messages: usize, took: Duration) {
        self.batch_messages.observe(messages as f64);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn commit_failed(&self) {
        self.commit_failures.inc();
    }

    /// Counts what a batch was acknowledged after, each message by itself, and adds it to the series in one step.
    pub(super) fn acknowledged(&self, batch: impl Iterator<Item = Duration>) {
        let seconds = self.acknowledgement_seconds.local();
        batch.for_each(|took| seconds.observe(took.as_secs_f64()));
        seconds.flush();
    }

    pub(super) fn kept(&self, kept: Option<Kept>) {
        if let Some(kept) = kept {
            self.quarantined.inc(kept);
        }
    }

    pub(super) fn receipts_sealed(&self, messages: usize) {
        self.receipts.inc_by(messages as u64);
    }

    pub(super) fn receipts_left_out(&self, cause: LeftOut, messages: usize) {
        self.receipts_left_out.add(cause, messages as u64);
    }

    pub(super) fn unpublished(&self, messages: usize) {
        self.unpublished.inc_by(messages as u64);
    }
}

/// What the spool counts, be there one or not.
#[derive(Clone)]
pub(super) struct SpoolMetrics {
    away: IntGauge,
    messages: IntGauge,
    bytes: IntGauge,
    bytes_max: IntGauge,
    spooled: IntCounter,
    refusals: IntCounter,
    undone: CountBy<Undone>,
}

impl SpoolMetrics {
    /// Registers the series.
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name, help| registry.gauge(name, help);
        let counter = |name, help| registry.counter(name, help);
        SpoolMetrics {
            away: gauge("sealgate_ingest_spooling", "1 while the database is away and messages go to the spool."),
            messages: gauge("sealgate_ingest_spool_messages", "Messages in the spool."),
            bytes: gauge("sealgate_ingest_spool_bytes", "Bytes of the messages in the spool."),
            bytes_max: gauge("sealgate_ingest_spool_bytes_max", "Bytes that the spool may hold; 0 without a spool."),
            spooled: counter("sealgate_ingest_spooled_total", "Messages that were answered from the spool."),
            refusals: counter(
                "sealgate_ingest_spool_failures_total",
                "Batches that the spool did not take, because it or its disk was full; they were held.",
            ),
            undone: registry.counter_by(
                "sealgate_ingest_spool_undone_total",
                "Messages acknowledged from the spool that the database refused afterwards.",
            ),
        }
    }

    pub(super) fn away(&self, away: bool) {
        self.away.set(i64::from(away));
    }

    pub(super) fn holds(&self, usage: Usage, bytes_max: u64) {
        let saturated = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.messages.set(saturated(usage.rows));
        self.bytes.set(saturated(usage.bytes));
        self.bytes_max.set(saturated(bytes_max));
    }

    pub(super) fn spooled(&self, messages: usize) {
        self.spooled.inc_by(messages as u64);
    }

    pub(super) fn refused(&self) {
        self.refusals.inc();
    }

    pub(super) fn undone(&self, undone: Undone) {
        self.undone.inc(undone);
    }
}
