//! What the database takes.

use crate::metrics::{IntGauge, Registry};

/// The store's own series.
#[derive(Clone)]
pub struct Metrics {
    pub(super) bytes: IntGauge,
    pub(super) bytes_max: IntGauge,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            bytes: registry.gauge("sealgate_store_bytes", "Bytes of the database, all of its tables and indices."),
            bytes_max: registry
                .gauge("sealgate_store_bytes_max", "The bytes above which an alarm is raised; 0 where none is set."),
        }
    }
}
