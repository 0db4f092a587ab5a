//! `sealgate demo`: the whole house on one machine, and a fleet that does what fleets do.
//!
//! A gateway on free ports and a fresh database, devices beside it that seal, lose connections, are forged and played back; and at
//! the end one table in which everything that went wrong stands beside what the gateway counted. The devices are `firmware-sim`'s:
//! what each fault must lead to is derived there, by code that is not the gateway's.

mod balance;
mod counted;
mod house;

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use firmware_sim::host::{Encodings, Fault, FaultRates, Fleet, GatewayPolicy, MqttVersions, Summary};
use humantime_serde::re::humantime::parse_duration;
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};

use super::settings::Settings;
use super::{Done, Exit, Failure, log, output};
use crate::config::Config;
use crate::config::log::Level;
use crate::shutdown::Signals;
use balance::{Balance, grouped};
use counted::Counted;
use house::House;

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate demo
  sealgate demo --for 30s
  sealgate demo --for 10s --devices 100 --rate 50 --faults 0
  sealgate --data ./demo demo --for 10s     # keeps the database

Everything is on this machine: free ports of 127.0.0.1, and a database in a temporary directory that is removed at the end.
Of the settings only --data and --set count; no configuration file is read, and no variable.
Ctrl-C ends the measuring, waits until all is acknowledged, and prints the table; a second one ends at once.
Exit code 1: something is left over.")]
pub(super) struct Arguments {
    /// How long the fleet measures; until Ctrl-C, if it is not said.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How many devices there are.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Messages a second of each, more than 0.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How envelopes are written; mixed: by device.
    #[arg(long, value_enum, default_value = "mixed")]
    encoding: Encodings,
    /// What is spoken; mixed: one device this, the next one that.
    #[arg(long, value_enum, default_value = "mixed")]
    mqtt: MqttVersions,
    /// How probable each of eleven faults is, for each message: at most 0.09.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.01)]
    faults: f64,
    /// What chance begins with.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// How long what is under way at the end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The demo's gateway refuses what is older, so that there is something to be stale.
const AGE_MAX: Duration = Duration::from_secs(3600);

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        // What a file or a variable says is for a real gateway, whose data and ports are nothing for a demo.
        let mut config = settings.load_flags()?;
        // The log of a fleet with faults would stand between the lines; whoever wants it asks for more than the default.
        if config.log == Default::default() {
            config.log.level = Level::Error;
        }
        log::start(config.log);
        // Two sockets for each device: both of its ends are in this process.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let runtime = Runtime::new()?;
        let done = runtime.block_on(self.show(config, settings));
        runtime.shutdown_background();
        done.map_err(|failure| match failure {
            // Whoever has read enough has not seen whether it balances.
            Failure::Failed(error) if error.is::<std::io::Error>() => {
                Failure::Failed(anyhow!("the demo ended before its table: {error}"))
            }
            failure => failure,
        })
    }

    async fn show(self, mut config: Config, settings: &Settings) -> Done {
        let mut signals = Signals::install()?;
        config.seal.age_max = Some(AGE_MAX);
        // What the fleet expects of a token and of a tag is what these say.
        config.auth.token_lifetime = Config::default().auth.token_lifetime;
        config.seal.truncated_tag = Config::default().seal.truncated_tag;
        let fleet_settings = self.fleet(config.seal.future_tolerance);
        fleet_settings.check().map_err(|error| Failure::Unusable(error.into()))?;
        let (house, credentials) = House::open(config, settings, self.devices).await?;
        self.introduce(&house)?;
        let settings = house.point(fleet_settings);
        let fleet = Fleet::start(settings, &credentials, None).map_err(|error| Failure::Unusable(error.into()))?;
        self.watch(&house, &mut signals).await?;

        let told = tokio::select! {
            told = settle(fleet, &house) => told,
            _ = signals.next() => Err(anyhow!("ended at once, as asked a second time").into()),
        };
        house.close().await?;
        told
    }

    fn fleet(&self, future_tolerance: Duration) -> firmware_sim::host::Settings {
        // Logins are few beside messages, so more of them go wrong.
        let faults = FaultRates::all(self.faults).with(Fault::BadToken, (self.faults * 25.0).min(1.0));
        firmware_sim::host::Settings {
            mqtt: self.mqtt,
            encoding: self.encoding,
            rate: self.rate,
            seed: self.seed,
            faults,
            policy: GatewayPolicy { age_max: Some(AGE_MAX), future_tolerance },
            ..Default::default()
        }
    }

    fn introduce(&self, house: &House) -> std::io::Result<()> {
        let Arguments { devices, rate, .. } = self;
        let end = if self.duration.is_none() { " Ctrl-C ends it." } else { "" };
        let places = house.places();
        output::line(&format!(
            "A gateway and {devices} simulated devices: each sends {rate} messages a second, and some go wrong on purpose.{end}\n\n{places}"
        ))
    }

    /// A line a second, until it is time or until somebody interrupts.
    async fn watch(&self, house: &House, signals: &mut Signals) -> Result<(), Failure> {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
        let end = async {
            match self.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        for second in 1_u64.. {
            tokio::select! {
                _ = ticks.tick() => output::line(&line_of(second, &house.counted().await?))?,
                () = &mut end => break,
                _ = signals.next() => break,
            }
        }
        Ok(())
    }
}

/// Waits for what is under way, and tells whether everything balances.
async fn settle(fleet: Fleet, house: &House) -> Done {
    output::line("\nThe fleet measures no more; waiting for what is under way.")?;
    let tally = fleet.tally();
    let summary: Summary = fleet.finish(PATIENCE).await;
    let counted = house.settled(PATIENCE).await?;
    let balance = Balance::new(&tally.counts(), &summary, &counted);
    output::line(&format!("\n{balance}"))?;
    Ok(if balance.is_even() { Exit::Done } else { Exit::Failed })
}

fn line_of(second: u64, counted: &Counted) -> String {
    let rejected = counted.rejected.iter().filter(|(_, count)| **count > 0);
    let rejected: Vec<String> = rejected.map(|(reason, count)| format!("{reason} {}", grouped(*count))).collect();
    let (received, stored, duplicate) =
        (grouped(counted.received), grouped(counted.stored), grouped(counted.duplicate));
    let rejected = if rejected.is_empty() { "nothing".to_owned() } else { rejected.join(", ") };
    format!("{second:>4} s  received {received:>7}  stored {stored:>7}  duplicate {duplicate:>5}  rejected {rejected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_refused_and_why() {
        let mut counted = Counted { received: 1_234, stored: 1_200, duplicate: 4, ..Counted::default() };
        assert!(line_of(1, &counted).ends_with("received   1,234  stored   1,200  duplicate     4  rejected nothing"));
        counted.rejected = [("corrupt".to_owned(), 30), ("stale".to_owned(), 0)].into();
        assert!(line_of(1, &counted).ends_with("rejected corrupt 30"));
    }
}
