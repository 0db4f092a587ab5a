//! The sources: what each is, how the gateway is told of it, and what its acknowledgement is worth.

use std::fs;

use anyhow::Result;
use clap::ValueEnum;
use sealgate::mqtt::Version;

use super::Options;
use super::broker::Broker;
use super::common::process::Scratch;
use super::counts::Delivery;
use super::measure::{self, Account, Entry, Relay, Run};
use super::report::Report;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Our own edge.
    Edge,
    /// Mosquitto with a shared subscription.
    Mosquitto,
    /// Mosquitto without one.
    MosquittoUnshared,
    /// NATS with JetStream.
    Nats,
    /// RabbitMQ with its MQTT plug-in.
    Rabbitmq,
    /// The broker in the gateway's process.
    Rumqttd,
    /// Aedes, asking a service about each message, and relaying to the gateway.
    Aedes,
}

/// One of them.
pub(crate) struct Source {
    pub(crate) name: Name,
    title: &'static str,
    kind: Kind,
    settings: &'static [&'static str],
    /// What its PUBACK says.
    acknowledged: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    Edge,
    Embedded,
    /// As `tests/broker` calls it.
    Broker(&'static str),
}

/// `/tmp` may be memory, where a sync costs nothing.
const BROKER_FLAGS: [&str; 3] = ["--all-cores", "--in", env!("CARGO_TARGET_TMPDIR")];

pub(crate) const MQTT: &str = "ingest.source=mqtt";
pub(crate) const QUIET: &str = "source.publish=false";
pub(crate) const V311: &str = "source.version=3.1.1";
pub(crate) const UNSHARED: &str = "source.shared=false";

pub(crate) const ALL: &[Source] = &[
    Source {
        name: Name::Edge,
        title: "our own edge, MQTT 5",
        kind: Kind::Edge,
        settings: &[],
        acknowledged: "verified and committed",
    },
    Source {
        name: Name::Mosquitto,
        title: "Mosquitto; worker at MQTT 5, shared subscription",
        kind: Kind::Broker("mosquitto"),
        settings: &[MQTT, QUIET],
        acknowledged: "received, in the broker's memory; forgotten when it ends",
    },
    Source {
        name: Name::MosquittoUnshared,
        title: "Mosquitto; worker at MQTT 3.1.1, not shared",
        kind: Kind::Broker("mosquitto"),
        settings: &[MQTT, QUIET, V311, UNSHARED],
        acknowledged: "received, in the broker's memory; saved each second",
    },
    Source {
        name: Name::Nats,
        title: "NATS with JetStream; worker at MQTT 3.1.1, not shared",
        kind: Kind::Broker("nats"),
        settings: &[MQTT, QUIET, V311, UNSHARED],
        acknowledged: "received, in JetStream's files, not synced",
    },
    Source {
        name: Name::Rabbitmq,
        title: "RabbitMQ; worker at MQTT 3.1.1, not shared",
        kind: Kind::Broker("rabbitmq"),
        settings: &[MQTT, QUIET, V311, UNSHARED],
        acknowledged: "received, on the broker's disk or taken by the gateway",
    },
    Source {
        name: Name::Rumqttd,
        title: "rumqttd in the gateway's process, MQTT 3.1.1",
        kind: Kind::Embedded,
        settings: &["ingest.source=rumqttd", "rumqttd.listen=127.0.0.1:0", QUIET],
        acknowledged: "received, in the process's memory",
    },
];

/// One round of it; without its program there is none.
pub(crate) fn measure(source: &Source, options: &Options, report: &mut Report) -> Result<()> {
    let run = |version, entry, delivery, settings: &[&str]| {
        let run = Run { title: source.title, version, messages: options.messages, entry, delivery };
        measure::measure(&run, settings, options)
    };
    let figures = match source.kind {
        Kind::Edge => run(Version::V5, Entry::Edge, Delivery::Once, source.settings)?,
        Kind::Embedded => run(Version::V311, Entry::Embedded, Delivery::Once, source.settings)?,
        Kind::Broker(program) => {
            let Some(broker) = Broker::start_if_installed(program, &BROKER_FLAGS) else {
                eprintln!("{program} is left out");
                return Ok(());
            };
            let scratch = Scratch::new("sources", program)?;
            let (account, login) = account_of(&broker, &scratch)?;
            let url = format!("source.url={}", broker.url());
            let settings: Vec<&str> =
                source.settings.iter().copied().chain([url.as_str()]).chain(login.iter().map(String::as_str)).collect();
            let relay = Relay { address: broker.address(), pid: broker.pid, account };
            run(Version::V311, Entry::Relay(relay), Delivery::AtLeastOnce, &settings)?
        }
    };
    figures.show(report.section(source.title), source.acknowledged);
    Ok(())
}

/// Whom a broker lets in, and what tells the gateway so.
fn account_of(broker: &Broker, scratch: &Scratch) -> Result<(Option<Account>, Vec<String>)> {
    let Some(account) = &broker.account else { return Ok((None, Vec::new())) };
    let file = scratch.join("password");
    fs::write(&file, &account.password)?;
    let settings =
        vec![format!("source.username={}", account.user), format!("source.password_file={}", file.display())];
    Ok((Some(Account { user: account.user.clone(), password: account.password.clone() }), settings))
}
