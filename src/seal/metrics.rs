//! What is counted of keys.

use crate::metrics::{CountBy, IntCounter, IntGauge, Registry, label};

/// The series of this area.
#[derive(Clone)]
pub struct Metrics {
    pub(super) fetched: IntCounter,
    pub(super) opened: CountBy<KeyAge>,
    pub(super) newest: IntGauge,
}

/// With which of its keys a device has sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyAge {
    /// The newest that it may have.
    Newest,
    /// One before that.
    Older,
}

label! { KeyAge as "key": Newest = "newest", Older = "older" }

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            fetched: registry
                .counter("sealgate_seal_keys_fetched_total", "Seal keys that devices have fetched, each of its own."),
            opened: registry.counter_by(
                "sealgate_seal_opened_total",
                "Envelopes that were opened, by whether their key is the newest that the device may have.",
            ),
            newest: registry.gauge(
                "sealgate_seal_master_key_newest",
                "The newest version of the master key that this gateway holds.",
            ),
        }
    }
}
