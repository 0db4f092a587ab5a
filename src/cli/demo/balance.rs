//! What went wrong, held against what was counted. Pure: counts of both sides in, a table out.
//!
//! A message that was sent again because its connection was cut may have arrived before, and is counted twice then: a stored one as
//! duplicate, a refused one as refused again. How many were sent again is the fleet's to know; that no verdict was counted more
//! often than its faults and those together is what is checked. A count that is wrong by less than that many is not found here; the
//! answers are, one by one, where MQTT 5 gives them words.

use std::fmt;

use firmware_sim::host::{Counts, Expected, Fault, Summary};
use sealgate_envelope::Reason;

use super::counted::Counted;

/// Both sides.
pub(super) struct Balance {
    lines: Vec<Line>,
    sent_again: u64,
    cut: u64,
    law: String,
    /// What does not fit, a sentence each.
    left_over: Vec<String>,
}

/// One verdict.
struct Line {
    verdict: String,
    injected: u64,
    counted: u64,
    /// How often at most a message of this verdict was counted because it came again.
    twice_max: u64,
    faults: String,
}

impl Balance {
    /// Of what the fleet did and what the gateway counted.
    pub(super) fn new(counts: &Counts, summary: &Summary, counted: &Counted) -> Self {
        let lines = lines(counts, counted);
        let mut left_over: Vec<String> = lines.iter().filter_map(Line::left_over).collect();
        left_over.extend(told(summary));
        if counted.difference() != 0 {
            left_over.push(format!("the law of the counts is broken by {}", counted.difference()));
        }
        let unsettled = counted.in_flight + counted.dropped;
        if unsettled > 0 {
            left_over.push(format!("{unsettled} messages were dropped by the gateway or are in flight"));
        }
        let cut = counts.cells.iter().filter(|((fault, _), _)| *fault == Some(Fault::DroppedConnection));
        Balance {
            lines,
            sent_again: counts.sent_again(),
            cut: cut.map(|(_, cell)| cell.made).sum(),
            law: law(counted),
            left_over,
        }
    }

    /// True: nothing is left over.
    pub(super) fn is_even(&self) -> bool {
        self.left_over.is_empty()
    }
}

fn lines(counts: &Counts, counted: &Counted) -> Vec<Line> {
    let rejected = |reason: Reason| counted.rejected.get(reason.as_str()).copied().unwrap_or_default();
    let again = |expected| counts.of(expected).sent_again;
    let mut lines = vec![
        Line::new(counts, Expected::Stored, counted.stored, 0),
        Line::new(counts, Expected::Duplicate, counted.duplicate, again(Expected::Stored) + again(Expected::Duplicate)),
    ];
    for reason in Reason::ALL {
        let expected = Expected::Rejected(reason);
        lines.push(Line::new(counts, expected, rejected(reason), again(expected)));
    }
    let denied = Expected::NotAuthorized;
    lines.push(Line::new(counts, denied, counted.denied, again(denied)));
    let signature = Expected::WrongSignature;
    let refused = |word: &str| counted.logins_refused.get(word).copied().unwrap_or_default();
    lines.push(Line::new(counts, signature, refused(signature.as_str()), 0));
    let others = counted.logins_refused.iter().filter(|(word, _)| *word != signature.as_str());
    lines.extend(others.map(|(word, count)| Line::unexpected(format!("login {word}"), *count)));
    lines.retain(|line| line.injected > 0 || line.counted > 0);
    lines
}

/// What the fleet itself found.
fn told(summary: &Summary) -> Vec<String> {
    let mut told = Vec::new();
    if summary.never_connected > 0 {
        let trouble = summary.last_trouble.as_deref().unwrap_or("the demo was too short");
        told.push(format!("{} devices were never connected: {trouble}", summary.never_connected));
    }
    if summary.left_over > 0 {
        told.push(format!("{} messages were never acknowledged", summary.left_over));
    }
    if summary.surprises > 0 {
        let first = summary.first_surprises.first().map_or("", String::as_str);
        told.push(format!("{} answers were not those of the specification; the first: {first}", summary.surprises));
    }
    told
}

fn law(counted: &Counted) -> String {
    let rejected = grouped(counted.rejected.values().sum());
    let recovered = match counted.recovered {
        0 => String::new(),
        some => format!(" + recovered {}", grouped(some)),
    };
    format!(
        "received {}{recovered} = stored {} + duplicate {} + rejected {rejected} + dropped {} + in flight {}",
        grouped(counted.received),
        grouped(counted.stored),
        grouped(counted.duplicate),
        grouped(counted.dropped),
        grouped(counted.in_flight),
    )
}

impl Line {
    fn new(counts: &Counts, expected: Expected, counted: u64, twice_max: u64) -> Self {
        let cells = counts.cells.iter().filter(|((_, of), _)| *of == expected);
        let faults = cells
            .map(|((fault, _), cell)| format!("{} {}", fault.map_or("no fault", Fault::as_str), grouped(cell.made)));
        Line {
            verdict: expected.to_string(),
            injected: counts.of(expected).made,
            counted,
            twice_max,
            faults: faults.collect::<Vec<_>>().join(", "),
        }
    }

    /// Of something that no fault leads to.
    fn unexpected(verdict: String, counted: u64) -> Self {
        Line { verdict, injected: 0, counted, twice_max: 0, faults: String::new() }
    }

    /// How often a message was counted because it came again; none: what was counted does not fit.
    fn twice(&self) -> Option<u64> {
        self.counted.checked_sub(self.injected).filter(|twice| *twice <= self.twice_max)
    }

    fn left_over(&self) -> Option<String> {
        let Line { verdict, injected, counted, twice_max, .. } = self;
        self.twice().is_none().then(|| {
            format!("{verdict}: {injected} were due, {twice_max} more at most, and the gateway counted {counted}")
        })
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:>9} {:>9} {:>9}   of what went wrong", "verdict", "expected", "counted", "twice")?;
        for line in &self.lines {
            let Line { verdict, injected, counted, faults, .. } = line;
            let twice = line.twice().map_or("?".to_owned(), grouped);
            writeln!(f, "{verdict:<16} {:>9} {:>9} {twice:>9}   {faults}", grouped(*injected), grouped(*counted))?;
        }
        let twice: u64 = self.lines.iter().filter_map(Line::twice).sum();
        let (again, lost) = (grouped(self.sent_again), grouped(self.sent_again.saturating_sub(twice)));
        writeln!(
            f,
            "{:<16} {again:>9} {:>9} {:>9}   of {} cut connections: {} had arrived before, {lost} had not",
            "sent again",
            "",
            grouped(twice),
            grouped(self.cut),
            grouped(twice),
        )?;
        writeln!(f, "\n{}", self.law)?;
        match self.left_over.as_slice() {
            [] => write!(f, "Everything balances."),
            left_over => {
                write!(f, "Left over:")?;
                left_over.iter().try_for_each(|sentence| write!(f, "\n  {sentence}"))
            }
        }
    }
}

/// `1,234,567`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use firmware_sim::host::Cell;

    use super::*;

    /// 10 good messages, one of them sent again; 2 corrupt ones; one login.
    fn counts() -> Counts {
        let cell = |made, sent_again| Cell { made, settled: made, sent_again };
        let cells = [
            ((None, Expected::Stored), cell(9, 0)),
            ((Some(Fault::DroppedConnection), Expected::Stored), cell(1, 1)),
            ((Some(Fault::BitFlip), Expected::Rejected(Reason::Corrupt)), cell(2, 0)),
            ((Some(Fault::BadToken), Expected::WrongSignature), cell(1, 0)),
        ];
        Counts { cells: cells.into(), ..Counts::default() }
    }

    fn counted() -> Counted {
        let word = |word: &str, count| BTreeMap::from([(word.to_owned(), count)]);
        Counted {
            received: 13,
            stored: 10,
            duplicate: 1,
            rejected: word("corrupt", 2),
            logins_refused: word("wrong_signature", 1),
            ..Counted::default()
        }
    }

    fn clean() -> Summary {
        Summary {
            seconds: 1.0,
            devices: 2,
            never_connected: 0,
            unmade: 0,
            messages: 12,
            acknowledged: 12,
            left_over: 0,
            sent_again: 1,
            held_back: 0,
            connections: 2,
            lost_connections: 0,
            failed_attempts: 0,
            last_trouble: None,
            surprises: 0,
            first_surprises: Vec::new(),
            receipts: Default::default(),
            rows: Vec::new(),
        }
    }

    #[test]
    fn what_came_again_explains_a_duplicate() {
        let balance = Balance::new(&counts(), &clean(), &counted());
        assert!(balance.is_even(), "{balance}");
        let table = balance.to_string();
        assert!(table.contains("of 1 cut connections: 1 had arrived before, 0 had not"), "{table}");
        assert!(table.ends_with("Everything balances."), "{table}");
    }

    #[test]
    fn one_too_many_or_too_few_is_left_over() {
        let changes: [fn(&mut Counted); 6] = [
            |counted| counted.stored -= 1,
            |counted| (counted.stored, counted.received) = (11, 14),
            |counted| (counted.duplicate, counted.received) = (2, 14),
            |counted| (counted.rejected, counted.received) = (BTreeMap::from([("stale".to_owned(), 2)]), 13),
            |counted| counted.denied = 1,
            |counted| counted.logins_refused = [("wrong_signature".to_owned(), 1), ("expired".to_owned(), 1)].into(),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let mut counted = counted();
            change(&mut counted);
            let balance = Balance::new(&counts(), &clean(), &counted);
            assert!(!balance.is_even(), "change {place}: {balance}");
        }
    }

    #[test]
    fn what_the_fleet_found_is_left_over_too() {
        let never = Summary { left_over: 1, ..clean() };
        let surprised = Summary { surprises: 1, first_surprises: vec!["a word".to_owned()], ..clean() };
        for summary in [never, surprised] {
            assert!(!Balance::new(&counts(), &summary, &counted()).is_even());
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
