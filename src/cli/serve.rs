//! `sealgate serve`: the gateway as a process.

use std::path::Path;

use clap::Args;
use tokio::runtime::Runtime;
use tracing::info;

use super::settings::Settings;
use super::{Done, Exit, log, output};
use crate::config::Config;
use crate::gateway::{Addresses, Gateway};
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
        let config = settings.load()?;
        log::start(config.log);
        // A socket for each client: systems start programs with a soft limit of 1,024, and let them raise it.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let runtime = Runtime::new()?;
        let done = runtime.block_on(serve(config));
        // What was told to stop at once must not be waited for here.
        runtime.shutdown_background();
        done
    }
}

async fn serve(config: Config) -> Done {
    let mut signals = Signals::install()?;
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown::watch(shutdown.clone(), config.shutdown.clone(), async move || signals.next().await));

    let data_dir = config.store.data_dir.clone();
    let gateway = tokio::select! {
        started = Gateway::start(config) => started?.with_log_level(log::LEVEL),
        () = shutdown.draining() => return Ok(Exit::Done),
    };
    announce(&gateway.addresses(), &data_dir);
    gateway.run(shutdown).await?;
    Ok(Exit::Done)
}

/// Says where it listens, to whoever started it and to whoever reads the log.
///
/// Whoever closed standard output does not want to know; the gateway serves all the same.
fn announce(addresses: &Addresses, data_dir: &Path) {
    let Addresses { mqtt, mqtts, public, public_tls, admin } = addresses;
    let public_over_tls = public_tls.map(|address| format!("https listening on {address}\n")).unwrap_or_default();
    let over_tls = mqtts.map(|address| format!("mqtts listening on {address}\n")).unwrap_or_default();
    info!(%mqtt, %public, %admin, data = %data_dir.display(), "The gateway listens.");
    let data_dir = data_dir.display();
    let lines = format!(
        "mqtt listening on {mqtt}\n{over_tls}public http listening on {public}\n{public_over_tls}admin http listening on {admin}\ndata in {data_dir}\nready"
    );
    let _ = output::line(&lines);
}
