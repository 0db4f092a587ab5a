//! `sealgate device import`: a fleet out of a CSV file, all of it or nothing.
//!
//! The whole file is read and judged before anything is added, so that each bad line can be named. Credentials are on the disk before the devices
//! are in the registry: a crash between the two leaves a file that is of no use, and never a device whose secret nobody has.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealgate_envelope::DeviceId;
use zeroize::Zeroizing;

use crate::auth::IssuerUrl;
use crate::auth::secret::is_client_id;
use crate::cli::{Done, Exit, Failure, now_ms, output};
use crate::gateway::Cellar;
use crate::provision::{DeviceWish, prepare};
use crate::seal::GroupName;
use crate::store::{AddError, NewDevice, Store};

/// The longest file: a million devices and more.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bad lines that are named; the rest is counted.
const NAMED_MAX: usize = 50;
/// Names that are looked up at a time.
const LOOK_UP: usize = 5_000;

const COLUMNS: [&str; 5] = ["device_id", "group", "issuer", "client_id", "client_secret_sha256"];
/// Of `device export`: read and passed over, so that what was exported can be imported elsewhere.
const PASSED_OVER: [&str; 3] = ["state", "key_version_min", "created_at"];

/// Add many devices of a CSV file, all of them or none.
#[derive(Args)]
#[command(after_help = "\
The first line names the columns: device_id, and if you like group, issuer, client_id and client_secret_sha256 (64 hex digits of SHA-256), for
devices whose credentials exist already. For all others they are made, and written to --credentials, a JSON object a line, as
`device add --format json` prints it.")]
pub(super) struct Arguments {
    /// The file; - is standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Where the new credentials go, readable for nobody else. It must not be there yet.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    credentials: PathBuf,
    /// Say what is wrong with the file, and add nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A line that can be added.
struct Line {
    number: u64,
    id: DeviceId,
    group: Option<GroupName>,
    issuer: Option<IssuerUrl>,
    /// A client that is there already: its id, and the hash of its secret.
    client: Option<(String, [u8; 32])>,
}

/// What is wrong, in the order of the lines.
#[derive(Default)]
struct Faults {
    named: Vec<String>,
    count: u64,
}

impl Faults {
    fn add(&mut self, line: u64, what: impl std::fmt::Display) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("line {line}: {what}"));
        }
    }

    fn none(self) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        let more = self.count - self.named.len() as u64;
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        Err(Failure::Unusable(anyhow!("{}{more}\nnothing was added", self.named.join("\n"))))
    }
}

impl Arguments {
    pub(super) async fn run(self, cellar: &Cellar) -> Done {
        let (lines, mut faults) = read(&self.file)?;
        find_taken(&cellar.store, &lines, &mut faults).await?;
        faults.none()?;
        if self.dry_run {
            output::line(&format!("{} devices can be added", lines.len()))?;
            return Ok(Exit::Done);
        }
        let devices = Credentials::write(&self.credentials, cellar, &lines)?;
        let bar = bar(devices.len());
        let added = cellar.store.add_devices(&devices, &|done| bar.set_position(done as u64)).await;
        bar.finish_and_clear();
        if let Err(error) = added {
            std::fs::remove_file(&self.credentials).with_context(|| format!("{}", self.credentials.display()))?;
            return Err(match error {
                AddError::Exists => anyhow!("somebody has added one of them meanwhile; nothing was added").into(),
                AddError::Store(error) => anyhow!("nothing was added: {error}").into(),
            });
        }
        output::line(&format!(
            "{} devices are added; their credentials are in {}",
            devices.len(),
            self.credentials.display()
        ))?;
        Ok(Exit::Done)
    }
}

fn read(path: &Path) -> Result<(Vec<Line>, Faults), Failure> {
    let unusable = |error: io::Error| Failure::Unusable(anyhow!("{}: {error}", path.display()));
    let mut text = Vec::new();
    let taken = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut text),
        false => File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut text)),
    };
    if taken.map_err(unusable)? as u64 > BYTES_MAX {
        return Err(Failure::Unusable(anyhow!("{}: it has more than {BYTES_MAX} bytes; divide it", path.display())));
    }
    parse(&text).map_err(|error| Failure::Unusable(anyhow!("{}: {error}", path.display())))
}

fn parse(text: &[u8]) -> Result<(Vec<Line>, Faults), String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let names = reader.headers().map_err(|error| error.to_string())?.clone();
    for (place, name) in names.iter().enumerate() {
        if !COLUMNS.contains(&name) && !PASSED_OVER.contains(&name) {
            return Err(format!("line 1: there is no column {name:?}; the columns are {}", COLUMNS.join(", ")));
        }
        if names.iter().position(|other| other == name) != Some(place) {
            return Err(format!("line 1: the column {name:?} is there twice"));
        }
    }
    let place = |column: &str| names.iter().position(|name| name == column);
    let places = COLUMNS.map(place);
    if places[0].is_none() {
        return Err("line 1: the column device_id is missing".to_owned());
    }
    let (mut lines, mut faults, mut seen) = (Vec::new(), Faults::default(), HashMap::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.add(error.position().map_or(0, csv::Position::line), "it is not UTF-8");
                continue;
            }
        };
        let number = record.position().map_or(0, csv::Position::line);
        if record.len() != names.len() {
            faults.add(number, format!("it has {} fields, and the first line {}", record.len(), names.len()));
            continue;
        }
        let field = |column: usize| places[column].and_then(|place| record.get(place)).filter(|text| !text.is_empty());
        match line(number, [field(0), field(1), field(2), field(3), field(4)]) {
            Ok(line) => match seen.insert(line.id.to_string(), number) {
                Some(before) => faults.add(number, format!("{} is on line {before} too", line.id)),
                None => lines.push(line),
            },
            Err(what) => faults.add(number, what),
        }
    }
    Ok((lines, faults))
}

fn line(number: u64, [id, group, issuer, client, hash]: [Option<&str>; 5]) -> Result<Line, String> {
    let id = id.ok_or("a device has a name")?;
    let client = match (client, hash) {
        (None, None) => None,
        (Some(client), Some(hash)) => {
            if !is_client_id(client) {
                return Err(format!("{client:?} is no client id: 1 to 128 of A-Z a-z 0-9 - _"));
            }
            let mut bytes = [0; 32];
            hex::decode_to_slice(hash, &mut bytes)
                .map_err(|_| "client_secret_sha256 is not 64 hex digits".to_owned())?;
            Some((client.to_owned(), bytes))
        }
        _ => return Err("client_id and client_secret_sha256 belong together".to_owned()),
    };
    Ok(Line {
        number,
        id: id.parse().map_err(|error| format!("{id:?}: {error}"))?,
        group: group.map(|group| group.parse().map_err(|error| format!("{group:?}: {error}"))).transpose()?,
        issuer: issuer.map(|issuer| issuer.parse().map_err(|error| format!("{issuer:?}: {error}"))).transpose()?,
        client,
    })
}

async fn find_taken(store: &Store, lines: &[Line], faults: &mut Faults) -> Result<(), Failure> {
    for part in lines.chunks(LOOK_UP) {
        let ids: Vec<&str> = part.iter().map(|line| line.id.as_str()).collect();
        let clients: Vec<&str> =
            part.iter().filter_map(|line| line.client.as_ref()).map(|(id, _)| id.as_str()).collect();
        let taken = store.taken(&ids, &clients).await?;
        for line in part {
            if taken.device_ids.iter().any(|id| id == line.id.as_str()) {
                faults.add(line.number, format!("there is a device {} already", line.id));
            }
            if line.client.as_ref().is_some_and(|(id, _)| taken.client_ids.contains(id)) {
                faults.add(line.number, "its client id is taken");
            }
        }
    }
    Ok(())
}

/// The file of the new credentials.
struct Credentials;

impl Credentials {
    /// Makes them, and has them on the disk.
    fn write(path: &Path, cellar: &Cellar, lines: &[Line]) -> Result<Vec<NewDevice>, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| Failure::Unusable(anyhow!("--credentials {}: {error}", path.display())))?;
        let written = Self::fill(&file, cellar, lines);
        if written.is_err() {
            std::fs::remove_file(path)?;
        }
        written
    }

    fn fill(file: &File, cellar: &Cellar, lines: &[Line]) -> Result<Vec<NewDevice>, Failure> {
        let (mut sink, mut devices, now_ms) = (BufWriter::new(file), Vec::with_capacity(lines.len()), now_ms());
        for line in lines {
            let wish = DeviceWish { id: &line.id, group: line.group.as_ref(), issuer: line.issuer.as_ref() };
            let (mut device, enrolled) = prepare(&cellar.masters, wish, now_ms).map_err(anyhow::Error::from)?;
            let has_own = line.client.is_some() || line.issuer.is_some();
            if let Some((client_id, hash)) = &line.client {
                (device.client_id, device.secret_sha256) = (client_id.clone(), *hash);
            }
            let seal_key = Zeroizing::new(hex::encode(enrolled.key.as_bytes()));
            let mut credentials = serde_json::json!({
                "device_id": line.id.as_str(), "client_id": device.client_id, "seal_key": *seal_key, "key_version": enrolled.key_version,
            });
            if !has_own {
                credentials["client_secret"] = enrolled.client_secret.expose().into();
            }
            let text = Zeroizing::new(credentials.to_string());
            writeln!(sink, "{}", *text)?;
            devices.push(device);
        }
        sink.flush()?;
        drop(sink);
        file.sync_all()?;
        Ok(devices)
    }
}

fn bar(count: usize) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} devices, {eta} left").expect("it is a template");
    ProgressBar::with_draw_target(Some(count as u64), target).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match parse(text.as_bytes()) {
            Err(error) => error,
            Ok((_, faults)) => match faults.none() {
                Err(Failure::Unusable(error)) => error.to_string(),
                _ => String::new(),
            },
        }
    }

    #[test]
    fn a_file_is_read_with_columns_in_any_order_and_quotes() {
        let (lines, faults) = parse(b"group,device_id\r\nvans,\"van-1\"\r\n,van-2\r\n").unwrap();
        assert_eq!(faults.count, 0);
        let read: Vec<_> =
            lines.iter().map(|line| (line.id.as_str(), line.group.as_ref().map(GroupName::as_str))).collect();
        assert_eq!(read, [("van-1", Some("vans")), ("van-2", None)]);
    }

    #[test]
    fn each_bad_line_is_named() {
        for (text, expected) in [
            ("name\na\n", "line 1: there is no column \"name\""),
            ("device_id,device_id\na,b\n", "twice"),
            ("group\na\n", "device_id is missing"),
            ("device_id\na b\n", "line 2"),
            ("device_id,group\na,b c\n", "line 2"),
            ("device_id,group\n,b\n", "line 2: a device has a name"),
            ("device_id\na\nb\na\n", "line 4: a is on line 2 too"),
            ("device_id,group\na\n", "line 2: it has 1 fields"),
            ("device_id,client_id\na,c\n", "belong together"),
            ("device_id,client_id,client_secret_sha256\na,c,00\n", "64 hex digits"),
            ("device_id,issuer\na,nowhere\n", "line 2"),
        ] {
            assert!(told(text).contains(expected), "{text:?}: {}", told(text));
        }
        let many: String = (0..200).map(|_| "#\n").collect();
        assert!(told(&format!("device_id\n{many}")).contains("and 150 more"));
    }
}
