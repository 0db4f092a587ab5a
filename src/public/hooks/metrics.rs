//! What is counted of the hooks: each request once, by the hook and by what became of it.

use prometheus::{IntCounterVec, Opts};

use super::Hook;
use crate::metrics::{IntCounter, Label as _, Registry, label};

/// The series of the hooks.
#[derive(Clone)]
pub(super) struct Metrics {
    /// By the hook, then by the outcome.
    requests: Vec<IntCounter>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that was asked for is granted.
    Allowed,
    /// Of several topics some are granted.
    Partly,
    /// Nothing is.
    Denied,
    /// The registry could not be asked, so nothing is.
    Unavailable,
    /// The body is not what the broker's documentation says.
    Malformed,
    /// Whoever asks has not shown the secret.
    WrongSecret,
}

label! {
    Outcome as "result":
    Allowed = "allowed",
    Partly = "partly",
    Denied = "denied",
    Unavailable = "unavailable",
    Malformed = "malformed",
    WrongSecret = "wrong_secret",
}

impl Metrics {
    /// Registers the series, which is there too where the hooks are off.
    pub(super) fn new(registry: &Registry) -> Self {
        let opts = Opts::new("sealgate_hooks_requests_total", "What other brokers asked about their clients.");
        let labels = [Hook::NAME, Outcome::NAME];
        let family = registry.keep(IntCounterVec::new(opts, &labels).expect("series names are literals and valid"));
        let cell = |hook: Hook, outcome: Outcome| family.with_label_values(&[hook.as_str(), outcome.as_str()]);
        let of_hook = |hook: Hook| Outcome::ALL.iter().map(move |&outcome| (hook, outcome));
        let requests = Hook::ALL.iter().flat_map(|&hook| of_hook(hook)).map(|(hook, outcome)| cell(hook, outcome));
        Metrics { requests: requests.collect() }
    }

    pub(super) fn inc(&self, hook: Hook, outcome: Outcome) {
        self.requests[hook.index() * Outcome::ALL.len() + outcome.index()].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_and_outcome_has_its_own_counter() {
        let registry = Registry::default();
        let metrics = Metrics::new(&registry);
        for &hook in Hook::ALL {
            Outcome::ALL.iter().for_each(|&outcome| {
                (0..=hook.index() * 10 + outcome.index()).for_each(|_| metrics.inc(hook, outcome));
            });
        }
        let text = String::from_utf8(registry.render()).unwrap();
        for &hook in Hook::ALL {
            for &outcome in Outcome::ALL {
                let (count, hook, outcome) = (hook.index() * 10 + outcome.index() + 1, hook.as_str(), outcome.as_str());
                let line = format!("sealgate_hooks_requests_total{{hook=\"{hook}\",result=\"{outcome}\"}} {count}\n");
                assert!(text.contains(&line), "{line} is not in {text}");
            }
        }
    }
}
