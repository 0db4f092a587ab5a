//! A gateway and the processes of its clients, as whoever measures them sees them.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::common::gateway::{Added, Gateway, House};
use super::common::process::{PATIENCE, Process, Scratch, now};
use super::common::tokens;

/// How the clients come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By real sockets.
    Tcp,
    /// The same over TLS.
    Tls,
    /// Through a pipe in the gateway's process.
    Duplex,
}

/// Processes of clients; two, for one processor is the gateway's as a rule.
const PROCESSES: usize = 2;
/// Limits that a fleet of real devices does not reach, with an address for each, and that clients of one machine might.
const SETTINGS: &[&str] = &[
    "edge.connections_max=200000",
    "edge.connections_per_address_max=200000",
    "edge.connection_rate_per_address_max=1000000",
    "public.connection_rate_per_address_max=1000000",
];
/// How often the gateway is asked how many are left.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The gateway and whoever commands its clients.
pub(crate) struct Crowd {
    pub(crate) gateway: Gateway,
    clients: Vec<Commanded>,
    pub(crate) connections: usize,
    _scratch: Scratch,
}

/// A process that obeys; none: it is the gateway's own.
struct Commanded {
    process: Option<Process>,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    /// A gateway that serves, with `devices` that have tokens and are not connected yet. `more` are in its registry besides.
    pub(crate) fn gather(kind: Kind, connections: usize, more: &[String]) -> Result<(Crowd, Vec<Added>)> {
        let scratch = Scratch::new("connections", &format!("{}-{connections}", kind.name()))?;
        let house = House::new(&scratch)?;
        let ids: Vec<String> = (0..connections).map(|number| format!("device-{number:06}")).collect();
        let mut added = tokens::add(&house, &[&ids, more].concat())?;
        let more = added.split_off(connections);
        let (gateway, clients) = match kind {
            Kind::Tcp | Kind::Tls => outside(kind, &house, &scratch)?,
            Kind::Duplex => inside(&house)?,
        };
        let tokens = tokens::fetch(gateway.public, &added)?;
        let mut crowd = Crowd { gateway, clients, connections, _scratch: scratch };
        let lines: Vec<String> = ids.iter().zip(&tokens).map(|(id, token)| format!("{id} {token}")).collect();
        for (number, part) in lines.chunks(connections.div_ceil(crowd.clients.len()).max(1)).enumerate() {
            let path = crowd._scratch.join(&format!("tokens-{number}"));
            fs::write(&path, part.join("\n"))?;
            crowd.clients[number].command(&format!("tokens {}", path.display()))?;
            crowd.clients[number].done()?;
        }
        Ok((crowd, more))
    }

    /// So many more connect, evenly from all processes.
    pub(crate) fn connect(&mut self, count: usize) -> Result<()> {
        let processes = self.clients.len();
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.command(&format!("connect {}", count / processes + usize::from(number < count % processes)))?;
        }
        self.clients.iter_mut().try_for_each(Commanded::done)
    }

    /// All are closed; returns when the gateway has let the last one go.
    pub(crate) fn drop_all(&mut self) -> Result<()> {
        self.clients.iter_mut().try_for_each(|client| client.command("drop"))?;
        self.clients.iter_mut().try_for_each(Commanded::done)?;
        let deadline = now() + PATIENCE;
        while self.count()? > 0 {
            ensure!(now() < deadline, "{} connections do not end", self.count()?);
            sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// How many the gateway says are connected.
    pub(crate) fn count(&self) -> Result<usize> {
        Ok(self.gateway.scrape()?["sealgate_edge_connections"] as usize)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Tls => "tls",
            Kind::Duplex => "duplex",
        }
    }
}

impl Commanded {
    fn command(&mut self, line: &str) -> Result<()> {
        writeln!(self.commands, "{line}").context("a process of clients has ended")
    }

    fn done(&mut self) -> Result<()> {
        let line = self.answers.next().context("a process of clients has ended")??;
        ensure!(line == "done", "{line}");
        Ok(())
    }
}

/// The gateway as it is shipped, and this program once more for its clients.
fn outside(kind: Kind, house: &House, scratch: &Scratch) -> Result<(Gateway, Vec<Commanded>)> {
    let certificate = (kind == Kind::Tls).then(|| certify(scratch)).transpose()?;
    let of_tls = certificate.as_ref().map(|(certificate, key)| {
        [
            "edge.tls_listen=127.0.0.1:0".to_owned(),
            format!("edge.tls_certificate={}", certificate.display()),
            format!("edge.tls_key={}", key.display()),
        ]
    });
    let settings: Vec<&str> = SETTINGS.iter().copied().chain(of_tls.iter().flatten().map(String::as_str)).collect();
    let gateway = house.serve(&settings)?;
    let address = gateway.mqtts.map_or_else(|| gateway.mqtt(), Ok)?;
    let mut clients = Vec::new();
    for number in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--clients-of", &address.to_string(), "--number", &number.to_string()]);
        if let Some((certificate, _)) = &certificate {
            command.arg("--certificate").arg(certificate);
        }
        clients.push(start(&mut command)?);
    }
    Ok((gateway, clients))
}

/// This program once more, as gateway and clients.
fn inside(house: &House) -> Result<(Gateway, Vec<Commanded>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut commanded = start(command.arg("--inside").arg(&house.data))?;
    let mut doors = HashMap::new();
    loop {
        let line = commanded.answers.next().context("the gateway has ended")??;
        if line == "ready" {
            break;
        }
        let (door, address) = line.split_once(" listening on ").context("a door was due")?;
        doors.insert(door.split(' ').next().unwrap_or_default().to_owned(), address.parse()?);
    }
    let door = |name: &str| doors.get(name).copied().with_context(|| format!("no {name} is announced"));
    let process = commanded.process.take().context("it was just started")?;
    let gateway =
        Gateway { process, mqtt: Some(door("mqtt")?), mqtts: None, public: door("public")?, admin: door("admin")? };
    Ok((gateway, vec![commanded]))
}

fn start(command: &mut Command) -> Result<Commanded> {
    let mut process = Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let commands = process.0.stdin.take().context("standard input is a pipe")?;
    let stdout = process.0.stdout.take().context("standard output is a pipe")?;
    Ok(Commanded { process: Some(process), commands, answers: BufReader::new(stdout).lines() })
}

/// A certificate that signs itself, and its key.
fn certify(scratch: &Scratch) -> Result<(PathBuf, PathBuf)> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let write = |name: &str, pem: String| -> Result<PathBuf> {
        let path = scratch.join(name);
        fs::write(&path, pem)?;
        Ok(fs::canonicalize(Path::new(&path))?)
    };
    Ok((write("certificate.pem", certified.cert.pem())?, write("key.pem", certified.signing_key.serialize_pem())?))
}
