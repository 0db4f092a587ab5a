//! `sealgate quarantine`: what was refused, as it came.
//!
//! Beside a running gateway, on either database. Whoever goes through the quarantine does so page by page, and whoever clears it
//! takes few rows at a time, so that the gateway's batches come in between. What comes in meanwhile is left for the next time.

mod release;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use sealgate_envelope::{DeviceId, Policy, Reason};

use super::inspect::told_by_masters;
use super::moment::Moment;
use super::output::ListFormat;
use super::registry::PAGE;
use super::settings::Settings;
use super::{Done, Exit, Failure, block_on, now_ms, open_existing, output, time_text_ms};
use crate::gateway::Cellar;
use crate::store::{Evidence, EvidenceFilter, Store};
use release::{Run, release};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate quarantine list --since 2h
  sealgate quarantine list --device sensor-1 --reason bad_seal --format json
  sealgate quarantine show 17
  sealgate quarantine purge --reason corrupt --until 30d --dry-run
  sealgate quarantine purge --all
  sealgate quarantine release --reason bad_seal --since 7d --dry-run
  sealgate quarantine release --device sensor-1 --accept-key 1

TIME is RFC 3339, like 2026-01-31T12:00:00Z, or how long ago: 2h, 7d. What is purged is gone for ever.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List what is in quarantine, oldest first.
    List {
        #[command(flatten)]
        filters: Filters,
        /// At most so many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        /// How the list is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Show one message: when it came, its bytes, and what they say, checked with the gateway's key of its device.
    Show {
        /// Its number in the list.
        id: i64,
    },
    /// Open messages again with the keys of today, and store those that are good now.
    ///
    /// The clock is that of their arrival. What is stored, or was already, leaves the quarantine; what is refused again stays.
    Release {
        #[command(flatten)]
        which: Which,
        /// A key version that opens although it has ended; may be given again.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
        accept_key: Vec<u8>,
        /// Only open and count them. A counter that was used for another message is found out by storing alone.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete messages from the quarantine for ever.
    Purge {
        #[command(flatten)]
        which: Which,
        /// All of them.
        #[arg(long, conflicts_with_all = ["ids", "device", "reason", "since", "until"])]
        all: bool,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which messages: those that fit all that is given.
#[derive(Args)]
struct Filters {
    /// Of this device.
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// Refused for this reason, as the list shows it.
    #[arg(long)]
    reason: Option<Reason>,
    /// Received at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Received before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

/// The same, or some by their numbers.
#[derive(Args)]
struct Which {
    /// Their numbers in the list.
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    #[command(flatten)]
    filters: Filters,
}

impl Filters {
    fn of(&self, ids: &[i64], now_ms: i64) -> EvidenceFilter {
        let Filters { device, reason, since, until } = self;
        EvidenceFilter {
            ids: ids.to_owned(),
            id_max: None,
            device_id: device.as_ref().map(|device| device.as_str().to_owned()),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            since_ms: since.map(|since| since.unix_ms(now_ms)),
            until_ms: until.map(|until| until.unix_ms(now_ms)),
        }
    }
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        if let Verb::Purge { which, all: false, .. } = &self.verb
            && which.filters.of(&which.ids, 0) == EvidenceFilter::default()
        {
            return Err(Failure::Unusable(anyhow!("to purge the whole quarantine, say --all")));
        }
        block_on(async {
            let cellar = open_existing(&config).await?;
            let store = cellar.store.clone();
            let done = match self.verb {
                Verb::List { filters, limit, format } => list(&store, &filters.of(&[], now_ms()), limit, format).await,
                Verb::Show { id } => show(&cellar, &config.seal.policy(), id).await,
                Verb::Release { which, accept_key, dry_run } => {
                    let which = which.filters.of(&which.ids, now_ms());
                    let run = if dry_run { Run::Dry } else { Run::Real };
                    release(&config, cellar, which, accept_key, run).await
                }
                Verb::Purge { which, dry_run, .. } => {
                    purge(&store, which.filters.of(&which.ids, now_ms()), dry_run).await
                }
            };
            store.close().await;
            done
        })
    }
}

/// Goes through the quarantine, page by page, up to what was there when it began.
struct Walk<'a> {
    store: &'a Store,
    which: EvidenceFilter,
    after: i64,
}

impl<'a> Walk<'a> {
    async fn begin(store: &'a Store, mut which: EvidenceFilter) -> Result<Walk<'a>, Failure> {
        which.id_max = Some(store.last_evidence().await?);
        Ok(Walk { store, which, after: 0 })
    }

    /// The next page; an empty one is the end.
    async fn next(&mut self, rows_max: u32) -> Result<Vec<Evidence>, Failure> {
        let page = self.store.evidence(&self.which, self.after, rows_max).await?;
        self.after = page.last().map_or(self.after, |last| last.id);
        Ok(page)
    }
}

async fn list(store: &Store, which: &EvidenceFilter, limit: Option<u64>, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        let head = ("ID", "RECEIVED", "REASON", "ENCODING", "BYTES");
        output::line(&format!("{:>8}  {:<24}  {:<15}  {:<8}  {:>8}  DEVICE", head.0, head.1, head.2, head.3, head.4))?;
    }
    let mut walk = Walk::begin(store, which.clone()).await?;
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        let page = walk.next(u32::try_from(left).unwrap_or(PAGE).min(PAGE)).await?;
        if page.is_empty() {
            break;
        }
        left -= page.len() as u64;
        let lines: Vec<String> = page.iter().map(|evidence| described(evidence, format)).collect();
        output::line(&lines.join("\n"))?;
    }
    Ok(Exit::Done)
}

fn described(evidence: &Evidence, format: ListFormat) -> String {
    let Evidence { id, device_id, received_at_ms, reason, encoding, len } = evidence;
    let received_at = time_text_ms(*received_at_ms);
    match format {
        ListFormat::Text => format!("{id:>8}  {received_at}  {reason:<15}  {encoding:<8}  {len:>8}  {device_id}"),
        ListFormat::Json => serde_json::json!({
            "id": id, "device_id": device_id, "received_at": received_at, "reason": reason, "encoding": encoding,
            "bytes": len,
        })
        .to_string(),
    }
}

async fn show(cellar: &Cellar, policy: &Policy, id: i64) -> Done {
    let none = || anyhow!("there is no message {id} in quarantine");
    let which = EvidenceFilter { ids: vec![id], ..EvidenceFilter::default() };
    let evidence = cellar.store.evidence(&which, i64::MIN, 1).await?.pop().ok_or_else(none)?;
    let (_, bytes) = cellar.store.evidence_bytes(&[id]).await?.pop().ok_or_else(none)?;
    let Evidence { device_id, received_at_ms, reason, encoding, len, .. } = &evidence;
    let device: DeviceId = device_id.parse().map_err(|_| anyhow!("{device_id:?} is no name of a device"))?;
    let (received_at, digits) = (time_text_ms(*received_at_ms), hex::encode(&bytes));
    let told = told_by_masters(&bytes, &device, policy, &cellar.masters);
    output::line(&format!(
        "Message {id} in quarantine:

  device     {device_id}
  received   {received_at}
  reason     {reason}
  encoding   {encoding}
  bytes      {len}

{digits}

{told}"
    ))?;
    Ok(Exit::Done)
}

async fn purge(store: &Store, which: EvidenceFilter, dry_run: bool) -> Done {
    let mut walk = Walk::begin(store, which).await?;
    let mut gone = 0;
    loop {
        let page: Vec<i64> = walk.next(PAGE).await?.iter().map(|evidence| evidence.id).collect();
        if page.is_empty() {
            break;
        }
        gone += if dry_run { page.len() as u64 } else { store.delete_evidence(&page).await? };
    }
    output::line(&format!("{}: {gone}", if dry_run { "to be purged" } else { "purged" }))?;
    Ok(Exit::Done)
}
