//! All of it, span by span.

use std::collections::{BTreeMap, HashSet};
use std::hash::RandomState;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::audit::{Auditor, Outcome, Words};
use super::chain::{Step, Walk, WalkError};
use super::finding::Finding;
use super::spill::{self, Spilled};
use super::statement::Statement;
use crate::metrics::Label as _;
use crate::seal::{MasterKeys, Opener, ProofKey};
use crate::store::{BadLeaves, Leaf, Store, StoreError};

/// What is looked at.
pub struct Scope {
    /// The number of one device; none: all of them.
    pub device: Option<i64>,
    /// What arrived at this time or later, Unix ms; none: all of it.
    pub since_ms: Option<i64>,
    /// Spans of senders at a time.
    pub parallel: usize,
    /// A checkpoint that somebody has kept by himself.
    pub known: Option<Known>,
}

/// A checkpoint that somebody has kept by himself: out of a log, or out of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub number: i64,
    /// The first digits of its root, in hex.
    pub root: String,
}

/// What was looked at, and how much of it does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Checkpoints.
    pub checkpoints: i64,
    /// The root of the newest one, in hex; empty: there is none.
    pub root: String,
    /// Envelopes.
    pub envelopes: u64,
    /// Readings.
    pub readings: u64,
    /// Envelopes whose key was destroyed: they are there as they were stored, as far as the checkpoints tell, and what they say proves nobody
    /// any more.
    pub unprovable: u64,
    /// Envelopes that the next checkpoint will take in.
    pub uncovered: u64,
    /// What does not fit, by its kind.
    pub findings: BTreeMap<&'static str, u64>,
}

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no room for the leaves.
    #[error("a temporary file cannot be used: {0}")]
    Spill(#[from] io::Error),
    /// Nobody of ours wrote a list of leaves.
    #[error("a row of `uncovered` was changed: {0}")]
    Uncovered(#[from] BadLeaves),
    /// What was there at the beginning is not to be there any more.
    #[error("retention dropped a day meanwhile; run it again")]
    Forgotten,
    /// A task ended by itself.
    #[error("a span was not looked at to its end")]
    Ended,
}

impl From<WalkError> for VerifyError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Store(error) => VerifyError::Store(error),
            WalkError::Ended => VerifyError::Ended,
        }
    }
}

/// Whoever is told of a run.
pub trait Watcher {
    /// How many envelopes the chain speaks of, in the scope.
    fn begin(&mut self, expected: u64);

    /// Something does not fit.
    fn found(&mut self, finding: &Finding);
}

/// Looks at everything in the scope, and says how much there was. `progress` counts envelopes as they are looked at.
pub async fn verify(
    store: &Store,
    masters: Arc<MasterKeys>,
    scope: &Scope,
    progress: Arc<AtomicU64>,
    watcher: &mut impl Watcher,
) -> Result<Report, VerifyError> {
    let key = masters.proof_key();
    let horizon = newest_horizon(store, &key).await?;
    // Before the chain: what a checkpoint takes in meanwhile is in both, and not in neither.
    let uncovered = uncovered(store).await?;
    let mut telling = Telling { report: Report::default(), watcher };
    telling.report.uncovered = uncovered.len() as u64;
    let mut walk = Walk::begin(store, &key, horizon);
    let counts = count(&mut walk, scope, &uncovered, &mut telling).await?;
    telling.watcher.begin(match scope.device {
        Some(device) => counts.get(&device).copied().unwrap_or(0),
        None => counts.values().sum(),
    });
    let files = spilled(Walk::begin(store, &key, horizon), spill::files(&counts, scope.device)?, &uncovered).await?;
    let work = Work {
        store: store.clone(),
        masters,
        words: store.words().await?.into_iter().collect(),
        hasher: RandomState::new(),
        horizon,
        since_ms: scope.since_ms.unwrap_or(i64::MIN),
        progress,
    };
    let without_leaf = look_at_all(Arc::new(work), files, scope.parallel.max(1), &mut telling).await?;
    if newest_horizon(store, &key).await? != horizon {
        return Err(VerifyError::Forgotten);
    }
    let still = still_without(store, walk, without_leaf).await?;
    still.iter().for_each(|finding| telling.found(finding));
    Ok(telling.report)
}

/// A report that grows, and whoever wants to know at once.
struct Telling<'w, W> {
    report: Report,
    watcher: &'w mut W,
}

impl<W: Watcher> Telling<'_, W> {
    fn found(&mut self, finding: &Finding) {
        *self.report.findings.entry(finding.kind.as_str()).or_default() += 1;
        self.watcher.found(finding);
    }
}

/// Walks the chain, and counts the leaves of each sender.
async fn count(
    walk: &mut Walk<'_>,
    scope: &Scope,
    uncovered: &[Leaf],
    telling: &mut Telling<'_, impl Watcher>,
) -> Result<BTreeMap<i64, u64>, VerifyError> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    let mut count = |leaf: &Leaf| *counts.entry(leaf.device).or_default() += 1;
    uncovered.iter().for_each(&mut count);
    let (mut newest, mut known) = (String::new(), None);
    let mut each = |step: Step| {
        step.leaves.iter().for_each(&mut count);
        step.findings.iter().for_each(|finding| telling.found(finding));
        let Some(statement) = step.statement else { return };
        if scope.known.as_ref().is_some_and(|wanted| wanted.number == statement.number) {
            known = Some(statement.root.clone());
        }
        newest = statement.root;
    };
    walk.each(&mut each).await?;
    (telling.report.checkpoints, telling.report.root) = (walk.number(), newest);
    if let Some(finding) = scope.known.as_ref().and_then(|wanted| fault_of(wanted, known.as_deref())) {
        telling.found(&finding);
    }
    Ok(counts)
}

/// Looks at all spans, some at a time; answers which envelopes the chain did not speak of.
async fn look_at_all(
    work: Arc<Work>,
    files: Vec<Spilled>,
    parallel: usize,
    telling: &mut Telling<'_, impl Watcher>,
) -> Result<Vec<(Leaf, Finding)>, VerifyError> {
    let (mut waiting, mut running, mut without_leaf) = (files.into_iter(), JoinSet::new(), Vec::new());
    loop {
        while running.len() < parallel
            && let Some(file) = waiting.next()
        {
            running.spawn(work.clone().look_at(file));
        }
        let Some(done) = running.join_next().await else { return Ok(without_leaf) };
        let outcome = done.map_err(|_| VerifyError::Ended)??;
        telling.report.envelopes += outcome.envelopes;
        telling.report.readings += outcome.readings;
        telling.report.unprovable += outcome.unprovable;
        outcome.findings.iter().for_each(|finding| telling.found(finding));
        without_leaf.extend(outcome.without_leaf);
    }
}

/// What is the same for all spans.
struct Work {
    store: Store,
    masters: Arc<MasterKeys>,
    words: Words,
    hasher: RandomState,
    horizon: i64,
    since_ms: i64,
    progress: Arc<AtomicU64>,
}

impl Work {
    async fn look_at(self: Arc<Self>, file: Spilled) -> Result<Outcome, VerifyError> {
        let span = file.span;
        let names = self.store.sender_names(span).await?;
        let names = names.into_iter().map(|(number, name)| (number, Arc::from(name))).collect();
        let opener = Opener::new(self.masters.clone());
        let mut auditor = Auditor::new(&self.words, &self.hasher, names, opener, self.horizon, self.since_ms);
        let mut leaves = file.read()?;
        leaves.retain(|leaf| leaf.received_at_ms >= self.since_ms);
        auditor.expect(leaves);
        self.store.audit(span, self.since_ms, &mut auditor).await?;
        self.progress.fetch_add(auditor.outcome.envelopes, Ordering::Relaxed);
        Ok(auditor.finish())
    }
}

async fn newest_horizon(store: &Store, key: &ProofKey) -> Result<i64, VerifyError> {
    let newest = store.last_checkpoint().await?;
    let statement = newest.and_then(|newest| Statement::read(&newest.statement, key));
    // Without one nothing is dropped, be it of before 1970.
    Ok(statement.map(|statement| statement.horizon).filter(|horizon| *horizon > 0).unwrap_or(i64::MIN))
}

/// The leaves that no checkpoint has taken in.
async fn uncovered(store: &Store) -> Result<Vec<Leaf>, VerifyError> {
    let mut leaves = Vec::new();
    for batch in store.uncovered(u32::MAX).await? {
        leaves.extend(Leaf::decode(&batch.leaves)?);
    }
    Ok(leaves)
}

fn fault_of(known: &Known, root: Option<&str>) -> Option<Finding> {
    match root {
        None => Some(Finding::chain(known.number, "it was made, and is not there: the chain was cut")),
        Some(root) if !root.starts_with(&known.root) => Some(Finding::chain(known.number, "its root was another")),
        Some(_) => None,
    }
}

/// All leaves, each in the file of its span.
async fn spilled(mut walk: Walk<'_>, mut files: Vec<Spilled>, uncovered: &[Leaf]) -> Result<Vec<Spilled>, VerifyError> {
    let mut done = uncovered.iter().try_for_each(|leaf| spill::put(&mut files, leaf));
    let each = |step: Step| {
        if done.is_ok() {
            done = step.leaves.iter().try_for_each(|leaf| spill::put(&mut files, leaf));
        }
    };
    walk.each(each).await?;
    done?;
    Ok(files)
}

/// Of envelopes that the chain did not speak of, those that it does not speak of now either.
async fn still_without(
    store: &Store,
    mut walk: Walk<'_>,
    without_leaf: Vec<(Leaf, Finding)>,
) -> Result<Vec<Finding>, VerifyError> {
    let mut since: HashSet<Leaf> = uncovered(store).await?.into_iter().collect();
    walk.each(|step| since.extend(step.leaves)).await?;
    Ok(without_leaf.into_iter().filter(|(leaf, _)| !since.contains(leaf)).map(|(_, finding)| finding).collect())
}
