//! The flags that every command takes, and the way from them to a [`Config`].

use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, ValueHint};

use super::Failure;
use crate::config::{Config, File, Flag, Sources};

/// Read without being named, if it is there.
const SYSTEM_FILE: &str = "/etc/sealgate/sealgate.toml";

#[derive(Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct Settings {
    /// The configuration file. Without it, /etc/sealgate/sealgate.toml is read if it is there.
    #[arg(long, global = true, value_name = "FILE", env = "SEALGATE_CONFIG", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The data directory; the same as --set store.data_dir=DIR.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: Option<String>,
    /// One setting; may be given again. config/sealgate.toml shows them all.
    #[arg(long, global = true, value_name = "AREA.KEY=VALUE", value_parser = parse_set)]
    set: Vec<Flag>,
}

impl Settings {
    /// The settings of file, variables and flags together.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        let sources = Sources { file: self.file()?, variables: std::env::vars_os().collect(), flags: self.flags() };
        Config::load(&sources).map_err(Failure::Configuration)
    }

    /// The settings of the flags alone, whatever a file or a variable says.
    #[cfg(feature = "demo")]
    pub(super) fn load_flags(&self) -> Result<Config, Failure> {
        Config::load(&Sources { flags: self.flags(), ..Sources::default() }).map_err(Failure::Configuration)
    }

    /// Whether a flag names this setting.
    #[cfg(feature = "demo")]
    pub(super) fn is_flagged(&self, section: &str, key: &str) -> bool {
        self.flags().iter().any(|flag| flag.section == section && flag.key == key)
    }

    /// The file that [`Settings::load`] reads.
    pub(super) fn path(&self) -> Option<&Path> {
        let unnamed = Path::new(SYSTEM_FILE);
        self.config.as_deref().or_else(|| unnamed.exists().then_some(unnamed))
    }

    fn file(&self) -> Result<Option<File>, Failure> {
        let Some(path) = self.path() else { return Ok(None) };
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(File { path: path.to_owned(), text })),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    fn flags(&self) -> Vec<Flag> {
        let data = self.data.as_ref().map(|directory| Flag {
            name: "--data".to_owned(),
            section: "store".to_owned(),
            key: "data_dir".to_owned(),
            value: directory.clone(),
        });
        self.set.iter().cloned().chain(data).collect()
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Unusable(anyhow!("the configuration file {} cannot be read: {error}", path.display()))
}

fn parse_set(text: &str) -> Result<Flag, &'static str> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
    let Some(((section, key), value)) = parts else { return Err("expected AREA.KEY=VALUE") };
    Ok(Flag { name: format!("--set {section}.{key}"), section: section.into(), key: key.into(), value: value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_flag_may_hold_any_value() {
        let flag = parse_set("auth.issuer=http://a/?x=1.2").unwrap();
        assert_eq!((&*flag.section, &*flag.key, &*flag.value), ("auth", "issuer", "http://a/?x=1.2"));
        for text in ["", "x", "a=b", "a=b.c"] {
            assert!(parse_set(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_told_with_its_name() {
        let settings = Settings { config: Some("/nowhere/s.toml".into()), data: None, set: Vec::new() };
        let Err(Failure::Unusable(error)) = settings.load() else { panic!("the file is not there") };
        assert!(error.to_string().starts_with("the configuration file /nowhere/s.toml cannot be read"), "{error}");
    }
}
