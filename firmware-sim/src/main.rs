//! `firmware-sim`: a fleet of devices against a gateway, for whoever has no hardware at hand.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use firmware_sim::host::{
    Account, Content, Credentials, Encodings, Fault, FaultRates, Fleet, GatewayPolicy, KeepUntil, Ledger, MqttVersions,
    PubAck, Settings, Summary, Tally,
};
use humantime_serde::re::humantime::parse_duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A fleet of simulated devices against a gateway.
#[derive(Parser)]
#[command(name = "firmware-sim", version, max_term_width = 120, after_help = HELP)]
struct Arguments {
    /// What the devices log in and seal with: a line of `sealgate device add --format json` for each; - is standard input.
    #[arg(long, value_name = "FILE", overrides_with = "credentials")]
    credentials: PathBuf,
    /// The gateway's MQTT listener.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    gateway: String,
    /// Where tokens are fetched.
    #[arg(long, value_name = "URL", overrides_with = "token_url", default_value = "http://127.0.0.1:8080/oauth/token")]
    token_url: String,
    /// A user name and a password of the broker, where that is another's and takes no tokens.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = parse_account)]
    account: Option<Account>,
    /// How many devices of the file are switched on; all of them if it is not said.
    #[arg(long)]
    devices: Option<usize>,
    /// Messages a second of each device, more than 0.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// How long the fleet measures; until it is interrupted, if neither this nor --messages is said.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// After so many messages a device is done.
    #[arg(long)]
    messages: Option<u64>,
    /// About how many bytes a payload has.
    #[arg(long, default_value_t = 140)]
    payload_bytes: usize,
    /// Messages of a device that may be unacknowledged.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=4096))]
    window: u16,
    /// How envelopes are written; mixed: by device.
    #[arg(long, value_enum, default_value = "frame")]
    encoding: Encodings,
    /// How readings are written.
    #[arg(long, value_enum, default_value = "senml-json")]
    content: Content,
    /// What is spoken; mixed: one device this, the next one that.
    #[arg(long, value_enum, default_value = "mixed")]
    mqtt: MqttVersions,
    /// What lets a device drop its copy of a message; receipt: one on devices/ID/receipts, sealed by the gateway, that names it.
    #[arg(long, value_enum, default_value = "ack")]
    keep_until: KeepUntil,
    /// What an acknowledgement means: that the gateway has committed, or that another broker has received.
    #[arg(long, value_enum, default_value = "verdict")]
    puback: PubAck,
    /// After how long without a receipt an acknowledged message is sent again.
    #[arg(long, value_parser = parse_duration, default_value = "10s")]
    receipt_timeout: Duration,
    /// What chance begins with.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often something goes wrong with a message, or with a login; may be given again.
    #[arg(long, value_name = "NAME=PROBABILITY", value_parser = parse_fault)]
    fault: Vec<(Fault, f64)>,
    /// The same probability for each fault; --fault goes before it.
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.0)]
    faults: f64,
    /// The gateway's `seal.age_max`, if it has one: what is older is expected to be refused.
    #[arg(long, value_parser = parse_duration)]
    age_max: Option<Duration>,
    /// The gateway's `seal.future_tolerance`.
    #[arg(long, value_parser = parse_duration, default_value = "300s")]
    future_tolerance: Duration,
    /// A new file for what was acknowledged, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Over how long the devices are switched on.
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    ramp: Duration,
    /// How long what is unacknowledged at the end is waited for.
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    drain: Duration,
    /// How often the fleet was booted, greater than ever before. Without it the number is kept beside the credentials, in a file
    /// whose name ends in .boots.
    #[arg(long)]
    boot_count: Option<u32>,
}

const HELP: &str = "\
Examples:
  sealgate device add sim-{1..100} --format json > fleet.jsonl
  firmware-sim --credentials fleet.jsonl --rate 10 --duration 30s
  firmware-sim --credentials fleet.jsonl --messages 100 --faults 0.01 --ledger acknowledged.jsonl > summary.json

Faults: bit_flip, forged_payload, wrong_key, replay, reused_counter, duplicate_delivery, stale, future, garbage,
dropped_connection, wrong_topic, bad_token.

The table goes to standard error, the same as JSON to standard output. Ctrl-C or SIGTERM ends the measuring and waits for what is
under way; a second one ends at once. At MQTT 3.1.1 a refusal cannot be told from success, but by a receipt
(--keep-until receipt): hold a ledger against the gateway's counts, too.

Exit codes:
  0  every device came in, everything was acknowledged, and as the specification says
  1  something was not, or it was ended at once
  2  the command line or the credentials are wrong; nothing was sent";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let told = match prepare(&arguments) {
        Ok(prepared) => run(&arguments, prepared),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "firmware-sim: {failure}");
            return ExitCode::from(2);
        }
    };
    match told {
        Ok(summary) if summary.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(failure) => {
            let _ = writeln!(io::stderr(), "firmware-sim: {failure}");
            ExitCode::from(1)
        }
    }
}

/// All that can be wrong before anything is sent, and before a file is written.
struct Prepared {
    settings: Settings,
    credentials: Vec<Credentials>,
    ledger: Option<Ledger>,
}

fn prepare(arguments: &Arguments) -> Result<Prepared, Failure> {
    let credentials = read_credentials(arguments)?;
    let mut settings = settings(arguments);
    settings.check()?;
    let ledger = arguments.ledger.as_deref().map(create_ledger).transpose()?;
    settings.boot_count = match arguments.boot_count {
        Some(boot_count) => boot_count,
        None => next_boot(&arguments.credentials)?,
    };
    settings.check()?;
    Ok(Prepared { settings, credentials, ledger })
}

fn run(arguments: &Arguments, prepared: Prepared) -> Result<Summary, Failure> {
    // A socket for each device. Where the system allows fewer, connecting says so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Runtime::new()?;
    let summary = runtime.block_on(drive(arguments, prepared))?;
    runtime.shutdown_background();
    let _ = write!(io::stderr(), "\n{summary}");
    writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
    Ok(summary)
}

async fn drive(arguments: &Arguments, prepared: Prepared) -> Result<Summary, Failure> {
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut fleet = Fleet::start(prepared.settings, &prepared.credentials, prepared.ledger)?;
    let progress = tokio::spawn(show_progress(fleet.tally()));
    let duration = arguments.duration;
    tokio::select! {
        () = fleet.finished() => {}
        () = tokio::time::sleep(duration.unwrap_or_default()), if duration.is_some() => {}
        () = next(&mut signals) => {
            let waiting = fleet.tally().counts().made() - fleet.tally().counts().settled();
            let _ = writeln!(io::stderr(), "\nwaiting for {waiting} messages; once more ends it at once");
        }
    }
    let summary = tokio::select! {
        summary = fleet.finish(arguments.drain) => summary,
        () = next(&mut signals) => return Err("ended at once, as asked a second time".into()),
    };
    progress.abort();
    Ok(summary)
}

async fn next((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// A line that is written over each second, for a person at a terminal, and a line of its own for each new trouble.
async fn show_progress(tally: Tally) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let (mut before, mut trouble) = (0, None);
    loop {
        ticks.tick().await;
        let counts = tally.counts();
        let acknowledged = counts.settled();
        if counts.last_trouble != trouble {
            let _ = write!(io::stderr(), "\r\x1b[K{}\n", counts.last_trouble.as_deref().unwrap_or_default());
            trouble = counts.last_trouble.clone();
        }
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{} connected  {acknowledged} acknowledged  {}/s  {} under way  {} surprises",
            counts.connected,
            acknowledged - before,
            counts.unacknowledged,
            counts.surprises,
        );
        before = acknowledged;
    }
}

/// Without the boot count, which is used up when it is read.
fn settings(arguments: &Arguments) -> Settings {
    let each = FaultRates::all(arguments.faults);
    let faults = arguments.fault.iter().fold(each, |rates, (fault, probability)| rates.with(*fault, *probability));
    Settings {
        gateway: arguments.gateway.clone(),
        token_url: arguments.token_url.clone(),
        mqtt: arguments.mqtt,
        encoding: arguments.encoding,
        content: arguments.content,
        rate: arguments.rate,
        messages_max: arguments.messages,
        payload_bytes: arguments.payload_bytes,
        window: arguments.window,
        seed: arguments.seed,
        keep_until: arguments.keep_until,
        puback: arguments.puback,
        account: arguments.account.clone(),
        receipt_timeout: arguments.receipt_timeout,
        faults,
        policy: GatewayPolicy { age_max: arguments.age_max, future_tolerance: arguments.future_tolerance },
        ramp: arguments.ramp,
        ..Settings::default()
    }
}

fn read_credentials(arguments: &Arguments) -> Result<Vec<Credentials>, Failure> {
    let path = &arguments.credentials;
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let mut credentials = Credentials::read(&text)?;
    if let Some(devices) = arguments.devices {
        if devices > credentials.len() {
            return Err(format!("--devices {devices}: there are credentials for {}", credentials.len()).into());
        }
        credentials.truncate(devices);
    }
    if credentials.is_empty() {
        return Err("there are no credentials, and so no devices".into());
    }
    Ok(credentials)
}

fn create_ledger(path: &Path) -> Result<Ledger, Failure> {
    Ledger::create(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The fleet's flash: how often it was booted, kept beside its credentials and raised before anything is sealed.
fn next_boot(credentials: &Path) -> Result<u32, Failure> {
    if credentials == Path::new("-") {
        return Err("credentials from standard input need --boot-count, greater than ever before".into());
    }
    let path = credentials.with_extension("boots");
    let named = |error: &dyn std::fmt::Display| {
        format!("{}, which counts the boots of this fleet: {error}; --boot-count N goes without it", path.display())
    };
    let last = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u32>().map_err(|error| named(&error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(named(&error).into()),
    };
    let next = last.saturating_add(1);
    let mut file = fs::File::create(&path).map_err(|error| named(&error))?;
    writeln!(file, "{next}").and_then(|()| file.sync_all()).map_err(|error| named(&error))?;
    Ok(next)
}

fn parse_account(text: &str) -> Result<Account, String> {
    let (user, password) = text.split_once(':').ok_or("an account is written USER:PASSWORD")?;
    Ok(Account { user: user.to_owned(), password: password.to_owned() })
}

fn parse_fault(text: &str) -> Result<(Fault, f64), String> {
    let parsed = text.split_once('=').and_then(|(name, probability)| Some((name, probability.parse().ok()?)));
    let (name, probability) = parsed.ok_or("expected NAME=PROBABILITY")?;
    name.parse().map(|fault| (fault, probability)).map_err(|error: firmware_sim::host::BadFault| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_fault_is_a_name_and_a_probability() {
        assert_eq!(parse_fault("stale=0.25"), Ok((Fault::Stale, 0.25)));
        for bad in ["stale", "stale=often", "rust=0.1"] {
            assert!(parse_fault(bad).is_err(), "{bad}");
        }
    }
}
