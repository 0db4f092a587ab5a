//! A gateway in a process of its own, on a data directory of its own.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

use super::device::{Device, Service};
use super::doors::{Doors, quiet_address};
use super::http::{get, post_form};
use super::postgres::{self, Postgres};
use super::scrape::Scrape;
use super::scratch::Scratch;
use super::wait::eventually;

/// Where what is written to standard error goes, of all runs on one data directory.
const LOG: &str = "gateway.log";
const LOG_LINES_SHOWN: usize = 60;
const PROGRAM: &str = env!("CARGO_BIN_EXE_sealgate");

/// The gateway of one test. It is killed with it; if the test fails, the end of its log is shown.
pub(crate) struct Gateway {
    scratch: Scratch,
    /// The URL of its database; none: it is in the data directory.
    postgres: Option<String>,
    variables: Vec<(String, String)>,
    process: Option<Process>,
    /// `serve`, or `ingest`.
    command: &'static str,
    /// Whether a file that gets too large is an error to it, and not its end.
    ignores_xfsz: bool,
}

struct Process {
    child: Child,
    doors: Doors,
}

impl Gateway {
    /// Runs with the defaults, but for free ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Runs with `settings`, each `("area.key", value)`.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut gateway = Self::prepare(settings);
        gateway.restart();
        gateway
    }

    /// A data directory and settings; nothing runs yet.
    pub(crate) fn prepare(settings: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new("gateway");
        // An empty file, so that none of the machine's own is read.
        fs::write(scratch.join("sealgate.toml"), "").unwrap();
        let ports = ["edge.listen", "rumqttd.listen", "public.listen", "admin.listen"].map(|key| (key, "127.0.0.1:0"));
        let variables = ports.iter().chain(settings).map(|(key, value)| (variable(key), (*value).to_owned())).collect();
        Gateway { scratch, postgres: None, variables, process: None, command: "serve", ignores_xfsz: false }
    }

    /// The same over a schema of its own in PostgreSQL.
    pub(crate) fn prepare_on_postgres(settings: &[(&str, &str)]) -> Self {
        Self::prepare_on(Postgres::shared().schema(), settings)
    }

    /// The same over the database of this URL.
    pub(crate) fn prepare_on(url: String, settings: &[(&str, &str)]) -> Self {
        let mut gateway = Self::prepare(settings);
        gateway.set("database.url", &url);
        gateway.postgres = Some(url);
        gateway
    }

    /// Two that run on one database in PostgreSQL, with one another's keys.
    pub(crate) fn two_on_postgres(settings: &[(&str, &str)]) -> [Self; 2] {
        let mut one = Self::prepare_on_postgres(settings);
        one.restart();
        let mut other = Self::prepare_on(one.url().to_owned(), settings);
        other.take_keys_of(&one);
        other.restart();
        [one, other]
    }

    /// It only takes messages in from another broker.
    pub(crate) fn into_worker(mut self) -> Self {
        self.command = "ingest";
        self
    }

    /// The URL of its database in PostgreSQL.
    pub(crate) fn url(&self) -> &str {
        self.postgres.as_ref().expect("it has one")
    }

    /// Whether its database is PostgreSQL.
    pub(crate) fn is_on_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// Sets `area.key` from the next start on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.variables.push((variable(key), value.to_owned()));
    }

    /// Sets a variable of its environment from the next start on.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Has the master keys of another gateway, whose database it shares.
    pub(crate) fn take_keys_of(&self, other: &Gateway) {
        let made = DirBuilder::new().mode(0o700).create(self.data_dir());
        assert!(made.is_ok() || self.data_dir().is_dir(), "{made:?}");
        let [from, to] = [other, self].map(|gateway| gateway.data_dir().join("master.keys"));
        fs::copy(from, to).unwrap();
    }

    /// Listens at the same addresses from the next start on, whatever happens to it.
    pub(crate) fn keep_its_doors(&mut self) {
        for key in ["edge.listen", "rumqttd.listen", "public.listen", "admin.listen"] {
            let address = quiet_address();
            self.set(key, &address.to_string());
        }
    }

    /// From the next start on its disk can be filled: see [`Gateway::limit_files`].
    pub(crate) fn may_find_its_disk_full(&mut self) {
        self.ignores_xfsz = true;
    }

    /// None of its files may grow beyond so many bytes from now on; none: as far as the disk lets them. To a program that is the same as a
    /// full disk, but for the number of the error, and it needs no rights.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        assert!(self.ignores_xfsz, "the signal would end it");
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.running().child.id().to_string();
        // The soft limit alone: the hard one cannot be raised again.
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status().unwrap();
        assert!(set.success(), "prlimit comes with Debian's util-linux");
    }

    /// Starts it, again or for the first time, on the same data. The ports are others then.
    pub(crate) fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.scratch.join(LOG)).unwrap();
        let mut child = self.command(&[self.command]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let doors = Doors::announced(child.stdout.take().unwrap());
        self.process = doors.map(|doors| Process { child, doors });
        assert!(self.process.is_some(), "the gateway did not get ready:\n{}", self.log());
    }

    /// The end that asks nobody: what was not on disk is gone.
    pub(crate) fn kill9(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// The polite end: SIGTERM, and wait.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Sends a signal and does not wait.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.running().child.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
        assert!(sent.success());
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        eventually("the gateway has ended", || process.child.try_wait().unwrap())
    }

    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.running().doors.mqtt.expect("clients come to it")
    }

    /// Where MQTT 5 is spoken, where that has an address of its own.
    pub(crate) fn mqtt_v5(&self) -> SocketAddr {
        self.running().doors.mqtt_v5.expect("it listens there")
    }

    /// Where MQTT over TLS is spoken.
    pub(crate) fn mqtts(&self) -> SocketAddr {
        self.running().doors.mqtts.expect("it listens there")
    }

    /// Where the public HTTP is served over TLS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.running().doors.https.expect("it listens there")
    }

    pub(crate) fn public(&self) -> SocketAddr {
        self.running().doors.public.expect("tokens are fetched from it")
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.running().doors.admin
    }

    /// `sealgate device add ID`, beside the running gateway.
    pub(crate) fn add_device(&self, id: &str) -> Device {
        Device::from_json(&self.run_for_json(&["device", "add", id]))
    }

    /// `sealgate client add NAME --scope …`.
    pub(crate) fn add_service(&self, name: &str, scopes: &[&str]) -> Service {
        let mut arguments = vec!["client", "add", name];
        scopes.iter().for_each(|scope| arguments.extend(["--scope", *scope]));
        Service::from_json(name, &self.run_for_json(&arguments))
    }

    /// An access token, by client credentials.
    pub(crate) fn token(&self, client_id: &str, client_secret: &str) -> String {
        let fields = [("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", client_secret)];
        let answer = post_form(self.public(), "/oauth/token", &fields);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().expect("an answer of 200 has a token").to_owned()
    }

    pub(crate) fn metrics(&self) -> Scrape {
        let answer = get(self.admin(), "/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        Scrape::parse(&answer.body)
    }

    /// The most memory that its process has had resident (proc(5), VmHWM).
    pub(crate) fn peak_memory_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running().child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("each process has it");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Whether the law of the counts holds at this moment.
    pub(crate) fn law_holds(&self) -> bool {
        self.metrics().law_difference() == 0.0
    }

    /// Where its data are.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// Where its database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir().join("sealgate.db")
    }

    /// Changes the database as an operator with SQL would, beside the gateway.
    pub(crate) fn change_by_hand(&self, statement: &str) {
        if let Some(url) = &self.postgres {
            postgres::run(url, statement);
            return;
        }
        let output =
            Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(self.database()).arg(statement).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The rows that a query of the database gives, read beside the gateway.
    pub(crate) fn sql(&self, query: &str) -> Vec<serde_json::Value> {
        if let Some(url) = &self.postgres {
            let rows = postgres::run(url, &format!("SELECT coalesce(json_agg(to_json(q)), '[]') FROM ({query}) q"));
            return serde_json::from_str(&rows).unwrap();
        }
        let output =
            Command::new("sqlite3").args(["-readonly", "-json"]).arg(self.database()).arg(query).output().unwrap();
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        // No rows are no JSON at all.
        if output.stdout.is_empty() { Vec::new() } else { serde_json::from_slice(&output.stdout).unwrap() }
    }

    /// Bytes of a column in hexadecimal, in the SQL of its database.
    pub(crate) fn hex(&self, column: &str) -> String {
        if self.postgres.is_some() { format!("encode({column}, 'hex')") } else { format!("hex({column})") }
    }

    /// A command of the program beside the gateway, with the same settings and data.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `sealgate ARGUMENTS` prints; else what it says is wrong.
    pub(crate) fn tries(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.run(arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// What `sealgate ARGUMENTS` prints, which has to go well.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        self.tries(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    /// A command beside the gateway; whoever started it reads what it prints while it runs.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What it has written to standard error, the last lines of it.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.scratch.join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn run_for_json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.ignores_xfsz {
            false => Command::new(PROGRAM),
            true => {
                let mut command = Command::new("env");
                command.args(["--ignore-signal=XFSZ", PROGRAM]);
                command
            }
        };
        command.arg("--config").arg(self.scratch.join("sealgate.toml")).arg("--data").arg(self.scratch.join("data"));
        command.args(arguments).envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "-- the end of {}:\n{}", self.scratch.join(LOG).display(), self.log());
        }
    }
}

/// `edge.listen` is `SEALGATE__EDGE__LISTEN`.
fn variable(key: &str) -> String {
    format!("SEALGATE__{}", key.to_uppercase().replace('.', "__"))
}
