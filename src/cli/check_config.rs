//! `sealgate check-config`: what `serve` would say of the configuration, without starting anything.

use clap::Args;

use super::settings::Settings;
use super::{Done, Exit, output};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate --config /etc/sealgate/sealgate.toml check-config
  SEALGATE__EDGE__LISTEN=0.0.0.0:1883 sealgate check-config   # says what is missing for that

All mistakes are told at once, one line each: where it stands, which key, what is wrong. Exit code 2 then, else 0.")]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        settings.load()?;
        let source = settings.path().map_or("no file".to_owned(), |path| path.display().to_string());
        output::line(&format!("the configuration is right ({source}, variables, flags)"))?;
        Ok(Exit::Done)
    }
}
