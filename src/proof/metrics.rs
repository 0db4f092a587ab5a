//! The newest checkpoint, for whoever wants to know later that there was one.

use crate::metrics::{IntCounter, IntGauge, Registry};

use super::statement::Statement;

/// The series of checkpoints.
#[derive(Clone)]
pub struct Metrics {
    number: IntGauge,
    root: IntGauge,
    pub(super) failures: IntCounter,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Metrics {
        Metrics {
            number: registry.gauge("sealgate_proof_checkpoint_number", "The number of the newest checkpoint."),
            root: registry.gauge(
                "sealgate_proof_checkpoint_root",
                "The first 48 bits of the newest checkpoint's root, as a number.",
            ),
            failures: registry
                .counter("sealgate_proof_checkpoint_failures_total", "Checkpoints that failed and were tried again."),
        }
    }

    pub(super) fn show(&self, newest: &Statement) {
        self.number.set(newest.number);
        self.root.set(newest.root_prefix());
    }
}
