//! The brokers that the gateway is measured beside: Mosquitto as Debian builds it, and rumqttd, each in a process of its own and
//! with nothing of theirs bounded that the measurement is not about.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::process::{Process, Scratch, free_address};

/// Debian installs it where only root's PATH looks.
const MOSQUITTO: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

/// None: it is not installed. Bounds are set so that nothing is dropped.
pub(crate) fn mosquitto(scratch: &Scratch) -> Result<Option<(SocketAddr, Process)>> {
    let address = free_address()?;
    let config = scratch.join("mosquitto.conf");
    fs::write(
        &config,
        format!(
            "listener {} {}\nallow_anonymous true\npersistence false\nlog_dest none\nset_tcp_nodelay true\n\
             max_inflight_messages 65535\nmax_queued_messages 0\nmax_queued_bytes 0\n",
            address.port(),
            address.ip()
        ),
    )?;
    let start = |program: &&str| {
        let mut command = Command::new(program);
        Process::start(command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null())).ok()
    };
    let Some(mut process) = MOSQUITTO.iter().find_map(start) else { return Ok(None) };
    process.wait_for(address).context("mosquitto")?;
    Ok(Some((address, process)))
}

/// This program once more; told `--rumqttd ADDRESS` it has to be [`be_rumqttd`].
pub(crate) fn rumqttd() -> Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--rumqttd", &address.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::start(&mut command)?;
    process.wait_for(address).context("rumqttd")?;
    Ok((address, process))
}

/// Runs rumqttd with what its own example configuration says, but for the sizes of what it keeps: larger, so that it keeps
/// what the subscriber has not read.
pub(crate) fn be_rumqttd(address: SocketAddr) -> Result<()> {
    let server = rumqttd::ServerSettings {
        name: "bench".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections: rumqttd::ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 20_480,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 10_010,
            max_outgoing_packet_count: 200,
            max_segment_size: 104_857_600,
            max_segment_count: 10,
            ..Default::default()
        },
        v5: Some(HashMap::from([("bench".to_owned(), server)])),
        ..Default::default()
    };
    Ok(rumqttd::Broker::new(config).start()?)
}
