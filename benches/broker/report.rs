//! What was measured, as a table: medians of the rounds, with the goals beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Options;
use super::load::{Measured, Shape};
use super::publisher::PAYLOAD_BYTES;
use super::server::Kind;

/// What is to be reached in fan-in at QoS 1, by the specification of this benchmark.
const MOSQUITTO_TIMES_MIN: f64 = 3.0;

/// The figures of all rounds.
pub(crate) struct Report {
    head: String,
    clients: usize,
    runs: BTreeMap<(Shape, Kind), Vec<Measured>>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Report {
        let Options { rounds, messages, clients, window, .. } = options;
        let head = format!(
            "{rounds} rounds, {messages} messages of {PAYLOAD_BYTES} bytes from each of {clients} publishers, or to each of {clients} \
             subscribers, window {window}"
        );
        Report { head, clients: *clients, runs: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, shape: Shape, kind: Kind, measured: Measured) {
        self.runs.entry((shape, kind)).or_default().push(measured);
    }

    pub(crate) fn print(&self) {
        println!("{}\neach figure is the median of the rounds", self.head);
        let shapes: std::collections::BTreeSet<Shape> = self.runs.keys().map(|(shape, _)| *shape).collect();
        for shape in shapes {
            let one_side = match shape.is_fan_in() {
                true => format!("{} publishers, one subscriber", self.clients),
                false => format!("one publisher, {} subscribers", self.clients),
            };
            let per = if shape.is_fan_in() { "µs/message" } else { "µs/delivery" };
            println!("\n{one_side}, QoS {}", shape.qos().as_u8());
            println!(
                "  {:<10} {:>14} {:>12} {:>9} {:>12} {:>10} {:>12}",
                "", "acknowledged/s", "delivered/s", "lost", per, "peak MiB", "generator"
            );
            for ((_, kind), runs) in self.runs.iter().filter(|((of, _), _)| *of == shape) {
                print_line(shape, *kind, runs);
            }
            if shape == Shape::FanIn1 {
                self.print_goals();
            }
        }
    }

    fn print_goals(&self) {
        let of = |kind, figure: fn(&Measured) -> f64| {
            let runs = self.runs.get(&(Shape::FanIn1, kind))?;
            Some(median(runs.iter().map(figure)))
        };
        let pair = |other, figure| Some((of(Kind::Gateway, figure)?, of(other, figure)?));
        let says = |met| if met { "met" } else { "missed" };
        if let Some((ours, theirs)) = pair(Kind::Rumqttd, delivered_rate) {
            println!(
                "  goal: at least rumqttd's delivered rate: {} ({:.2} times)",
                says(ours >= theirs),
                ours / theirs
            );
        }
        if let Some((ours, theirs)) = pair(Kind::Rumqttd, cpu_per_published) {
            println!("  goal: at most rumqttd's µs/message: {} ({:.2} times)", says(ours <= theirs), ours / theirs);
        }
        if let Some((ours, theirs)) = pair(Kind::Mosquitto, delivered_rate) {
            let met = ours >= MOSQUITTO_TIMES_MIN * theirs;
            println!("  goal: three times Mosquitto's delivered rate: {} ({:.2} times)", says(met), ours / theirs);
        }
    }

    /// At QoS 1 the gateway delivers what it acknowledges.
    pub(crate) fn check(&self) -> Result<()> {
        let ours = self.runs.iter().filter(|((shape, kind), _)| *kind == Kind::Gateway && shape.qos().as_u8() == 1);
        for ((shape, _), runs) in ours {
            let lost: usize = runs.iter().map(lost).sum();
            ensure!(lost == 0, "{shape:?}: the gateway acknowledged {lost} messages and did not deliver them");
        }
        Ok(())
    }
}

fn print_line(shape: Shape, kind: Kind, runs: &[Measured]) {
    let of = |figure: fn(&Measured) -> f64| median(runs.iter().map(figure));
    let acknowledged = match shape.qos().as_u8() {
        0 => "-".to_owned(),
        _ => format!("{:.0}", of(|run| rate(run.acknowledged, run.publishing_took))),
    };
    let (cpu, own) = match shape.is_fan_in() {
        true => (of(cpu_per_published), of(|run| micros(run.own_cpu, run.published))),
        false => (of(|run| micros(run.server_cpu, run.delivered)), of(|run| micros(run.own_cpu, run.delivered))),
    };
    let (delivered, lost) = (of(delivered_rate), of(|run| lost(run) as f64));
    let peak = of(|run| run.peak_bytes as f64 / 1024.0 / 1024.0);
    println!(
        "  {:<10} {acknowledged:>14} {delivered:>12.0} {lost:>9.0} {cpu:>12.2} {peak:>10.1} {own:>12.2}",
        kind.to_string()
    );
}

fn delivered_rate(run: &Measured) -> f64 {
    rate(run.delivered, run.delivery_took)
}

fn cpu_per_published(run: &Measured) -> f64 {
    micros(run.server_cpu, run.published)
}

fn lost(run: &Measured) -> usize {
    run.expected.saturating_sub(run.delivered)
}

fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn micros(time: Duration, messages: usize) -> f64 {
    time.as_secs_f64() * 1e6 / messages.max(1) as f64
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
