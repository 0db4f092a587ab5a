//! The gateway under load: in a process of its own, on an empty data directory, and looked at afterwards.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};

use super::Options;
use super::fleet::{Credentials, Fleet, name};
use super::load::{self, Subscriber};
use super::process::{PATIENCE, Process, Scratch};
use super::report::Report;
use super::rows;

/// One round of the gateway; gives the fleet back, for those who are to relay the same bytes.
pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<Arc<Fleet>> {
    let scratch = Scratch::new("gateway")?;
    let house = House::new(&scratch)?;
    let added: Vec<Added> = (0..options.devices).map(|number| house.add_device(number)).collect::<Result<_>>()?;
    let gateway = house.serve()?;
    let credentials = added.into_iter().map(|added| added.log_in(gateway.public)).collect::<Result<Vec<_>>>()?;
    let fleet = Arc::new(Fleet::seal(&credentials, options.messages)?);
    let measured = load::run(&fleet, gateway.mqtt, options.window, &gateway.process, Subscriber::None)?;

    let scraped = scrape(gateway.admin)?;
    check_counts(&scraped, fleet.len() as f64)?;
    report.batches.push(fleet.len() as f64 / scraped["sealgate_ingest_batch_messages_count"]);
    drop(gateway);
    rows::check(&house.data.join("sealgate.db"), fleet.len())?;
    report.gateway.push(measured);
    Ok(fleet)
}

/// Everything was stored, and the law of the counts holds.
fn check_counts(scraped: &HashMap<String, f64>, sent: f64) -> Result<()> {
    let count = |name: &str| {
        scraped.get(&format!("sealgate_ingest_{name}")).copied().with_context(|| format!("/metrics has no {name}"))
    };
    let (received, stored) = (count("received_total")?, count("stored_total")?);
    let others = ["duplicate_total", "rejected_total", "dropped_total", "in_flight"].map(count);
    let others: f64 = others.into_iter().sum::<Result<f64>>()?;
    ensure!(
        received == sent && stored == sent && others == 0.0,
        "sent {sent}, received {received}, stored {stored}, anything else {others}"
    );
    Ok(())
}

/// A data directory and the program on it.
pub(crate) struct House {
    config: PathBuf,
    data: PathBuf,
}

struct Gateway {
    process: Process,
    mqtt: SocketAddr,
    public: SocketAddr,
    admin: SocketAddr,
}

struct Added {
    printed: serde_json::Value,
}

impl House {
    pub(crate) fn new(scratch: &Scratch) -> Result<House> {
        let (config, data) = (scratch.join("sealgate.toml"), scratch.join("data"));
        // An empty file, so that none of the machine's own is read.
        fs::write(&config, "")?;
        Ok(House { config, data })
    }

    /// Where the database is, made by the gateway's own migrations; one device is in it.
    pub(crate) fn database(&self) -> Result<PathBuf> {
        self.add_device(0)?;
        Ok(self.data.join("sealgate.db"))
    }

    fn add_device(&self, number: usize) -> Result<Added> {
        let output = self.command().args(["device", "add", &name(number), "--format", "json"]).output()?;
        ensure!(output.status.success(), "device add: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Added { printed: serde_json::from_slice(&output.stdout)? })
    }

    fn serve(&self) -> Result<Gateway> {
        let mut command = self.command();
        for door in ["edge", "public", "admin"] {
            command.args(["--set", &format!("{door}.listen=127.0.0.1:0")]);
        }
        let log = fs::File::create(self.data.with_extension("log"))?;
        let mut process = Process::start(command.arg("serve").stdout(Stdio::piped()).stderr(log))?;
        let stdout = process.0.stdout.take().context("standard output is a pipe")?;
        let mut doors = HashMap::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line == "ready" {
                let door = |name: &str| doors.get(name).copied().with_context(|| format!("no {name} is announced"));
                let (mqtt, public, admin) = (door("mqtt")?, door("public")?, door("admin")?);
                return Ok(Gateway { process, mqtt, public, admin });
            }
            if let Some((door, address)) = line.split_once(" listening on ") {
                doors.insert(door.split(' ').next().unwrap_or_default().to_owned(), address.parse()?);
            }
        }
        bail!("the gateway did not get ready")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(&self.config).arg("--data").arg(&self.data).stdin(Stdio::null());
        command
    }
}

impl Added {
    /// Fetches a token.
    fn log_in(self, public: SocketAddr) -> Result<Credentials> {
        let text = |field: &str| self.printed[field].as_str().with_context(|| format!("no {field}"));
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            text("client_id")?,
            text("client_secret")?
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
        Ok(Credentials {
            device_id: text("device_id")?.to_owned(),
            key: hex::decode(text("seal_key")?)?.try_into().ok().context("a key has 32 bytes")?,
            key_version: self.printed["key_version"].as_u64().context("no key_version")?.try_into()?,
            token: answer["access_token"].as_str().context("no access_token")?.to_owned(),
        })
    }
}

/// Each series of /metrics, summed up over its labels.
fn scrape(admin: SocketAddr) -> Result<HashMap<String, f64>> {
    let text = ask(admin, &format!("GET /metrics HTTP/1.0\r\nhost: {admin}\r\n\r\n"))?;
    let mut sums = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let name = series.split('{').next().unwrap_or(series);
        *sums.entry(name.to_owned()).or_default() += value.parse::<f64>()?;
    }
    Ok(sums)
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
