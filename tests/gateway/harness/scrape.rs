//! The exposition text, read back.

use std::collections::BTreeMap;

/// One scrape: each series with its labels and its value.
#[derive(Debug, Clone)]
pub(crate) struct Scrape(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(Sample::parse);
        Scrape(samples.collect())
    }

    /// The value of the one series that has exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self.0.iter().filter(|sample| sample.name == name && sample.has_exactly(labels));
        let (Some(sample), None) = (found.next(), found.next()) else {
            panic!("{name}{labels:?} is not there, or twice")
        };
        sample.value
    }

    /// All series of this name together.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    /// Names and values of the counters, whatever their labels.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0
            .iter()
            .filter(|sample| sample.name.ends_with("_total"))
            .map(|sample| (sample.name.as_str(), sample.value))
    }

    /// Received and recovered less everything else: 0, or the law of the counts is broken.
    pub(crate) fn law_difference(&self) -> f64 {
        let ended = ["stored_total", "duplicate_total", "rejected_total", "dropped_total", "in_flight"];
        let ended: f64 = ended.iter().map(|name| self.sum(&format!("sealgate_ingest_{name}"))).sum();
        let came =
            ["received_total", "recovered_total"].map(|name| self.value(&format!("sealgate_ingest_{name}"), &[]));
        came.iter().sum::<f64>() - ended
    }
}

impl Sample {
    /// `name{label="value",…} number`. No label value of the gateway holds a quote or a comma.
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("this is no sample: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
        Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
    }

    fn has_exactly(&self, labels: &[(&str, &str)]) -> bool {
        labels.len() == self.labels.len()
            && labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|has| has == value))
    }
}
