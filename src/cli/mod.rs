//! The command line: one command a file, and here what they share.
//!
//! A command reads its settings, does one thing with the rooms below, and ends with an [`Exit`]. Nothing that another program could
//! want to call is decided here; only words are.

mod actor;
mod audit;
mod check_config;
mod client;
mod completions;
#[cfg(feature = "demo")]
mod demo;
mod device;
mod exit;
mod export;
mod ingest;
mod inspect;
mod integrity;
mod issuer;
mod keys;
mod log;
mod moment;
mod output;
mod quarantine;
mod registry;
mod secret;
mod serve;
mod settings;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use clap::{Parser, Subcommand};
use humantime_serde::re::humantime::{format_rfc3339_millis, format_rfc3339_seconds};

pub use exit::Exit;
use exit::Failure;
use settings::Settings;

use crate::config::Config;
use crate::gateway::Cellar;

/// What a command ends with.
type Done = Result<Exit, Failure>;

/// Runs the command that `arguments` name (the first is the program's name), and says with what the process is to end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(unusable) => return exit::of_the_parser(&unusable),
    };
    let exit = line.command.run(&line.settings).unwrap_or_else(exit::report);
    ExitCode::from(exit)
}

/// An ingestion gateway for fleets of IoT devices: verified readings over MQTT into SQL.
#[derive(Parser)]
#[command(name = "sealgate", version, propagate_version = true, max_term_width = 120, after_help = HELP)]
struct CommandLine {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Examples:
  sealgate demo
  sealgate serve
  sealgate device add sensor-1
  sealgate client add console --scope 'sub:readings/#'

Settings come from the file, then from variables, then from flags; the later one wins.
One setting, three ways to write it:
  [edge] listen = \"127.0.0.1:2883\"
  SEALGATE__EDGE__LISTEN=127.0.0.1:2883
  --set edge.listen=127.0.0.1:2883

Exit codes:
  0  done
  1  it failed: a port in use, no rights, a newer database, a name taken or unknown; `verify`: something does not fit
  2  the command line or the configuration is wrong; nothing was done
  3  `inspect`: the envelope is refused";

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT.
    Serve(serve::Arguments),
    /// Run a gateway and a small fleet with faults, and hold what went wrong against what was counted.
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    /// Add, list, disable or enable devices.
    Device(device::Arguments),
    /// Add, list, disable or enable services: the programs that are no devices.
    Client(client::Arguments),
    /// Look at what was refused, release it, or clear it away.
    Quarantine(quarantine::Arguments),
    /// Take messages in from a broker of your own, beside other such workers.
    Ingest(ingest::Arguments),
    /// Take readings out of the database.
    Export(export::Arguments),
    /// Open all that is stored again, and say what does not fit.
    Verify(verify::Arguments),
    /// List who has logged in and who has changed what.
    Audit(audit::Arguments),
    /// Rotate the keys that sign access tokens, or take a token back.
    Issuer(issuer::Arguments),
    /// Make, retire and destroy versions of the master key.
    Keys(keys::Arguments),
    /// Say everything that is wrong with the configuration, each with its line.
    CheckConfig(check_config::Arguments),
    /// Take an envelope apart and say what is wrong with it.
    Inspect(inspect::Arguments),
    /// Print the completions of a shell.
    Completions(completions::Arguments),
}

impl Command {
    fn run(self, settings: &Settings) -> Done {
        match self {
            Command::Serve(arguments) => arguments.run(settings),
            #[cfg(feature = "demo")]
            Command::Demo(arguments) => arguments.run(settings),
            Command::Device(arguments) => arguments.run(settings),
            Command::Client(arguments) => arguments.run(settings),
            Command::Quarantine(arguments) => arguments.run(settings),
            Command::Ingest(arguments) => arguments.run(settings),
            Command::Export(arguments) => arguments.run(settings),
            Command::Verify(arguments) => arguments.run(settings),
            Command::Audit(arguments) => arguments.run(settings),
            Command::Issuer(arguments) => arguments.run(settings),
            Command::Keys(arguments) => arguments.run(settings),
            Command::CheckConfig(arguments) => arguments.run(settings),
            Command::Inspect(arguments) => arguments.run(settings),
            Command::Completions(arguments) => arguments.run(),
        }
    }
}

/// Runs what needs no second thread.
fn block_on(work: impl Future<Output = Done>) -> Done {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// What rests in the data directory, for commands that have nothing to look for in a new one.
async fn open_existing(config: &Config) -> Result<Cellar, Failure> {
    let data_dir = &config.store.data_dir;
    if !data_dir.is_dir() {
        return Err(anyhow!("there is no data directory {}", data_dir.display()).into());
    }
    open(config).await
}

/// What rests in the data directory, made if it is not there; what the command changes bears the name of its user.
async fn open(config: &Config) -> Result<Cellar, Failure> {
    let Cellar { store, masters } = Cellar::open(config).await?;
    Ok(Cellar { store: store.acting_as(actor::actor()), masters })
}

#[expect(clippy::disallowed_methods, reason = "a command is a driver")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The last millisecond of the year 9999, beyond which RFC 3339 cannot write.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// Unix ms as people write it: `2026-01-31T12:00:00Z`.
fn time_text(unix_ms: i64) -> String {
    format_rfc3339_seconds(writable(unix_ms)).to_string()
}

/// The same to the millisecond: `2026-01-31T12:00:00.000Z`.
fn time_text_ms(unix_ms: i64) -> String {
    format_rfc3339_millis(writable(unix_ms)).to_string()
}

fn writable(unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or_default().min(TIME_MS_MAX))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn any_time_can_be_written() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(time_text(-1), "1970-01-01T00:00:00Z");
        assert_eq!(time_text(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(time_text_ms(1), "1970-01-01T00:00:00.001Z");
        assert_eq!(time_text_ms(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_command_that_takes_something_shows_examples() {
        let command = CommandLine::command();
        for command in command.get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{help}");
        }
    }
}
