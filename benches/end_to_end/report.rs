//! What was measured, as a table: of each figure the median of the rounds, with its goal beside it.
//!
//! A ratio is taken within a round, between neighbours in time, so that what the machine does to all of a round is not in it.

use std::time::Duration;

use super::load::Measured;

/// The figures of all rounds, in the order in which they came first.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
    pub(crate) tried: Vec<(String, f64)>,
    /// What others are held against.
    pub(crate) gateway: Option<Standard>,
}

/// The gateway in the round at hand.
#[derive(Clone, Copy)]
pub(crate) struct Standard {
    /// Messages a second.
    pub(crate) rate: f64,
    /// Processor time of all processes for a message, in microseconds.
    pub(crate) micros: f64,
}

/// What was measured of one thing.
pub(crate) struct Section {
    title: String,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    unit: &'static str,
    beside: String,
    /// One for each round.
    figures: Vec<f64>,
}

impl Report {
    /// The section of that title.
    pub(crate) fn section(&mut self, title: &str) -> &mut Section {
        let place = self.sections.iter().position(|section| section.title == title).unwrap_or_else(|| {
            self.sections.push(Section { title: title.to_owned(), lines: Vec::new() });
            self.sections.len() - 1
        });
        &mut self.sections[place]
    }

    pub(crate) fn print(&self) {
        for Section { title, lines } in &self.sections {
            println!("{title}");
            for Line { name, unit, beside, figures } in lines {
                let figure = median(figures);
                let digits = if figure >= 1_000.0 { 0 } else { 2 };
                println!("{}", format!("  {name:<34} {figure:>10.digits$} {unit:<12} {beside}").trim_end());
            }
            println!();
        }
        if !self.tried.is_empty() {
            println!("ways of the bare insert that were tried once, messages/s");
        }
        for (way, rate) in &self.tried {
            println!("  {rate:>10.0}  {way}");
        }
    }
}

impl Section {
    /// A figure of this round.
    pub(crate) fn line(&mut self, name: &str, figure: f64, unit: &'static str, beside: &str) -> &mut Section {
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.figures.push(figure),
            None => {
                self.lines.push(Line { name: name.to_owned(), unit, beside: beside.to_owned(), figures: vec![figure] })
            }
        }
        self
    }

    /// PUBLISH to PUBACK, at some quantiles.
    pub(crate) fn latencies(&mut self, latencies: &[Duration], parts: &[f64], beside: &str) -> &mut Section {
        for part in parts {
            let name = format!("PUBLISH to PUBACK, p{}", part * 100.0);
            self.line(&name, millis(quantile(latencies, *part)), "ms", beside);
        }
        self
    }
}

impl Measured {
    /// Acknowledged in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.acknowledged as f64 / self.took.as_secs_f64()
    }

    /// Processor time of the server for a message.
    pub(crate) fn server_micros(&self) -> f64 {
        micros(self.server_cpu, self.acknowledged)
    }
}

pub(crate) fn micros(time: Duration, messages: usize) -> f64 {
    time.as_secs_f64() * 1e6 / messages.max(1) as f64
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Of what is in order of length.
pub(crate) fn quantile(latencies: &[Duration], part: f64) -> Duration {
    let last = latencies.len().saturating_sub(1);
    latencies.get((last as f64 * part) as usize).copied().unwrap_or_default()
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
