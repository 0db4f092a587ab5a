//! `sealgate device`: who may send readings.
//!
//! Beside a running gateway: both open the same database, and the gateway notices what has changed.

mod import;
mod list;
mod remove;
mod rotate;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use sealgate_envelope::DeviceId;
use serde::Serialize;
use zeroize::Zeroizing;

use super::integrity::worst;
use super::moment::Moment;
use super::output::{Format, ListFormat};
use super::registry::{
    Proof, has_no_secret, not_added, not_provisioned, own_proof, read_public_keys, secret_of, state_is_set,
};
use super::settings::Settings;
use super::{Done, Exit, Failure, block_on, now_ms, open, open_existing, output, secret};
use crate::auth::IssuerUrl;
use crate::config::Config;
use crate::gateway::Cellar;
use crate::provision::{self, DeviceWish, Enrolled};
use crate::seal::GroupName;
use crate::store::{AddError, Kind, State, Store};

use list::Which;

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate device add sensor-1
  sealgate device add sensor-1 --format json
  sealgate device add sim-{1..100} --format json > fleet.jsonl    # for firmware-sim
  eval \"$(sealgate device add sensor-1 --format shell)\"   # sets DEVICE_ID, DEVICE_SEAL_KEY …
  sealgate device add sensor-1 --public-key sensor-1.pem    # it signs for itself; nobody has its secret
  sealgate device add van-1 van-2 --group vans              # [seal.group.vans] says how old what they send may be
  sealgate device set pump-1 pump-2 --group backfill
  sealgate device set pump-1 pump-2 --no-group
  sealgate device list
  sealgate device list --worst 10 --since 7d                # of which most is refused, and why
  sealgate device list --group vans --state disabled
  sealgate device show sensor-1
  sealgate device import fleet.csv --credentials fleet.jsonl
  sealgate device export --format jsonl > registry.jsonl
  sealgate device disable sensor-1
  sealgate device remove sensor-1
  sealgate device rotate sensor-1                           # then it fetches its new seal key; then: --finish
  sealgate device rotate-secret sensor-1 --overlap 7d

A running gateway knows of it within a second.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Add devices and print their credentials, this once.
    Add {
        /// Their names: 1 to 64 of A-Z a-z 0-9 . _ : - each.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<DeviceId>,
        /// The group that they are in: 1 to 64 of A-Z a-z 0-9 _ -.
        #[arg(long, value_name = "NAME")]
        group: Option<GroupName>,
        /// It proves who it is with the private half of this key (private_key_jwt), and gets no secret: a JWK, a JWK set, or PEM.
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        public_key: Option<PathBuf>,
        /// It logs in with tokens of this issuer, one of [[auth.issuer]], and with no others.
        #[arg(long, value_name = "URL", conflicts_with = "public_key")]
        issuer: Option<IssuerUrl>,
        /// How the credentials are printed.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// List all devices, or those of which most is refused.
    ///
    /// The worst are those of which the greatest part was refused for certain: one message of one tells less than a hundred of a hundred.
    /// Among what was refused, CRC is damage on the way, and HMAC forgery or a wrong key. A trend is told against as long a time before.
    List {
        /// So many at most, the worst first, and only those of which something was refused.
        #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20",
            conflicts_with_all = ["group", "state", "prefix", "limit"],
            value_parser = clap::value_parser!(u32).range(1..=10_000))]
        worst: Option<u32>,
        /// With --worst: since when, as RFC 3339 or as how long ago. Full hours count.
        #[arg(long, value_name = "TIME", default_value = "24h", requires = "worst")]
        since: Moment,
        #[command(flatten)]
        which: Which,
        /// How the list is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Show one device.
    Show {
        /// The device's name.
        id: DeviceId,
        /// How it is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Add many devices of a CSV file, all of them or none.
    Import(import::Arguments),
    /// Write the registry without its secrets, for other programs.
    Export {
        /// How a device is written.
        #[arg(long, value_enum, default_value = "csv")]
        format: list::ExportFormat,
        #[command(flatten)]
        which: Which,
    },
    /// Remove devices for ever. What they sent stays, under their names.
    Remove {
        /// The devices' names.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<DeviceId>,
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
    },
    /// Put devices into a group, or take them out of theirs.
    ///
    /// The settings [seal.group.NAME] say how far the clocks of a group may be from the gateway's. If one of the devices is not there,
    /// nothing is changed.
    Set {
        /// The devices' names.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<DeviceId>,
        #[command(flatten)]
        group: Grouping,
    },
    /// Refuse a device: new tokens, new logins, and what it sends.
    ///
    /// Its envelopes are refused as device_disabled from then on. A gateway that runs knows of it within a second, and ends its connection and
    /// its session.
    Disable {
        /// The device's name.
        id: DeviceId,
    },
    /// Have one device come by another seal key, without a message that is refused.
    ///
    /// The key that it has and the newest one both open until --finish; `sealgate keys usage` says who has come how far.
    Rotate {
        /// The device's name.
        id: DeviceId,
        /// Refuse the older keys, now that the newest is used.
        #[arg(long)]
        finish: bool,
        /// Do so even if the device has not used it.
        #[arg(long, requires = "finish")]
        even_if_unused: bool,
    },
    /// Give a device's client another secret, beside the one that it has for a while.
    RotateSecret {
        /// The device's name.
        id: DeviceId,
        #[command(flatten)]
        wish: secret::Wish,
    },
    /// Take a disabled device back.
    Enable {
        /// The device's name.
        id: DeviceId,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Grouping {
    /// The group: 1 to 64 of A-Z a-z 0-9 _ -. No setting need name it.
    #[arg(long, value_name = "NAME")]
    group: Option<GroupName>,
    /// In none: the section `[seal]` is for them.
    #[arg(long)]
    no_group: bool,
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        block_on(async {
            let cellar = match &self.verb {
                Verb::Add { .. } | Verb::Import(_) => open(&config).await?,
                _ => open_existing(&config).await?,
            };
            let done = match self.verb {
                Verb::Add { ids, group, public_key, issuer, format } => {
                    let (group, issuer) = (group.as_ref(), issuer.as_ref());
                    let wish = Wish { group, public_key: public_key.as_deref(), issuer, format };
                    add_all(&config, &cellar, &ids, wish).await
                }
                Verb::List { worst: Some(limit), since, format, .. } => {
                    worst(&cellar.store, since, limit, format).await
                }
                Verb::List { which, format, .. } => list::list(&cellar.store, which, format).await,
                Verb::Show { id, format } => list::show(&cellar.store, &id, format).await,
                Verb::Import(arguments) => arguments.run(&cellar).await,
                Verb::Export { format, which } => list::export(&cellar.store, which, format).await,
                Verb::Remove { ids, yes } => remove::remove(&cellar.store, &ids, yes).await,
                Verb::Set { ids, group } => set_group(&cellar.store, &ids, group.group.as_ref()).await,
                Verb::Disable { id } => set_state(&cellar.store, &id, State::Disabled).await,
                Verb::Enable { id } => set_state(&cellar.store, &id, State::Enabled).await,
                Verb::Rotate { id, finish: true, even_if_unused } => rotate::finish(&cellar, &id, even_if_unused).await,
                Verb::Rotate { id, .. } => rotate::begin(&config, &cellar, &id).await,
                Verb::RotateSecret { id, wish } => wish.carry_out(&cellar.store, Kind::Device, id.as_str()).await,
            };
            cellar.store.close().await;
            done
        })
    }
}

/// How devices are added.
#[derive(Clone, Copy)]
struct Wish<'a> {
    group: Option<&'a GroupName>,
    public_key: Option<&'a Path>,
    issuer: Option<&'a IssuerUrl>,
    format: Format,
}

/// None, if the name of one is taken or stands there twice; else one after the other, each printed as soon as it is added: what was
/// printed is added, wherever this ends.
async fn add_all(config: &Config, cellar: &Cellar, ids: &[DeviceId], wish: Wish<'_>) -> Done {
    let public_keys = wish.public_key.map(read_public_keys).transpose()?;
    if public_keys.is_some() && ids.len() > 1 {
        return Err(Failure::Unusable(anyhow!("--public-key is for one device: what two share proves neither")));
    }
    if matches!(wish.format, Format::Shell | Format::Header) && ids.len() > 1 {
        return Err(Failure::Unusable(anyhow!(
            "--format shell and c-header are for one device: their names are no other's"
        )));
    }
    for (place, id) in ids.iter().enumerate() {
        let is_taken = cellar.store.device(id.as_str()).await?.is_some() || ids[..place].contains(id);
        if is_taken {
            return Err(not_added("device", id.as_str(), AddError::Exists));
        }
    }
    for id in ids {
        add(config, cellar, id, wish, public_keys.as_deref()).await?;
    }
    Ok(Exit::Done)
}

async fn add(config: &Config, cellar: &Cellar, id: &DeviceId, wish: Wish<'_>, public_keys: Option<&str>) -> Done {
    let enrolled = enrol(cellar, id, wish.group, wish.issuer).await?;
    if public_keys.is_some() {
        cellar.store.set_client_keys(Kind::Device, id.as_str(), public_keys).await?;
    }
    let credentials = Credentials {
        device_id: id.as_str(),
        client_id: &enrolled.client_id,
        proof: Proof::of(enrolled.client_secret.expose(), public_keys.is_some(), wish.issuer),
        seal_key: &Zeroizing::new(hex::encode(enrolled.key.as_bytes())),
        key_version: enrolled.key_version,
    };
    let printed = output::line(&credentials.in_format(wish.format, config));
    printed.map_err(|error| anyhow!("device {id} is added, but its credentials could not be printed: {error}"))?;
    Ok(Exit::Done)
}

/// Adds a device.
pub(super) async fn enrol(
    cellar: &Cellar,
    id: &DeviceId,
    group: Option<&GroupName>,
    issuer: Option<&IssuerUrl>,
) -> Result<Enrolled, Failure> {
    let wish = DeviceWish { id, group, issuer };
    let enrolled = provision::enrol(&cellar.store, &cellar.masters, wish, now_ms()).await;
    enrolled.map_err(|error| not_provisioned("device", id.as_str(), error))
}

/// What a device needs, shown once.
#[derive(Serialize)]
struct Credentials<'a> {
    device_id: &'a str,
    client_id: &'a str,
    #[serde(rename = "client_secret", serialize_with = "secret_of", skip_serializing_if = "has_no_secret")]
    proof: Proof<'a>,
    seal_key: &'a str,
    key_version: u8,
}

impl Credentials<'_> {
    fn in_format(&self, format: Format, config: &Config) -> Zeroizing<String> {
        match format {
            Format::Text => self.text(config),
            Format::Json => Zeroizing::new(serde_json::to_string(self).expect("strings and a number are JSON")),
            Format::Shell => output::exports(&self.values(&self.key_version.to_string())),
            Format::Header => output::header(&self.values(&self.key_version.to_string())),
        }
    }

    fn values<'v>(&'v self, key_version: &'v str) -> [(&'v str, &'v str); 5] {
        [
            ("DEVICE_ID", self.device_id),
            ("DEVICE_CLIENT_ID", self.client_id),
            ("DEVICE_CLIENT_SECRET", self.proof.secret().unwrap_or_default()),
            ("DEVICE_SEAL_KEY", self.seal_key),
            ("DEVICE_KEY_VERSION", key_version),
        ]
    }

    fn text(&self, config: &Config) -> Zeroizing<String> {
        let Credentials { device_id, client_id, proof, seal_key, key_version } = self;
        let token_endpoint = config.auth.identifier.endpoint("/oauth/token");
        let mqtt = config.edge.listen;
        let (secret, how) = own_proof(*proof, client_id, &token_endpoint);
        Zeroizing::new(format!(
            "Device {device_id} is added. Its credentials are shown this once:

  device id      {device_id}
  client id      {client_id}
  client secret  {}
  seal key       {seal_key}
  key version    {key_version}

Next: the device fetches a token,
  {}
and publishes sealed readings to devices/{device_id}/telemetry at {mqtt}, with the device id as user name and as client id,
and the token as password.",
            *secret, *how
        ))
    }
}

async fn set_group(store: &Store, ids: &[DeviceId], group: Option<&GroupName>) -> Done {
    let names: Vec<&str> = ids.iter().map(DeviceId::as_str).collect();
    if let Some(unknown) = store.set_device_group(&names, group.map(GroupName::as_str)).await? {
        return Err(anyhow!("there is no device {unknown}; nothing was changed").into());
    }
    let now = group.map_or("in no group".to_owned(), |group| format!("in group {}", group.as_str()));
    let lines: Vec<String> = names.iter().map(|name| format!("device {name} is {now}")).collect();
    output::line(&lines.join("\n"))?;
    Ok(Exit::Done)
}

async fn set_state(store: &Store, id: &DeviceId, state: State) -> Done {
    state_is_set("device", id.as_str(), state, store.set_device_state(id.as_str(), state).await?)
}
