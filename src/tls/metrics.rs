//! What happens to certificates while the gateway runs.

use crate::metrics::{CountBy, IntGauge, Registry, label};

/// What became of files that have changed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reload {
    /// They are in use.
    Loaded,
    /// They cannot be used.
    Failed,
}

label! { Reload as "result": Loaded = "loaded", Failed = "failed" }

/// The series of this area.
#[derive(Clone)]
pub struct Metrics {
    pub(super) reloads: CountBy<Reload>,
    registry: Registry,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            reloads: registry.counter_by(
                "sealgate_tls_reloads_total",
                "Certificate files that have changed, by whether they are in use.",
            ),
            registry: registry.clone(),
        }
    }

    /// Until when the certificate of a listener is good: a series for each one that has TLS, and for no other.
    pub(super) fn not_after(&self, listener: &'static str) -> IntGauge {
        let help = "When the certificate that the listener uses ends, Unix seconds.";
        self.registry.gauge_with("sealgate_tls_not_after_seconds", help, &[("listener", listener)])
    }

    /// Whether the files of a listener that has TLS are others than those in use.
    pub(super) fn unused(&self, listener: &'static str) -> IntGauge {
        let help = "1 while the certificate files of a listener cannot be used, and an older certificate is.";
        self.registry.gauge_with("sealgate_tls_files_unused", help, &[("listener", listener)])
    }
}
