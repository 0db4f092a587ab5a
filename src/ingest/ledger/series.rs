//! The counts as Prometheus sees them.
//!
//! The series are made anew of one snapshot at each scrape, and not kept beside the counts: figures that are written one by one
//! would show a scrape the middle of a step.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use super::{Cause, Counts, EncodingLabel, Origin};
use crate::metrics::Label;
use crate::seal::Reason;

/// Seven families: the terms of the law.
pub(super) struct Series {
    received: IntCounter,
    recovered: IntCounter,
    stored: IntCounter,
    duplicate: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    in_flight: IntGauge,
}

impl Default for Series {
    fn default() -> Self {
        Series::of(&Counts::default())
    }
}

impl Series {
    /// `counts`, with every value of every label.
    pub(super) fn of(counts: &Counts) -> Self {
        let series = Series {
            received: counter("sealgate_ingest_received_total", "Messages to telemetry topics that were taken on."),
            recovered: counter(
                "sealgate_ingest_recovered_total",
                "Messages that a process before this one spooled and acknowledged.",
            ),
            stored: counter("sealgate_ingest_stored_total", "Messages verified and committed."),
            duplicate: counters(
                "sealgate_ingest_duplicate_total",
                "Messages whose same envelope was stored before, by why it came again.",
                &[Origin::NAME],
            ),
            rejected: counters(
                "sealgate_ingest_rejected_total",
                "Messages refused, by reason and by the encoding that the first byte claims.",
                &["reason", EncodingLabel::NAME],
            ),
            dropped: counters(
                "sealgate_ingest_dropped_total",
                "Messages neither stored nor refused, and not acknowledged.",
                &[Cause::NAME],
            ),
            in_flight: gauge(
                "sealgate_ingest_in_flight",
                "Messages whose receipt has not settled, and messages in the spool.",
            ),
        };
        series.fill(counts);
        series
    }

    pub(super) fn desc(&self) -> Vec<&Desc> {
        self.families().into_iter().flat_map(|family| family.desc()).collect()
    }

    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        self.families().into_iter().flat_map(|family| family.collect()).collect()
    }

    fn fill(&self, counts: &Counts) {
        self.received.inc_by(counts.received());
        self.recovered.inc_by(counts.recovered());
        self.stored.inc_by(counts.stored());
        self.in_flight.set(counts.in_flight() as i64);
        for &origin in Origin::ALL {
            self.duplicate.with_label_values(&[origin.as_str()]).inc_by(counts.duplicate(origin));
        }
        for &cause in Cause::ALL {
            self.dropped.with_label_values(&[cause.as_str()]).inc_by(counts.dropped(cause));
        }
        for &reason in Reason::ALL.iter() {
            for &encoding in EncodingLabel::ALL {
                let cell = self.rejected.with_label_values(&[reason.as_str(), encoding.as_str()]);
                cell.inc_by(counts.rejected(reason, encoding));
            }
        }
    }

    fn families(&self) -> [&dyn Collector; 7] {
        [&self.received, &self.recovered, &self.stored, &self.duplicate, &self.rejected, &self.dropped, &self.in_flight]
    }
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(VALID)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(VALID)
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect(VALID)
}

const VALID: &str = "series names are literals and valid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_value_stands_there_from_the_start() {
        let families = Series::default().collect();
        let cells = |name: &str| families.iter().find(|family| family.name() == name).unwrap().get_metric().len();
        assert_eq!(cells("sealgate_ingest_received_total"), 1);
        assert_eq!(cells("sealgate_ingest_recovered_total"), 1);
        assert_eq!(cells("sealgate_ingest_stored_total"), 1);
        assert_eq!(cells("sealgate_ingest_duplicate_total"), 2);
        assert_eq!(cells("sealgate_ingest_rejected_total"), 11 * 4);
        assert_eq!(cells("sealgate_ingest_dropped_total"), 2);
        assert_eq!(cells("sealgate_ingest_in_flight"), 1);
    }
}
