//! The gateway in a process of its own, on an empty data directory, with whoever is to log in.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::process::{PATIENCE, Process, Scratch};

/// Names another gateway than the one that was just built: to compare two, in alternating rounds.
const PROGRAM: &str = "SEALGATE_BENCH_PROGRAM";

/// A data directory and the program on it.
pub(crate) struct House {
    config: PathBuf,
    pub(crate) data: PathBuf,
    /// The URL of its database; none: it is in the data directory.
    pub(crate) url: Option<String>,
}

/// A gateway that serves.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    /// Where clients come to it; none: they come to another broker.
    pub(crate) mqtt: Option<SocketAddr>,
    /// Where MQTT over TLS is spoken, if it is told to.
    pub(crate) mqtts: Option<SocketAddr>,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A device or a service that may log in.
pub(crate) struct Added {
    /// What `device add` or `client add` printed.
    pub(crate) printed: serde_json::Value,
}

impl House {
    pub(crate) fn new(scratch: &Scratch) -> Result<House> {
        let (config, data) = (scratch.join("sealgate.toml"), scratch.join("data"));
        // An empty file, so that none of the machine's own is read.
        fs::write(&config, "")?;
        Ok(House { config, data, url: None })
    }

    /// Where the database is, once there is one.
    pub(crate) fn database(&self) -> PathBuf {
        self.data.join("sealgate.db")
    }

    /// Adds devices in one call.
    pub(crate) fn add_devices(&self, ids: &[String]) -> Result<Vec<Added>> {
        let mut command = self.command();
        command.args(["device", "add", "--format", "json"]).args(ids);
        add(command)
    }

    /// Adds a service, which may have any number of connections.
    pub(crate) fn add_service(&self, name: &str, scopes: &[&str]) -> Result<Added> {
        let mut command = self.command();
        command.args(["client", "add", name, "--format", "json"]);
        scopes.iter().for_each(|scope| _ = command.args(["--scope", scope]));
        add(command)?.pop().context("client add printed nothing")
    }

    /// Starts the gateway on free ports and waits until it is ready; each of `settings` is written `key=value`.
    pub(crate) fn serve(&self, settings: &[&str]) -> Result<Gateway> {
        let mut command = self.command();
        let doors = ["edge.listen=127.0.0.1:0", "public.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"];
        doors.iter().chain(settings).for_each(|setting| _ = command.args(["--set", setting]));
        let log = fs::File::create(self.data.with_extension("log"))?;
        let mut process = Process::start(command.arg("serve").stdout(Stdio::piped()).stderr(log))?;
        let stdout = process.0.stdout.take().context("standard output is a pipe")?;
        let mut doors = HashMap::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line == "ready" {
                let door = |name: &str| doors.get(name).copied().with_context(|| format!("no {name} is announced"));
                let (public, admin) = (door("public")?, door("admin")?);
                let (mqtt, mqtts) = (doors.get("mqtt").copied(), doors.get("mqtts").copied());
                return Ok(Gateway { process, mqtt, mqtts, public, admin });
            }
            if let Some((door, address)) = line.split_once(" listening on ") {
                doors.insert(door.split(' ').next().unwrap_or_default().to_owned(), address.parse()?);
            }
        }
        bail!("the gateway did not get ready: {}", fs::read_to_string(self.data.with_extension("log"))?)
    }

    fn command(&self) -> Command {
        let program = std::env::var_os(PROGRAM).unwrap_or_else(|| env!("CARGO_BIN_EXE_sealgate").into());
        let mut command = Command::new(program);
        command.arg("--config").arg(&self.config).arg("--data").arg(&self.data).stdin(Stdio::null());
        if let Some(url) = &self.url {
            command.args(["--set", &format!("database.url=\"{url}\"")]);
        }
        command
    }
}

/// Each line that is printed is somebody who was added.
fn add(mut command: Command) -> Result<Vec<Added>> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Ok(Added { printed: serde_json::from_slice(line)? })).collect()
}

impl Added {
    /// A field of what was printed.
    pub(crate) fn text(&self, field: &str) -> Result<&str> {
        self.printed[field].as_str().with_context(|| format!("no {field}"))
    }

    /// Fetches a token.
    pub(crate) fn token(&self, public: SocketAddr) -> Result<String> {
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            self.text("client_id")?,
            self.text("client_secret")?
        );
        let answer = ask(
            public,
            &format!(
                "POST /oauth/token HTTP/1.0\r\nhost: {public}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            ),
        )?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        Ok(answer["access_token"].as_str().context("no access_token")?.to_owned())
    }
}

impl Gateway {
    /// Where it speaks MQTT without TLS.
    pub(crate) fn mqtt(&self) -> Result<SocketAddr> {
        self.mqtt.context("no mqtt is announced")
    }

    /// Each series of /metrics, summed up over its labels.
    pub(crate) fn scrape(&self) -> Result<HashMap<String, f64>> {
        let text = ask(self.admin, &format!("GET /metrics HTTP/1.0\r\nhost: {}\r\n\r\n", self.admin))?;
        let mut sums = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or(series);
            *sums.entry(name.to_owned()).or_default() += value.parse::<f64>()?;
        }
        Ok(sums)
    }
}

/// The body of an answer of 200. HTTP/1.0, so that it ends with its connection.
fn ask(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("this is no HTTP")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{head}");
    Ok(body.to_owned())
}
