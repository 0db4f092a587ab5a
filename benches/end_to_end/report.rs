//! What was measured, as a table: medians of the rounds, with the goals beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Options;
use super::bare::{Took, Way};
use super::load::Measured;

/// What is to be reached, by the specification of this benchmark.
const RATIO_MIN: f64 = 0.6;
const CPU_MICROS_MAX: f64 = 10.0;

/// The figures of all rounds.
pub(crate) struct Report {
    shape: String,
    /// Messages of a round.
    total: usize,
    pub(crate) tried: Vec<(Way, f64)>,
    pub(crate) gateway: Vec<Measured>,
    /// Mean messages of a commit of the gateway, a round each.
    pub(crate) batches: Vec<f64>,
    pub(crate) bare: BTreeMap<String, Vec<Took>>,
    pub(crate) relays: BTreeMap<String, Vec<Measured>>,
}

impl Report {
    pub(crate) fn new(total: usize, options: &Options) -> Report {
        let shape = format!(
            "{} rounds of {total} messages: {} devices, {} each, envelopes of {} bytes at QoS 1, window {}",
            options.rounds,
            options.devices,
            options.messages,
            super::fleet::ENVELOPE_BYTES,
            options.window
        );
        let (gateway, bare, relays) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Report { shape, total, tried: Vec::new(), gateway, batches: Vec::new(), bare, relays }
    }

    pub(crate) fn print(&self) {
        println!("{}", self.shape);
        println!("each figure is the median of the rounds\n");
        self.print_gateway();
        self.print_bare();
        self.print_relays();
        self.print_tried();
    }

    fn print_gateway(&self) {
        if self.gateway.is_empty() {
            return;
        }
        println!("gateway");
        line("verified and committed", rate(&self.gateway), "messages/s", "");
        let least = self.relay_micros().map(|micros| format!(", and at most Mosquitto's {micros:.1}"));
        let goal = format!("goal: at most {CPU_MICROS_MAX}{}", least.unwrap_or_default());
        line("processor time", server_micros(&self.gateway), "µs/message", &goal);
        line("PUBLISH to PUBACK, p50", quantile(&self.gateway, 0.50), "ms", "");
        line("PUBLISH to PUBACK, p99", quantile(&self.gateway, 0.99), "ms", "");
        line("messages of a commit, mean", median(self.batches.iter().copied()), "messages", "");
        line("load generator", own_micros(&self.gateway), "µs/message", "not counted above");
        println!();
    }

    fn print_bare(&self) {
        for (way, took) in &self.bare {
            println!("bare insert of the same rows: {way}");
            let bare = median(took.iter().map(|took| took.messages as f64 / took.took.as_secs_f64()));
            line("inserted and committed", bare, "messages/s", "");
            let cpu = median(took.iter().map(|took| micros(took.cpu, took.messages)));
            // sqlx inserts on another thread, which is not asked.
            line("processor time of the thread", cpu, "µs/message", "");
            if !self.gateway.is_empty() {
                line("gateway / bare insert", rate(&self.gateway) / bare, "", &format!("goal: at least {RATIO_MIN}"));
            }
            println!();
        }
    }

    fn print_relays(&self) {
        for (name, measured) in &self.relays {
            println!("merely relayed: {name}");
            line("acknowledged", rate(measured), "messages/s", "");
            let relayed = measured.iter().map(|run| run.relayed.unwrap_or(0) as f64);
            line("reached the subscriber", median(relayed), "messages", &format!("of {}", self.total));
            line("processor time", server_micros(measured), "µs/message", "");
            line("PUBLISH to PUBACK, p50", quantile(measured, 0.50), "ms", "");
            line("PUBLISH to PUBACK, p99", quantile(measured, 0.99), "ms", "");
            println!();
        }
    }

    fn print_tried(&self) {
        if !self.tried.is_empty() {
            println!("ways of the bare insert that were tried once, messages/s");
        }
        for (way, rate) in &self.tried {
            println!("  {rate:>10.0}  {way}");
        }
    }

    /// The least of Mosquitto's, so that the goal is the hardest.
    fn relay_micros(&self) -> Option<f64> {
        let mosquitto = self.relays.iter().filter(|(name, _)| name.starts_with("Mosquitto"));
        mosquitto.map(|(_, measured)| server_micros(measured)).min_by(f64::total_cmp)
    }
}

pub(crate) fn line(name: &str, figure: f64, unit: &str, beside: &str) {
    let digits = if figure >= 1_000.0 { 0 } else { 2 };
    println!("{}", format!("  {name:<30} {figure:>10.digits$} {unit:<12} {beside}").trim_end());
}

pub(crate) fn rate(runs: &[Measured]) -> f64 {
    median(runs.iter().map(|run| run.acknowledged as f64 / run.took.as_secs_f64()))
}

pub(crate) fn server_micros(runs: &[Measured]) -> f64 {
    median(runs.iter().map(|run| micros(run.server_cpu, run.acknowledged)))
}

fn own_micros(runs: &[Measured]) -> f64 {
    median(runs.iter().map(|run| micros(run.own_cpu, run.acknowledged)))
}

pub(crate) fn micros(time: Duration, messages: usize) -> f64 {
    time.as_secs_f64() * 1e6 / messages.max(1) as f64
}

/// In milliseconds.
pub(crate) fn quantile(runs: &[Measured], part: f64) -> f64 {
    let of = |run: &Measured| {
        let last = run.latencies.len().saturating_sub(1);
        run.latencies.get((last as f64 * part) as usize).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    median(runs.iter().map(of))
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
