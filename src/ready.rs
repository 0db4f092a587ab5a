//! Whether the gateway can do its work, part by part: what `/ready` answers, and what `sealgate_ready` shows.
//!
//! A part says itself how it is, when it notices; nothing is asked when somebody looks.

use crate::metrics::{GaugeBy, Label as _, Registry, label};

/// What the gateway needs to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The database answers.
    Store,
    /// What is verified is committed, or spooled where that is set.
    Writer,
    /// Tokens are issued, and those that come are checked.
    Issuer,
    /// The doors for clients are open.
    Doors,
    /// The broker that messages come from is subscribed to.
    Source,
}

label! { Part as "part": Store = "store", Writer = "writer", Issuer = "issuer", Doors = "doors", Source = "source" }

/// How each part is. Clones share it.
#[derive(Clone)]
pub struct Ready(GaugeBy<Part>);

impl Ready {
    /// No part is ready.
    pub fn new(registry: &Registry) -> Ready {
        Ready(
            registry.gauge_by(
                "sealgate_ready",
                "1 for each part of the gateway that can do its work; /ready says the same.",
            ),
        )
    }

    /// A part can do its work, or cannot.
    pub fn set(&self, part: Part, is_ready: bool) {
        self.0.set(part, i64::from(is_ready));
    }

    /// The parts that cannot.
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = Part::ALL.iter().filter(|part| self.0.get(**part) == 0);
        missing.map(|part| part.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_said_nothing_is_not_ready() {
        let ready = Ready::new(&Registry::default());
        assert_eq!(ready.missing(), ["store", "writer", "issuer", "doors", "source"]);
        Part::ALL.iter().for_each(|part| ready.set(*part, true));
        assert!(ready.missing().is_empty());
        ready.clone().set(Part::Writer, false);
        assert_eq!(ready.missing(), ["writer"]);
    }
}
