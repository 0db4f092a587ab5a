//! What became of a fleet's messages: a table for people, JSON for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::fault::{Expected, Fault};
use super::fleet::Plan;
use super::tally::{Cell, Counts, Receipts};

/// The counts at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How long it took.
    pub seconds: f64,
    /// Devices that were switched on.
    pub devices: u64,
    /// Those of them that were never connected.
    pub never_connected: u64,
    /// Readings that were to be sent, and never were made: a device was to send so many, and did not come to it.
    pub unmade: u64,
    /// Messages that were made.
    pub messages: u64,
    /// Those that were acknowledged; where devices wait for receipts, those that a receipt named.
    pub acknowledged: u64,
    /// Those that were not: left over.
    pub left_over: u64,
    /// How often one was sent once more.
    pub sent_again: u64,
    /// Readings that were dropped at the device, for want of room.
    pub held_back: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Those that ended without being asked to.
    pub lost_connections: u64,
    /// Logins and connections that failed.
    pub failed_attempts: u64,
    /// Why the last of them did.
    pub last_trouble: Option<String>,
    /// Answers that are not those of the specification.
    pub surprises: u64,
    /// The first of them.
    pub first_surprises: Vec<String>,
    /// What came on the devices' topics of receipts.
    pub receipts: Receipts,
    /// By what went wrong, and what must become of it.
    pub rows: Vec<Row>,
}

/// Messages of one kind, or logins.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What went wrong; none: nothing.
    pub fault: Option<&'static str>,
    /// What the specification says.
    pub expected: &'static str,
    /// How many were made.
    pub made: u64,
    /// How many were acknowledged, or refused if they are logins.
    pub settled: u64,
    /// How often one was sent once more.
    pub sent_again: u64,
}

impl Summary {
    pub(super) fn new(counts: Counts, plan: Plan, took: Duration) -> Self {
        let row = |((fault, expected), cell): (&(Option<Fault>, Expected), &Cell)| Row {
            fault: fault.map(Fault::as_str),
            expected: expected.as_str(),
            made: cell.made,
            settled: cell.settled,
            sent_again: cell.sent_again,
        };
        Summary {
            seconds: took.as_secs_f64(),
            devices: plan.devices,
            never_connected: plan.devices.saturating_sub(counts.heard),
            unmade: plan.messages.map_or(0, |each| each.saturating_mul(plan.devices).saturating_sub(counts.readings)),
            messages: counts.made(),
            acknowledged: counts.settled(),
            left_over: counts.made() - counts.settled(),
            sent_again: counts.sent_again(),
            held_back: counts.held_back,
            connections: counts.connections,
            lost_connections: counts.lost_connections,
            failed_attempts: counts.failed_attempts,
            surprises: counts.surprises,
            receipts: counts.receipts,
            rows: counts.cells.iter().map(row).collect(),
            first_surprises: counts.first_surprises,
            last_trouble: counts.last_trouble,
        }
    }

    /// True: every device came in, and everything was made, sent and acknowledged as the specification says.
    pub fn is_clean(&self) -> bool {
        self.left_over == 0 && self.surprises == 0 && self.never_connected == 0 && self.unmade == 0
    }

    fn tell_of_receipts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipts { believed, ignored, refused } = &self.receipts;
        if *believed + *ignored == 0 {
            return Ok(());
        }
        writeln!(f, "{believed} receipts, {ignored} more were damaged or forged and not believed")?;
        let refused: Vec<String> = refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if refused.is_empty() { Ok(()) } else { writeln!(f, "refused, as receipts said: {}", refused.join(", ")) }
    }
}

/// The table.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:<16} {:>10} {:>12} {:>10}", "fault", "expected", "made", "acknowledged", "sent again")?;
        for row in &self.rows {
            let fault = row.fault.unwrap_or("none");
            let Row { expected, made, settled, sent_again, .. } = row;
            writeln!(f, "{fault:<20} {expected:<16} {made:>10} {settled:>12} {sent_again:>10}")?;
        }
        let Summary { messages, acknowledged, seconds, .. } = self;
        let rate = *acknowledged as f64 / seconds.max(0.001);
        writeln!(f, "\n{acknowledged} of {messages} messages acknowledged in {seconds:.1} s, {rate:.0} a second")?;
        writeln!(
            f,
            "{} connections, {} lost, {} attempts failed, {} readings held back at the device",
            self.connections, self.lost_connections, self.failed_attempts, self.held_back
        )?;
        self.tell_of_receipts(f)?;
        if let Some(trouble) = &self.last_trouble {
            writeln!(f, "the last trouble: {trouble}")?;
        }
        if self.never_connected > 0 {
            writeln!(f, "{} of {} devices were never connected", self.never_connected, self.devices)?;
        }
        if self.unmade > 0 {
            writeln!(f, "{} messages were not made in time", self.unmade)?;
        }
        writeln!(f, "{} answers were not those of the specification", self.surprises)?;
        self.first_surprises.iter().try_for_each(|surprise| writeln!(f, "  {surprise}"))
    }
}
