//! Where a gateway listens: what it announces as it starts, and addresses that stay free for it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::wait::{Deadline, PATIENCE};

/// The addresses of one run.
pub(super) struct Doors {
    pub(super) mqtt: Option<SocketAddr>,
    pub(super) mqtt_v5: Option<SocketAddr>,
    pub(super) mqtts: Option<SocketAddr>,
    pub(super) public: Option<SocketAddr>,
    pub(super) https: Option<SocketAddr>,
    pub(super) admin: SocketAddr,
}

impl Doors {
    /// From the lines that `serve` prints; none if it ends, or patience does, before `ready`.
    pub(super) fn announced(stdout: ChildStdout) -> Option<Self> {
        let lines = lines_of(stdout);
        let deadline = Deadline::after(PATIENCE);
        let (mut mqtt, mut mqtt_v5, mut mqtts, mut public, mut https, mut admin) = (None, None, None, None, None, None);
        loop {
            let line = lines.recv_timeout(deadline.left()).ok()?;
            if line.trim() == "ready" {
                return Some(Doors { mqtt, mqtt_v5, mqtts, public, https, admin: admin? });
            }
            let Some((door, address)) = line.split_once(" listening on ") else { continue };
            let address = Some(address.trim().parse().unwrap_or_else(|error| panic!("{error}: {line}")));
            match door.split(' ').next() {
                Some("mqtt") => mqtt = address,
                Some("mqtt5") => mqtt_v5 = address,
                Some("mqtts") => mqtts = address,
                Some("https") => https = address,
                Some("public") => public = address,
                Some("admin") => admin = address,
                _ => {}
            }
        }
    }
}

/// An address at which nobody listens, and that the system gives to no outgoing connection: those have ports from 32768 on, and one
/// of theirs would be in the way of a gateway that comes back.
pub(super) fn quiet_address() -> SocketAddr {
    let bindable = |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()).ok();
    (0..1_000).find_map(|_| bindable(fastrand::u16(20_000..32_000))).expect("one of twelve thousand ports is free")
}

/// Reads to the end, whoever listens, so that the process never waits for its pipe.
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}
