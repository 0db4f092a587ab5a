//! What operators see of the gateway itself.

use crate::metrics::Registry;

/// Registers `sealgate_admin_plaintext`: 1 if this door stands open without TLS, as the operator accepted.
pub(super) fn plaintext(registry: &Registry, exposed: bool) {
    let help = "1 if the admin HTTP listener stands open without TLS, as the operator accepted.";
    registry.gauge("sealgate_admin_plaintext", help).set(i64::from(exposed));
}

/// Registers `sealgate_build_info`: always 1, and what is running in its labels.
pub(super) fn build_info(registry: &Registry) {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("os", std::env::consts::OS),
        ("arch", std::env::consts::ARCH),
        ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }),
    ];
    registry.gauge_with("sealgate_build_info", "Always 1; what is running is in the labels.", &labels).set(1);
}
