//! The lines of the README under "A first device", and those of docs/identity.md under "An issuer of your own", run as they stand. Only the
//! ports are others, so that nothing that listens on this machine is in the way.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::Scratch;

/// What a README's lines may take together, in seconds; `timeout` ends everything that they have started.
const SECONDS_MAX: &str = "120";

#[test]
fn a_first_device_is_heard_and_stored() {
    let output = run(&shell_lines("README.md", "## A first device"));
    let (printed, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{printed}\n{log}", output.status);
    for line in ["It is whole.", "readings/sensor-1 ", "sensor-1|temperature|Cel|21.5"] {
        assert!(printed.contains(line), "{line} is missing in:\n{printed}\n{log}");
    }
}

#[test]
fn a_device_with_an_issuer_of_ones_own_is_stored() {
    let output = run(&shell_lines("docs/identity.md", "## An issuer of your own"));
    let (printed, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{printed}\n{log}", output.status);
    for line in ["pump-1|pressure|bar|6.25", "login "] {
        assert!(printed.contains(line), "{line} is missing in:\n{printed}\n{log}");
    }
}

/// The `sh` blocks of a section, in their order.
fn shell_lines(file: &str, section: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let section = text.split(&format!("\n{section}\n")).nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```sh\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    blocks.collect::<Vec<_>>().join("\n")
}

fn run(lines: &str) -> Output {
    let scratch = Scratch::new("readme");
    let [mqtt, public, admin, issuer] = free_ports();
    let ports = [("1883", mqtt), ("8080", public), ("8081", admin), ("9000", issuer)];
    let lines = ports.iter().fold(lines.to_owned(), |lines, (usual, free)| lines.replace(usual, &free.to_string()));
    // What is still running is no one else's to end, however the lines end.
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{lines}\n");
    fs::write(scratch.join("readme.sh"), script).unwrap();
    // An empty file, so that none of the machine's own is read.
    fs::write(scratch.join("sealgate.toml"), "").unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_sealgate")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let listen = |port: u16| format!("127.0.0.1:{port}");
    Command::new("timeout")
        .args([SECONDS_MAX, "bash", "readme.sh"])
        .current_dir(scratch.join(""))
        .env("PATH", path)
        .env("SEALGATE_CONFIG", scratch.join("sealgate.toml"))
        .env("SEALGATE__EDGE__LISTEN", listen(mqtt))
        .env("SEALGATE__PUBLIC__LISTEN", listen(public))
        .env("SEALGATE__ADMIN__LISTEN", listen(admin))
        .output()
        .unwrap()
}

/// Ports that nobody has now, each another one.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
