//! A real MQTT broker of another's, on a port and in a folder of its own.
//!
//! The script `tests/broker` makes it, and takes it away when its standard input ends: so it goes with the process of the tests,
//! however that ends.

#![allow(dead_code, reason = "a test takes of it what it needs")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use firmware_sim::host::Account;

/// What the script ends with where the broker is not installed (EX_UNAVAILABLE).
const NOT_INSTALLED: i32 = 69;

/// A broker that runs, or has run.
pub(crate) struct Broker {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
    /// Its process, as it was started first.
    pub(crate) pid: u32,
    port: u16,
    tls_port: Option<u16>,
    /// The certificate of its authority, where it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
    /// Whom it lets in; none: everybody.
    pub(crate) account: Option<Account>,
}

impl Broker {
    /// One of those that `tests/broker` knows.
    pub(crate) fn start(name: &str) -> Broker {
        Broker::start_if_installed(name, &[]).expect("Debian's package of the broker is installed")
    }

    /// The same with flags of the script's.
    pub(crate) fn start_if_installed(name: &str, flags: &[&str]) -> Option<Broker> {
        let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker"))
            .arg(name)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/broker is there");
        let mut answers = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let Some(said) = answers.next() else {
            let status = child.wait().expect("it has ended");
            assert_eq!(status.code(), Some(NOT_INSTALLED), "the broker does not start");
            return None;
        };
        let said = said.expect("it answers in text");
        let said: serde_json::Value = serde_json::from_str(&said).expect("it answers in JSON");
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let account = said["account"].as_object().map(|account| Account {
            user: text(&account["user"]).unwrap_or_default(),
            password: text(&account["password"]).unwrap_or_default(),
        });
        let port = |value: &serde_json::Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
        let (tls_port, port) = (port(&said["tls_port"]), port(&said["port"]).expect("it has a port"));
        let pid = said["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("it has a process");
        Some(Broker { child, answers, pid, port, tls_port, ca: text(&said["ca"]).map(PathBuf::from), account })
    }

    /// Where it speaks MQTT without TLS.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it speaks MQTT, over TLS if it can, as a setting.
    pub(crate) fn url(&self) -> String {
        match self.tls_port {
            Some(port) => format!("mqtts://localhost:{port}"),
            None => format!("mqtt://127.0.0.1:{}", self.port),
        }
    }

    /// Ends politely.
    pub(crate) fn stop(&mut self) {
        self.obeys("stop");
    }

    /// Ends as in a crash.
    pub(crate) fn kill9(&mut self) {
        self.obeys("kill");
    }

    /// Starts again, on the same port and the same data.
    pub(crate) fn start_again(&mut self) {
        self.obeys("start");
    }

    fn obeys(&mut self, word: &str) {
        writeln!(self.child.stdin.as_ref().expect("it is a pipe"), "{word}").expect("the script runs");
        let answer = self.answers.next().expect("the script runs").expect("it answers in text");
        assert_eq!(answer, word);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
