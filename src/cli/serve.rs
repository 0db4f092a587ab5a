//! `sealgate serve`: the gateway as a process.

use std::path::Path;

use clap::Args;
use tokio::runtime::Runtime;
use tracing::{info, warn};

use super::settings::Settings;
use super::{Done, Exit, log, output};
use crate::config::Config;
use crate::gateway::{Addresses, Gateway, StartError};
use crate::shutdown::{self, Shutdown, Signals};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate serve
  sealgate --config /etc/sealgate/sealgate.toml --data /var/lib/sealgate serve
  sealgate --set edge.listen=127.0.0.1:0 serve    # any free port

Prints to standard output where it listens, and `ready` when all doors are open; the log goes to standard error.
SIGTERM and SIGINT end it: what is in flight is committed and acknowledged first. A second one ends it at once.")]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        run(settings, async |config| Gateway::start(config).await)
    }
}

/// A gateway, or a part of one, as a process.
pub(super) fn run(settings: &Settings, start: impl AsyncFnOnce(Config) -> Result<Gateway, StartError>) -> Done {
    let config = settings.load()?;
    log::start(config.log);
    // A socket for each client: systems start programs with a soft limit of 1,024, and let them raise it.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = Runtime::new()?;
    let done = runtime.block_on(serve(config, start));
    // What was told to stop at once must not be waited for here.
    runtime.shutdown_background();
    done
}

async fn serve(config: Config, start: impl AsyncFnOnce(Config) -> Result<Gateway, StartError>) -> Done {
    let mut signals = Signals::install()?;
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown::watch(shutdown.clone(), config.shutdown.clone(), async move || signals.next().await));

    let data_dir = config.store.data_dir.clone();
    let gateway = tokio::select! {
        started = start(config) => started?.with_log_level(log::LEVEL),
        () = shutdown.draining() => return Ok(Exit::Done),
    };
    announce(&gateway, &data_dir);
    gateway.run(shutdown).await?;
    Ok(Exit::Done)
}

/// Says where it listens, to whoever started it and to whoever reads the log.
///
/// Whoever closed standard output does not want to know; the gateway serves all the same.
fn announce(gateway: &Gateway, data_dir: &Path) {
    let Addresses { mqtt, mqtt_v5, mqtts, public, public_tls, admin } = gateway.addresses();
    let doors = [
        ("mqtt", mqtt),
        ("mqtt5", mqtt_v5),
        ("mqtts", mqtts),
        ("public http", public),
        ("https", public_tls),
        ("admin http", admin),
    ];
    let mut lines = Vec::new();
    for (door, address) in doors {
        let Some(address) = address else { continue };
        info!(door, %address, "The gateway listens.");
        lines.push(format!("{door} listening on {address}"));
    }
    for caveat in gateway.caveats() {
        warn!("{caveat}.");
        lines.push(format!("note: {caveat}"));
    }
    info!(data = %data_dir.display(), "The data are here.");
    lines.push(format!("data in {}\nready", data_dir.display()));
    let _ = output::line(&lines.join("\n"));
}
