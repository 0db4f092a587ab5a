//! `sealgate keys`: the versions of the master key, from which the devices' seal keys are derived.
//!
//! Beside a running gateway, which looks at the file each second. With several gateways on one database each has to be given a new version before
//! a device uses it.

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::output::ListFormat;
use super::settings::Settings;
use super::{Done, Exit, Failure, block_on, open_existing, output};
use crate::config::Config;
use crate::gateway::Cellar;
use crate::seal::{MasterKeySource, MasterKeys, MasterKeysError, VersionState};
use crate::store::{KeyUsage, Store};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate keys list
  sealgate keys add                      # new devices get it, and others may fetch theirs: GET /enrol/seal-key
  sealgate keys usage                    # who has fetched and used which version
  sealgate keys retire 1                 # its envelopes are refused from now on; it still serves verify and release
  sealgate keys destroy 1 --confirm 1    # what was sealed with it can be proved no more")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the versions.
    List {
        /// How the list is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Make another version. Both it and those before open envelopes.
    Add,
    /// Say how many devices have fetched and used which version.
    ///
    /// It goes through all counters that are remembered.
    Usage {
        /// How the list is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Refuse envelopes of a version and of those before it, as unknown_key.
    ///
    /// The keys are kept, for `verify`, and for `quarantine release --accept-key`.
    Retire {
        /// The version.
        #[arg(value_name = "VERSION", value_parser = clap::value_parser!(u8).range(1..))]
        number: u8,
    },
    /// Destroy a version that opens nothing any more: nobody can ever prove again what was sealed with it.
    Destroy {
        /// The version.
        #[arg(value_name = "VERSION", value_parser = clap::value_parser!(u8).range(1..))]
        number: u8,
        /// The same version again: that it is meant. Without it, what would be lost is said, and nothing is done.
        #[arg(long, value_name = "VERSION")]
        confirm: Option<u8>,
    },
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        block_on(async {
            let Cellar { store, masters } = open_existing(&config).await?;
            let done = match self.verb {
                Verb::List { format } => list(&masters, format),
                Verb::Add => add(&config, &masters),
                Verb::Usage { format } => usage(&store, &masters, format).await,
                Verb::Retire { number } => retire(&store, &masters, number).await,
                Verb::Destroy { number, confirm } => destroy(&config, &store, &masters, number, confirm).await,
            };
            store.close().await;
            done
        })
    }
}

fn source(config: &Config) -> MasterKeySource {
    config.seal.master_keys(&config.store.data_dir)
}

/// Makes another version, and says which; none: somebody else keeps the keys, and was told what to keep.
pub(super) fn make_another(config: &Config, masters: &MasterKeys) -> Result<Option<u8>, Failure> {
    let (text, version) = masters.with_another()?;
    match source(config).replace(&text) {
        Ok(()) => Ok(Some(version)),
        Err(MasterKeysError::NotOurs) => {
            let line = text.lines().last().unwrap_or_default();
            output::line(&format!(
                "The master keys are kept in {}. Add this line there, at the end:\n{line}",
                source(config).place()
            ))?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn list(masters: &MasterKeys, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        output::line("VERSION  STATE")?;
    }
    for (version, state) in masters.versions() {
        let state = match state {
            VersionState::Held if version == masters.newest() => "newest",
            VersionState::Held => "held",
            VersionState::Destroyed => "destroyed",
        };
        output::line(&match format {
            ListFormat::Text => format!("{version:<7}  {state}"),
            ListFormat::Json => serde_json::json!({ "version": version, "state": state }).to_string(),
        })?;
    }
    Ok(Exit::Done)
}

fn add(config: &Config, masters: &MasterKeys) -> Done {
    if let Some(version) = make_another(config, masters)? {
        output::line(&format!(
            "version {version} is there; new devices get it, and others may fetch their key of it\n\
             Other gateways on this database need the same {} before a device uses it.",
            source(config).place()
        ))?;
    }
    Ok(Exit::Done)
}

async fn usage(store: &Store, masters: &MasterKeys, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        output::line("VERSION  STATE      LOWEST OF  FETCHED BY  NEWEST USED BY  ENVELOPES")?;
    }
    let counted = store.key_usage().await?;
    let known = masters.versions();
    let mut versions: Vec<u8> =
        known.iter().map(|(version, _)| *version).chain(counted.iter().map(|usage| usage.version)).collect();
    versions.sort_unstable();
    versions.dedup();
    for version in versions {
        let found = counted.iter().find(|usage| usage.version == version).copied();
        let KeyUsage { lowest, fetched, newest_used, envelopes, .. } = found.unwrap_or_default();
        let state = match known.iter().find(|(known, _)| *known == version) {
            Some((_, VersionState::Held)) => "held",
            Some((_, VersionState::Destroyed)) => "destroyed",
            None => "unknown",
        };
        output::line(&match format {
            ListFormat::Text => format!("{version:<7}  {state:<9}  {lowest:<9}  {fetched:<10}  {newest_used:<14}  {envelopes}"),
            ListFormat::Json => serde_json::json!({
                "version": version, "state": state, "lowest_of": lowest, "fetched_by": fetched, "newest_used_by": newest_used,
                "envelopes": envelopes,
            })
            .to_string(),
        })?;
    }
    Ok(Exit::Done)
}

async fn retire(store: &Store, masters: &MasterKeys, version: u8) -> Done {
    if version >= masters.newest() {
        return Err(anyhow!("version {version} is the newest that there is: `sealgate keys add` first").into());
    }
    let raised = store.raise_key_versions(version + 1).await?;
    output::line(&format!(
        "version {version} and those before it open nothing any more; {raised} devices had one of them"
    ))?;
    Ok(Exit::Done)
}

async fn destroy(config: &Config, store: &Store, masters: &MasterKeys, version: u8, confirm: Option<u8>) -> Done {
    let text = masters.without(version)?;
    let counted = store.key_usage().await?;
    let opens: u64 = counted.iter().filter(|usage| usage.version <= version).map(|usage| usage.lowest).sum();
    if opens > 0 {
        return Err(anyhow!(
            "version {version} still opens envelopes of {opens} devices: `sealgate keys retire {version}` first"
        )
        .into());
    }
    let envelopes = counted.iter().find(|usage| usage.version == version).map_or(0, |usage| usage.envelopes);
    if confirm != Some(version) {
        return Err(Failure::Unusable(anyhow!(
            "{envelopes} stored envelopes could be proved no more, and nothing in quarantine that was sealed with version {version} be released; \
             to do it, say --confirm {version}"
        )));
    }
    match source(config).replace(&text) {
        Ok(()) => output::line(&format!(
            "version {version} is destroyed; {envelopes} stored envelopes can be proved no more"
        ))?,
        Err(MasterKeysError::NotOurs) => output::line(&format!(
            "The master keys are kept in {}. Put this in the place of its line, and destroy the copies of the old one:\n{}",
            source(config).place(),
            text.lines().find(|line| line.starts_with(&format!("{version} "))).unwrap_or_default()
        ))?,
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}
