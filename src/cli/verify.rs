//! `sealgate verify`: whether what is stored is what the devices sealed, and all of it.

use std::io::IsTerminal as _;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealgate_envelope::DeviceId;

use super::moment::Moment;
use super::output::ListFormat;
use super::settings::Settings;
use super::{Done, Exit, Failure, now_ms, open_existing, output};
use crate::gateway::Cellar;
use crate::proof::{Finding, Known, Report, Scope, Watcher, verify};
use crate::seal::MasterKeys;
use crate::store::Store;

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate verify
  sealgate verify --device sensor-1
  sealgate verify --since 7d --format json
  sealgate verify --checkpoint 4711:9f86d081884c

TIME is RFC 3339, like 2026-01-31T12:00:00Z, or how long ago: 2h, 7d. The exit code is 1 if anything does not fit.")]
pub(super) struct Arguments {
    /// The envelopes of this device alone; the chain of checkpoints is walked whole.
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// Envelopes that arrived at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// How much is looked at at a time; without it, as many as there are processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: Option<u16>,
    /// A checkpoint that must be there, as the log or a metric has it: its number and the first digits of its root.
    #[arg(long, value_name = "NUMBER:ROOT")]
    checkpoint: Option<Kept>,
    /// How what does not fit is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: ListFormat,
}

/// A checkpoint on the command line.
#[derive(Clone, Debug)]
struct Kept(Known);

impl FromStr for Kept {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Kept, Self::Err> {
        const WRONG: &str = "expected a number, a colon, and up to 64 hex digits, like 4711:9f86d081884c";
        let (number, root) = text.split_once(':').ok_or(WRONG)?;
        let is_root = (1..=64).contains(&root.len()) && root.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = number.parse().ok().filter(|number| *number > 0 && is_root).ok_or(WRONG)?;
        Ok(Kept(Known { number, root: root.to_ascii_lowercase() }))
    }
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        // Opening is CPU, so this command alone wants all processors.
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
            let Cellar { store, masters } = open_existing(&config).await?;
            let done = self.verify(&store, Arc::new(masters)).await;
            store.close().await;
            done
        })
    }

    async fn verify(&self, store: &Store, masters: Arc<MasterKeys>) -> Done {
        let scope = self.scope(store).await?;
        let (bar, looked_at) = (progress_bar(), Arc::new(AtomicU64::new(0)));
        let ticker = tokio::spawn(show(bar.clone(), looked_at.clone()));
        let mut teller = Teller { bar, format: self.format, told: Ok(()) };
        let verified = verify(store, masters, &scope, looked_at, &mut teller).await;
        ticker.abort();
        teller.bar.finish_and_clear();
        teller.told?;
        let report = verified?;
        self.sum_up(&report)?;
        Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Failed })
    }

    async fn scope(&self, store: &Store) -> Result<Scope, Failure> {
        let device = match &self.device {
            None => None,
            Some(id) => {
                let sender = store.sender(id.as_str()).await?;
                Some(sender.ok_or_else(|| anyhow!("there is no device {id}"))?.row)
            }
        };
        Ok(Scope {
            device,
            since_ms: self.since.map(|since| since.unix_ms(now_ms())),
            parallel: match self.parallel {
                Some(parallel) => parallel.into(),
                None => std::thread::available_parallelism()?.get(),
            },
            known: self.checkpoint.clone().map(|Kept(known)| known),
        })
    }

    fn sum_up(&self, report: &Report) -> std::io::Result<()> {
        if self.format == ListFormat::Json {
            return output::line(&serde_json::json!({ "summary": report }).to_string());
        }
        let Report { checkpoints, root, envelopes, readings, unprovable, uncovered, findings } = report;
        output::line(&format!(
            "{envelopes} envelopes and {readings} readings looked at; {checkpoints} checkpoints, the newest with root {}; \
             {uncovered} envelopes wait for the next one",
            if root.is_empty() { "-" } else { root }
        ))?;
        if *unprovable > 0 {
            output::line(&format!(
                "{unprovable} envelopes are of a master key that was destroyed, and can be proved no more"
            ))?;
        }
        let found: Vec<String> = findings.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        output::line(&match found.is_empty() {
            true => "everything fits".to_owned(),
            false => format!("does not fit: {}", found.join(", ")),
        })
    }
}

/// Prints what does not fit as it is found.
struct Teller {
    bar: ProgressBar,
    format: ListFormat,
    /// Whether standard output took it.
    told: std::io::Result<()>,
}

impl Watcher for Teller {
    fn begin(&mut self, expected: u64) {
        self.bar.set_length(expected);
    }

    fn found(&mut self, finding: &Finding) {
        if self.told.is_err() {
            return;
        }
        let line = match self.format {
            ListFormat::Text => finding.line(),
            ListFormat::Json => serde_json::to_string(finding).expect("strings and numbers are JSON"),
        };
        self.told = self.bar.suspend(|| output::line(&line));
    }
}

/// Shown where standard error is a terminal.
fn progress_bar() -> ProgressBar {
    let is_watched = std::io::stderr().is_terminal();
    let target = if is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} envelopes, {per_sec}, {elapsed}");
    ProgressBar::with_draw_target(Some(0), target).with_style(style.expect("the template is well-formed"))
}

async fn show(bar: ProgressBar, looked_at: Arc<AtomicU64>) {
    loop {
        bar.set_position(looked_at.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_a_number_and_digits() {
        assert!(
            "7:00ffAB".parse::<Kept>().is_ok_and(|Kept(known)| known == Known { number: 7, root: "00ffab".to_owned() })
        );
        for wrong in ["", "7", "7:", "0:ff", "-1:ff", "7:xy", ":ff"] {
            assert!(wrong.parse::<Kept>().is_err(), "{wrong}");
        }
    }
}
