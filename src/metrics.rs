//! How every area counts: one registry, and label values that come from closed enums.
//!
//! An area's `metrics.rs` registers its series here once, at start. A series with a label exists for each value of the label's
//! enum from the start, with 0, so that a rate over a reason that has never come is 0 and not a gap. Labels never carry foreign
//! input: there is no way to register one without a [`Label`]. What is counted, and where, is each area's own affair.

use prometheus::core::Collector;
use prometheus::{Encoder, HistogramOpts, Opts, TextEncoder};

pub use prometheus::{Histogram, IntCounter, IntGauge};

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value as Prometheus shows it.
    fn as_str(self) -> &'static str;
    /// The value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Makes a [`Label`] of an enum without fields: the label's name, and each variant's value, in the order of their declaration.
macro_rules! label {
    ($type:ident as $name:literal: $($variant:ident = $value:literal),+ $(,)?) => {
        impl $crate::metrics::Label for $type {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$($type::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => $value,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use label;

/// The series of one gateway. Each gateway has its own, so that two in one process do not mix.
#[derive(Clone, Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// A counter; `name` ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help).expect("series names are literals and valid"))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help).expect("series names are literals and valid"))
    }

    /// A histogram over `buckets` (upper bounds, ascending).
    pub fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets);
        self.keep(Histogram::with_opts(opts).expect("series names are literals and valid"))
    }

    /// One counter for each value of `L`.
    pub fn counter_by<L: Label>(&self, name: &str, help: &str) -> CountBy<L> {
        let family = prometheus::IntCounterVec::new(Opts::new(name, help), &[L::NAME])
            .expect("series names are literals and valid");
        let cells = L::ALL.iter().map(|value| family.with_label_values(&[value.as_str()]));
        let counters = CountBy { cells: cells.collect(), label: std::marker::PhantomData };
        self.keep(family);
        counters
    }

    /// One gauge for each value of `L`.
    pub fn gauge_by<L: Label>(&self, name: &str, help: &str) -> GaugeBy<L> {
        let family = prometheus::IntGaugeVec::new(Opts::new(name, help), &[L::NAME])
            .expect("series names are literals and valid");
        let cells = L::ALL.iter().map(|value| family.with_label_values(&[value.as_str()]));
        let gauges = GaugeBy { cells: cells.collect(), label: std::marker::PhantomData };
        self.keep(family);
        gauges
    }

    /// A gauge with constant labels, as `build_info` has it.
    pub fn gauge_with(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> IntGauge {
        let opts = labels.iter().fold(Opts::new(name, help), |opts, (label, value)| opts.const_label(*label, *value));
        self.keep(IntGauge::with_opts(opts).expect("series names are literals and valid"))
    }

    /// Registers a collector that makes its figures when it is asked, so that they belong to one moment.
    pub fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        let kept = self.0.register(Box::new(collector.clone()));
        kept.expect("each series is registered once, by its area");
        collector
    }

    /// The exposition text, version 0.0.4.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.0.gather(), &mut text);
        encoded.expect("writing to a vector does not fail");
        text
    }
}

/// A counter for each value of a [`Label`].
#[derive(Clone)]
pub struct CountBy<L> {
    cells: Vec<IntCounter>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label> CountBy<L> {
    /// Adds one under `value`.
    pub fn inc(&self, value: L) {
        self.cells[value.index()].inc();
    }

    /// Adds `count` under `value`.
    pub fn add(&self, value: L, count: u64) {
        self.cells[value.index()].inc_by(count);
    }
}

/// A gauge for each value of a [`Label`].
#[derive(Clone)]
pub struct GaugeBy<L> {
    cells: Vec<IntGauge>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label> GaugeBy<L> {
    /// Shows `figure` under `value`.
    pub fn set(&self, value: L, figure: i64) {
        self.cells[value.index()].set(figure);
    }

    /// What is shown under `value`.
    pub fn get(&self, value: L) -> i64 {
        self.cells[value.index()].get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Colour {
        Red,
        Blue,
    }

    label! { Colour as "colour": Red = "red", Blue = "blue" }

    #[test]
    fn every_value_of_a_label_stands_there_from_the_start() {
        let registry = Registry::default();
        let seen = registry.counter_by::<Colour>("sealgate_test_seen_total", "Colours seen.");
        seen.inc(Colour::Blue);
        let text = String::from_utf8(registry.render()).expect("the exposition text is UTF-8");
        assert!(text.contains("sealgate_test_seen_total{colour=\"red\"} 0"), "{text}");
        assert!(text.contains("sealgate_test_seen_total{colour=\"blue\"} 1"), "{text}");
    }
}
