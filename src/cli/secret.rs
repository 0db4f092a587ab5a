//! A client's secret that makes way for another: `sealgate device rotate-secret`, `sealgate client rotate-secret`.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use humantime_serde::re::humantime::parse_duration;
use serde::Serialize;
use zeroize::Zeroizing;

use super::output::Format;
use super::{Done, Exit, Failure, now_ms, output, time_text};
use crate::auth::secret::new_client_secret;
use crate::store::{Found, Kind, NewSecret, Store};

/// The longest time that both are good.
const OVERLAP_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// How a secret makes way.
#[derive(Args)]
pub(super) struct Wish {
    /// How long the old secret is good beside the new one.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = overlap)]
    overlap: Duration,
    /// End the old secret now. No new one is made.
    #[arg(long, conflicts_with = "overlap")]
    finish: bool,
    /// How the new secret is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = parse_duration(text).map_err(|error| error.to_string())?;
    if overlap <= OVERLAP_MAX { Ok(overlap) } else { Err("a year is the longest overlap".to_owned()) }
}

#[derive(Serialize)]
struct Credentials<'a> {
    name: &'a str,
    client_secret: &'a str,
    old_secret_until: &'a str,
}

impl Wish {
    pub(super) async fn carry_out(self, store: &Store, kind: Kind, name: &str) -> Done {
        if self.finish {
            let found = store.end_old_secret(kind, name).await?;
            is_there(kind, name, found)?;
            output::line(&format!("{} {name} has its newest secret alone", word(kind)))?;
            return Ok(Exit::Done);
        }
        let (secret, secret_sha256) = new_client_secret()?;
        let old_until_ms = now_ms().saturating_add(i64::try_from(self.overlap.as_millis()).unwrap_or(i64::MAX));
        let found = store.rotate_secret(kind, name, &NewSecret { secret_sha256, old_until_ms }).await?;
        is_there(kind, name, found)?;
        let until = time_text(old_until_ms);
        let credentials = Credentials { name, client_secret: secret.expose(), old_secret_until: &until };
        let printed = output::line(&in_format(self.format, kind, &credentials));
        printed.map_err(|error| anyhow!("{name} has a new secret, but it could not be printed: {error}"))?;
        Ok(Exit::Done)
    }
}

fn in_format(format: Format, kind: Kind, credentials: &Credentials<'_>) -> Zeroizing<String> {
    let Credentials { name, client_secret, old_secret_until } = credentials;
    let variable = match kind {
        Kind::Device => "DEVICE_CLIENT_SECRET",
        Kind::Service => "SERVICE_CLIENT_SECRET",
    };
    match format {
        Format::Text => Zeroizing::new(format!(
            "{} {name} has a new client secret. It is shown this once:\n\n  client secret  {client_secret}\n\nThe old one is good until {old_secret_until}.",
            word(kind)
        )),
        Format::Json => Zeroizing::new(serde_json::to_string(credentials).expect("strings are JSON")),
        Format::Shell => output::exports(&[(variable, client_secret)]),
        Format::Header => output::header(&[(variable, client_secret)]),
    }
}

fn is_there(kind: Kind, name: &str, found: Found) -> Result<(), Failure> {
    match found {
        Found::Yes => Ok(()),
        Found::No => Err(anyhow!("there is no {} {name}", word(kind)).into()),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Device => "device",
        Kind::Service => "service",
    }
}
