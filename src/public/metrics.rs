//! What the public listener counts.

use axum::http::StatusCode;

use crate::metrics::{CountBy, IntGauge, Registry, label};

/// The series of this area.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) answers: CountBy<Class>,
    pub(super) plaintext: IntGauge,
}

impl Metrics {
    /// Registers the series.
    pub(super) fn new(registry: &Registry) -> Self {
        Metrics {
            answers: registry.counter_by(
                "sealgate_public_answers_total",
                "Answers of the public HTTP listener, by class of status.",
            ),
            plaintext: registry.gauge(
                "sealgate_public_plaintext",
                "1 if the public HTTP listener stands open without TLS, as the operator accepted.",
            ),
        }
    }
}

/// The class of an answer's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Informed,
    Served,
    Redirected,
    Refused,
    Failed,
}

impl Class {
    pub(super) fn of(status: StatusCode) -> Self {
        match status.as_u16() / 100 {
            1 => Class::Informed,
            2 => Class::Served,
            3 => Class::Redirected,
            4 => Class::Refused,
            _ => Class::Failed,
        }
    }
}

label! {
    Class as "class":
    Informed = "1xx",
    Served = "2xx",
    Redirected = "3xx",
    Refused = "4xx",
    Failed = "5xx",
}
