//! `sealgate quarantine release`: what was refused, tried once more.
//!
//! A message is opened with the devices and keys of today and by the clock of its arrival, and goes into the store as any other, where a
//! counter is used up once. What is in the store then, by this try or an earlier one, leaves the quarantine; if this ends between the
//! two, the next run finds a duplicate. What is refused again stays as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;

use super::Walk;
use crate::cli::registry::PAGE;
use crate::cli::{Done, Exit, Failure, output};
use crate::config::Config;
use crate::gateway::Cellar;
use crate::ingest::reopen;
use crate::seal::{Guard, Reason, Refusal};
use crate::store::{Accepted, Entry, Evidence, EvidenceFilter, Outcome, Store};

/// Messages of one transaction. Each may say a thousand readings, and all of them are held at once.
const ROWS_MAX: usize = 100;
/// Their bytes in sum; a larger message comes alone.
const BYTES_MAX: u64 = 1 << 20;

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Dry,
    Real,
}

pub(super) async fn release(
    config: &Config,
    cellar: Cellar,
    which: EvidenceFilter,
    accepted_keys: Vec<u8>,
    run: Run,
) -> Done {
    let Cellar { store, masters } = cellar;
    if let Some(version) = accepted_keys.iter().find(|version| !masters.holds(**version)) {
        return Err(Failure::Unusable(anyhow!("there is no master key of version {version}")));
    }
    let guard = Guard::new(&config.seal, masters, store.clone()).accepting(accepted_keys);
    let releaser = Releaser { store: &store, guard, run };
    let mut counts = Counts::default();
    let mut walk = Walk::begin(&store, which).await?;
    loop {
        let page = walk.next(PAGE).await?;
        if page.is_empty() {
            break;
        }
        for part in parts(&page) {
            releaser.release(part, &mut counts).await?;
        }
    }
    output::line(&counts.told(run))?;
    Ok(Exit::Done)
}

/// A page in parts that are within the bounds, or of one message.
fn parts(mut page: &[Evidence]) -> impl Iterator<Item = &[Evidence]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = page.iter().take(ROWS_MAX).take_while(|evidence| {
            bytes += evidence.len;
            bytes <= BYTES_MAX
        });
        let (part, rest) = page.split_at(fitting.count().max(1).min(page.len()));
        page = rest;
        (!part.is_empty()).then_some(part)
    })
}

struct Releaser<'a> {
    store: &'a Store,
    guard: Guard,
    run: Run,
}

impl Releaser<'_> {
    async fn release(&self, part: &[Evidence], counts: &mut Counts) -> Result<(), Failure> {
        let (mut ids, mut entries, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (evidence, bytes) in self.messages(part).await? {
            let device_id: Arc<str> = evidence.device_id.as_str().into();
            match reopen(&self.guard, &device_id, &bytes.into(), evidence.received_at_ms).await? {
                Ok(accepted) => {
                    ids.push(evidence.id);
                    entries.push(Entry::Accepted(accepted));
                }
                Err(refusal) if self.is_stored(&refusal).await? => {
                    counts.duplicate += 1;
                    gone.push(evidence.id);
                }
                Err(refusal) => counts.refuse(refusal.reason),
            }
        }
        for (id, outcome) in ids.into_iter().zip(self.outcomes(&entries).await?) {
            if counts.settle(outcome) == Kept::No {
                gone.push(id);
            }
        }
        if self.run == Run::Real && !gone.is_empty() {
            self.store.delete_evidence(&gone).await?;
        }
        Ok(())
    }

    /// The rows of which the message is still there, with it.
    async fn messages<'p>(&self, part: &'p [Evidence]) -> Result<Vec<(&'p Evidence, Vec<u8>)>, Failure> {
        let ids: Vec<i64> = part.iter().map(|evidence| evidence.id).collect();
        let mut bytes: BTreeMap<i64, Vec<u8>> = self.store.evidence_bytes(&ids).await?.into_iter().collect();
        Ok(part.iter().filter_map(|evidence| Some((evidence, bytes.remove(&evidence.id)?))).collect())
    }

    async fn is_stored(&self, refusal: &Refusal) -> Result<bool, Failure> {
        match &refusal.unless_stored {
            Some(seen) => Ok(self.store.find_seen(seen).await?),
            None => Ok(false),
        }
    }

    async fn outcomes(&self, entries: &[Entry]) -> Result<Vec<Outcome>, Failure> {
        if self.run == Run::Real {
            return Ok(self.store.commit_from_quarantine(entries).await?);
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let Entry::Accepted(Accepted { seen, .. }) = entry else { continue };
            let is_stored = self.store.find_seen(seen).await?;
            outcomes.push(if is_stored { Outcome::Duplicate } else { Outcome::Stored });
        }
        Ok(outcomes)
    }
}

/// Whether a message stays in quarantine.
#[derive(PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// What became of the messages.
#[derive(Default)]
struct Counts {
    stored: u64,
    duplicate: u64,
    refused: BTreeMap<Reason, u64>,
}

impl Counts {
    fn settle(&mut self, outcome: Outcome) -> Kept {
        match outcome {
            Outcome::Stored => self.stored += 1,
            Outcome::Duplicate => self.duplicate += 1,
            Outcome::Replayed(_) | Outcome::Forgotten(_) => {
                self.refuse(Reason::Replayed);
                return Kept::Yes;
            }
            Outcome::BadPayload(_) | Outcome::Refused(_) => {
                self.refuse(Reason::BadPayload);
                return Kept::Yes;
            }
        }
        Kept::No
    }

    fn refuse(&mut self, reason: Reason) {
        *self.refused.entry(reason).or_default() += 1;
    }

    fn told(&self, run: Run) -> String {
        let Counts { stored, duplicate, refused } = self;
        let reasons: Vec<String> = refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let (released, kept) = match run {
            Run::Real => ("released", "kept"),
            Run::Dry => ("to be released", "to be kept"),
        };
        let all_refused: u64 = refused.values().sum();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        format!(
            "{released}: {} (stored {stored}, duplicate {duplicate})\n{kept}: {all_refused}{reasons}",
            stored + duplicate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(len: u64) -> Evidence {
        let text = String::new;
        Evidence { id: 1, device_id: text(), received_at_ms: 0, reason: text(), encoding: text(), len }
    }

    #[test]
    fn parts_are_within_the_bounds_or_one_message() {
        let lens = |page: &[Evidence]| parts(page).map(<[Evidence]>::len).collect::<Vec<_>>();
        assert_eq!(lens(&[]), [0; 0]);
        assert_eq!(lens(&vec![evidence(1); 250]), [100, 100, 50]);
        let half = evidence(BYTES_MAX / 2);
        assert_eq!(lens(&[half.clone(), half.clone(), half.clone(), evidence(BYTES_MAX + 1), half]), [2, 1, 1, 1]);
    }

    #[test]
    fn counts_are_told_by_reason() {
        let mut counts = Counts { stored: 2, duplicate: 1, ..Counts::default() };
        assert_eq!(counts.told(Run::Real), "released: 3 (stored 2, duplicate 1)\nkept: 0");
        [Reason::Replayed, Reason::BadSeal, Reason::Replayed].into_iter().for_each(|reason| counts.refuse(reason));
        assert!(counts.told(Run::Dry).ends_with("\nto be kept: 3 (bad_seal 1, replayed 2)"));
    }
}
