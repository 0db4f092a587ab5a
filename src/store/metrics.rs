//! What the database takes.

use crate::metrics::{IntCounter, IntGauge, Registry};

/// The store's own series.
#[derive(Clone)]
pub struct Metrics {
    pub(super) bytes: IntGauge,
    pub(super) bytes_max: IntGauge,
    pub(super) dropped_envelopes: IntCounter,
    pub(super) dropped_readings: IntCounter,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            bytes: registry.gauge("sealgate_store_bytes", "Bytes of the database, all of its tables and indices."),
            bytes_max: registry
                .gauge("sealgate_store_bytes_max", "The bytes above which an alarm is raised; 0 where none is set."),
            dropped_envelopes: registry.counter(
                "sealgate_store_dropped_envelopes_total",
                "Envelopes that this gateway dropped because they were older than the retention.",
            ),
            dropped_readings: registry.counter(
                "sealgate_store_dropped_readings_total",
                "Readings that this gateway dropped because they were older than the retention.",
            ),
        }
    }
}
