//! `sealgate ingest`: a worker that takes messages in from another broker, as a process.

use clap::Args;

use super::settings::Settings;
use super::{Done, serve};
use crate::gateway::Gateway;

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate --set ingest.source=mqtt --set source.url=mqtt://127.0.0.1:1883 ingest
  sealgate --config /etc/sealgate/ingest.toml --data /var/lib/sealgate ingest

Subscribes to the broker of [source], verifies what devices publish there, commits it to the database, and acknowledges it then.
As many may run as are needed, each with a data directory of its own that has the same master.keys, over one PostgreSQL.
Nobody logs in here and no tokens are issued: `sealgate serve` does that, with the same settings.

Prints to standard output where operators find it, and `ready`; the log goes to standard error.
SIGTERM and SIGINT end it: what was taken is committed and acknowledged first. A second one ends it at once.")]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        serve::run(settings, async |config| Gateway::start_ingest(config).await)
    }
}
