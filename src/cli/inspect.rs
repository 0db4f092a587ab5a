//! `sealgate inspect`: what an envelope holds, and why it is refused.
//!
//! The bytes and the key are looked at, and nothing else: what the registry, the clock and the counter say of an envelope, only the
//! gateway knows that receives it.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueHint};
use sealgate_envelope::inspect::{Explanation, Finding, explain};
use sealgate_envelope::{DeviceId, DeviceKey, Direction, Key, Policy, Reason, Sealed};
use zeroize::Zeroizing;

use super::settings::Settings;
use super::{Done, Exit, Failure, output};
use crate::config::Config;
use crate::seal::MasterKeys;

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate inspect reading.frame
  sealgate inspect reading.frame --device sensor-1      # with the gateway's key of this device
  sqlite3 sealgate-data/sealgate.db \"SELECT hex(bytes) FROM quarantine LIMIT 1\" | xargs sealgate inspect --hex

Exit code 3 if the envelope is refused. The bytes and the key are looked at; the device's state, the time and the counter are not.")]
pub(super) struct Arguments {
    /// The file that holds the envelope; - is standard input.
    #[arg(required_unless_present = "hex", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The envelope in hex; blanks do not matter.
    #[arg(long, conflicts_with = "file", value_name = "HEX")]
    hex: Option<String>,
    /// The device that should have sealed it. The key is derived from the master keys of the data directory.
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// A file that holds the device's seal key in hex, where the master keys are not at hand.
    #[arg(long, requires = "device", value_name = "FILE", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        let policy = config.seal.policy();
        let bytes = self.bytes().map_err(Failure::Unusable)?;
        let told = match &self.device {
            None => Told::of(&explain(&bytes, &policy, None)),
            Some(device) => told(&bytes, device, &policy, self.key(device, &bytes, &policy, &config)?),
        };
        output::line(&told.text)?;
        Ok(told.exit)
    }

    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.hex, &self.file) {
            (Some(digits), _) => {
                let digits: String = digits.split_whitespace().collect();
                hex::decode(digits).context("the envelope is not in hex")
            }
            (None, Some(file)) if file.as_os_str() == "-" => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).context("standard input cannot be read")?;
                Ok(bytes)
            }
            (None, Some(file)) => fs::read(file).with_context(|| format!("{} cannot be read", file.display())),
            (None, None) => Err(anyhow!("there is no envelope to inspect")),
        }
    }

    fn key(&self, device: &DeviceId, bytes: &[u8], policy: &Policy, config: &Config) -> Result<Found, Failure> {
        if let Some(file) = &self.key_file {
            return Ok(Found::Key(Key::new(&key_in(file).map_err(Failure::Unusable)?)));
        }
        Ok(Found::derived(&config.seal.master_keys(&config.store.data_dir).open()?, device, bytes, policy))
    }
}

/// What is said of an envelope that `device` sent, with the gateway's key of that device.
pub(super) fn told_by_masters(bytes: &[u8], device: &DeviceId, policy: &Policy, masters: &MasterKeys) -> String {
    told(bytes, device, policy, Found::derived(masters, device, bytes, policy)).text
}

/// What there is to check the seal with.
enum Found {
    Key(Key),
    /// The envelope does not say under which version it was sealed.
    Unreadable,
    NoSuchVersion(u8),
}

impl Found {
    fn derived(masters: &MasterKeys, device: &DeviceId, bytes: &[u8], policy: &Policy) -> Found {
        let Ok(sealed) = Sealed::parse(bytes, policy) else { return Found::Unreadable };
        let version = sealed.header().key_version;
        masters.device_key(version, device).map_or(Found::NoSuchVersion(version), |key| Found::Key(Key::new(&key)))
    }
}

fn key_in(file: &Path) -> anyhow::Result<DeviceKey> {
    let digits = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let digits = Zeroizing::new(digits);
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits.trim(), &mut *key)
        .map_err(|_| anyhow!("{} does not hold 64 hex digits", file.display()))?;
    Ok(DeviceKey::from(*key))
}

/// What is said of an envelope, and with what the command ends.
struct Told {
    text: String,
    exit: Exit,
}

impl Told {
    fn of(explanation: &Explanation) -> Told {
        let exit = match explanation.finding {
            Finding::Refused { .. } => Exit::Refused,
            Finding::Unverified | Finding::Genuine => Exit::Done,
        };
        Told { text: explanation.to_string(), exit }
    }
}

fn told(bytes: &[u8], device: &DeviceId, policy: &Policy, found: Found) -> Told {
    match found {
        Found::Key(key) => Told::of(&explain(bytes, policy, Some((&key, device, Direction::FromDevice)))),
        Found::Unreadable => Told::of(&explain(bytes, policy, None)),
        Found::NoSuchVersion(version) => {
            let Told { text, .. } = Told::of(&explain(bytes, policy, None));
            let refused = format!("Refused as {}: {device} has no key of version {version}.", Reason::UnknownKey);
            Told { text: format!("{text}\n{refused}"), exit: Exit::Refused }
        }
    }
}
