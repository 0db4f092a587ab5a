//! What the gateway counts, out of the text that it gives to a Prometheus. Nothing is asked of it in another way: what the demo
//! balances is what an operator sees.

use std::collections::BTreeMap;

/// The counts of one scrape.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) received: u64,
    /// In the spool at the start.
    pub(super) recovered: u64,
    pub(super) stored: u64,
    pub(super) duplicate: u64,
    /// By reason.
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) dropped: u64,
    pub(super) in_flight: u64,
    /// Messages to topics that their login does not hold.
    pub(super) denied: u64,
    /// Logins that were refused, by reason.
    pub(super) logins_refused: BTreeMap<String, u64>,
    /// Connections that stand.
    pub(super) connections: u64,
}

impl Counted {
    /// Of an exposition in Prometheus's text format.
    pub(super) fn of(text: &str) -> Self {
        let mut counted = Counted::default();
        text.lines().filter_map(sample).for_each(|(name, labels, value)| counted.add(name, labels, value));
        counted
    }

    fn add(&mut self, name: &str, labels: &str, value: u64) {
        match name {
            "sealgate_ingest_received_total" => self.received += value,
            "sealgate_ingest_recovered_total" => self.recovered += value,
            "sealgate_ingest_stored_total" => self.stored += value,
            "sealgate_ingest_duplicate_total" => self.duplicate += value,
            "sealgate_ingest_dropped_total" => self.dropped += value,
            "sealgate_ingest_in_flight" => self.in_flight += value,
            "sealgate_edge_connections" => self.connections += value,
            "sealgate_ingest_rejected_total" => add_to(&mut self.rejected, label(labels, "reason"), value),
            "sealgate_broker_denied_total" if label(labels, "action") == Some("publish") => self.denied += value,
            "sealgate_auth_logins_total" if label(labels, "result") != Some("accepted") => {
                add_to(&mut self.logins_refused, label(labels, "result"), value);
            }
            _ => {}
        }
    }

    /// Received and recovered less everything else: 0, or the law of the counts is broken.
    pub(super) fn difference(&self) -> i128 {
        let ended = self.stored + self.duplicate + self.rejected.values().sum::<u64>() + self.dropped;
        i128::from(self.received) + i128::from(self.recovered) - i128::from(ended) - i128::from(self.in_flight)
    }
}

fn add_to(counts: &mut BTreeMap<String, u64>, word: Option<&str>, value: u64) {
    if let Some(word) = word {
        *counts.entry(word.to_owned()).or_default() += value;
    }
}

/// `name{labels} value`; none for a comment, or where the value is no count.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
}

/// No label of the gateway's holds a quote or a comma.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find(|(of, _)| *of == name).map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_reason_are_one_count() {
        let counted = Counted::of(
            "# HELP sealgate_ingest_received_total Messages 7\n\
             sealgate_ingest_received_total 12\n\
             sealgate_ingest_recovered_total 3\n\
             sealgate_ingest_stored_total 9\n\
             sealgate_ingest_duplicate_total{origin=\"retry\"} 1\n\
             sealgate_ingest_duplicate_total{origin=\"replay\"} 1\n\
             sealgate_ingest_rejected_total{encoding=\"cose\",reason=\"bad_seal\"} 1\n\
             sealgate_ingest_rejected_total{encoding=\"jws\",reason=\"bad_seal\"} 2\n\
             sealgate_ingest_in_flight 1\n\
             sealgate_broker_denied_total{action=\"subscribe\"} 5\n\
             sealgate_auth_logins_total{result=\"accepted\"} 5\n\
             sealgate_auth_logins_total{result=\"expired\"} 2\n\
             sealgate_ingest_commit_seconds_sum 0.25\n",
        );
        let word = |word: &str, count| BTreeMap::from([(word.to_owned(), count)]);
        let expected = Counted {
            received: 12,
            recovered: 3,
            stored: 9,
            duplicate: 2,
            rejected: word("bad_seal", 3),
            in_flight: 1,
            logins_refused: word("expired", 2),
            ..Counted::default()
        };
        assert_eq!(counted, expected);
        assert_eq!(counted.difference(), 0);
    }
}
