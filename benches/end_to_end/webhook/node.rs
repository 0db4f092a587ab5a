//! The programs in Node: installed once, and started.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::common::process::Process;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/end_to_end/webhook");
const FILES: [&str; 4] = ["package.json", "package-lock.json", "broker.mjs", "service.mjs"];
/// What the broker asks by: Node's own client, with an agent that keeps connections open, and the faster one.
pub(crate) const CLIENTS: [&str; 2] = ["http", "undici"];

/// The programs beside what they need, which npm brings once; none: it is not installed, or cannot.
pub(crate) fn installed() -> Result<Option<PathBuf>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webhook");
    fs::create_dir_all(&folder)?;
    let lock = |folder: &Path| fs::read(folder.join("package-lock.json")).ok();
    let is_there = lock(&folder) == lock(Path::new(FOLDER)) && folder.join("node_modules").is_dir();
    for file in FILES {
        fs::copy(Path::new(FOLDER).join(file), folder.join(file))?;
    }
    let npm = || Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder).status();
    Ok((is_there || npm().is_ok_and(|status| status.success())).then_some(folder))
}

/// One of the two, and the port that it listens on.
pub(crate) fn start(folder: &Path, program: &str, arguments: &[String]) -> Result<(u16, Process)> {
    let mut command = Command::new("node");
    command.current_dir(folder).arg(program).args(arguments).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().context("it is a pipe")?).read_line(&mut line)?;
    Ok((line.trim().parse().with_context(|| format!("{program} said {line:?}"))?, process))
}
