//! `sealgate device list`, `show` and `export`: the registry, without its secrets.

use std::io::{self, BufWriter, Write as _};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use sealgate_envelope::DeviceId;
use serde::Serialize;

use crate::cli::output::ListFormat;
use crate::cli::registry::{PAGE, word};
use crate::cli::{Done, Exit, output, time_text};
use crate::seal::GroupName;
use crate::store::{Device, DeviceFilter, State, Store};

/// Which devices: those that fit all that is given.
#[derive(Args)]
pub(super) struct Which {
    /// In this group.
    #[arg(long, value_name = "NAME")]
    group: Option<GroupName>,
    /// In this state.
    #[arg(long, value_enum)]
    state: Option<Wanted>,
    /// Whose names begin so.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// So many at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// A state on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// It may come in.
    Enabled,
    /// It may not.
    Disabled,
}

/// How a device is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportFormat {
    /// RFC 4180, with a line of names first; `device import` reads it.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// What is written of a device.
#[derive(Serialize)]
struct Row<'a> {
    device_id: &'a str,
    state: &'a str,
    group: Option<&'a str>,
    issuer: Option<&'a str>,
    key_version_min: u8,
    created_at: String,
}

impl<'a> Row<'a> {
    fn of(device: &'a Device) -> Self {
        Row {
            device_id: &device.device_id,
            state: word(device.state),
            group: device.group.as_deref(),
            issuer: device.issuer.as_deref(),
            key_version_min: device.key_version_min,
            created_at: time_text(device.created_at_ms),
        }
    }
}

/// Pages of those devices.
struct Pages<'a> {
    store: &'a Store,
    filter: DeviceFilter,
    left: u64,
    after: Option<String>,
}

impl<'a> Pages<'a> {
    fn new(store: &'a Store, which: Which) -> Self {
        let filter = DeviceFilter {
            group: which.group.map(|group| group.as_str().to_owned()),
            state: which.state.map(|state| match state {
                Wanted::Enabled => State::Enabled,
                Wanted::Disabled => State::Disabled,
            }),
            prefix: which.prefix,
        };
        Pages { store, filter, left: which.limit.unwrap_or(u64::MAX), after: None }
    }

    async fn next(&mut self) -> Result<Vec<Device>, crate::store::StoreError> {
        let limit = u32::try_from(self.left).unwrap_or(u32::MAX).min(PAGE);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let page = self.store.devices_of(&self.filter, self.after.as_deref(), limit).await?;
        self.left -= page.len() as u64;
        self.after = page.last().map(|last| last.device_id.to_string());
        Ok(page)
    }
}

pub(super) async fn list(store: &Store, which: Which, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        output::line(&format!("{:<64}  {:<8}  {:<20}  LOWEST KEY  GROUP", "DEVICE", "STATE", "ADDED"))?;
    }
    let mut pages = Pages::new(store, which);
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(Exit::Done);
        }
        let lines: Vec<String> = page.iter().map(|device| described(device, format)).collect();
        output::line(&lines.join("\n"))?;
    }
}

fn described(device: &Device, format: ListFormat) -> String {
    let row = Row::of(device);
    match format {
        ListFormat::Text => {
            let Row { device_id, state, group, key_version_min, created_at, .. } = row;
            format!("{device_id:<64}  {state:<8}  {created_at:<20}  {key_version_min:<10}  {}", group.unwrap_or("-"))
        }
        ListFormat::Json => serde_json::to_string(&row).expect("strings and a number are JSON"),
    }
}

/// One device, with what is known of its presence and its keys.
pub(super) async fn show(store: &Store, id: &DeviceId, format: ListFormat) -> Done {
    let device = store.device(id.as_str()).await?.ok_or_else(|| anyhow!("there is no device {id}"))?;
    let used = store.newest_key_version_used(id.as_str()).await?;
    // The row at this name is the first after all that are smaller.
    let presence =
        store.presence(Some(&before(id.as_str())), 1).await?.into_iter().find(|row| *row.device_id == *id.as_str());
    let row = Row::of(&device);
    if format == ListFormat::Json {
        let mut shown = serde_json::to_value(&row).expect("strings and a number are JSON");
        shown["newest_key_version_used"] = used.into();
        shown["presence"] = presence.map_or(
            serde_json::Value::Null,
            |row| serde_json::json!({ "state": row.state, "since": time_text(row.since_ms), "address": row.address }),
        );
        output::line(&shown.to_string())?;
        return Ok(Exit::Done);
    }
    let presence = presence.map_or("never seen".to_owned(), |row| {
        format!("{} since {}, from {}", row.state, time_text(row.since_ms), row.address)
    });
    let used = used.map_or("none".to_owned(), |used| used.to_string());
    output::line(&format!(
        "device        {}\nstate         {}\ngroup         {}\nissuer        {}\nadded         {}\nlowest key    {}\n\
         newest used   {used}\npresence      {presence}",
        row.device_id,
        row.state,
        row.group.unwrap_or("-"),
        row.issuer.unwrap_or("this gateway's own"),
        row.created_at,
        row.key_version_min,
    ))?;
    Ok(Exit::Done)
}

/// A text that sorts before `name` and behind every other name before it.
fn before(name: &str) -> String {
    let mut bytes = name.as_bytes().to_vec();
    let last = bytes.pop().unwrap_or_default();
    // Names are ASCII; below the last character comes the one before it, and then what is greater than any name may hold.
    let mut before = String::from_utf8(bytes).unwrap_or_default();
    before.push(char::from(last.saturating_sub(1)));
    before.push('\u{7f}');
    before
}

pub(super) async fn export(store: &Store, which: Which, format: ExportFormat) -> Done {
    let mut pages = Pages::new(store, which);
    let mut sink = BufWriter::new(io::stdout().lock());
    let mut csv = (format == ExportFormat::Csv).then(|| csv::Writer::from_writer(Vec::new()));
    if let Some(csv) = &mut csv {
        // Also where there is no device.
        csv.write_record(["device_id", "state", "group", "issuer", "key_version_min", "created_at"])?;
    }
    loop {
        let page = pages.next().await?;
        for device in &page {
            let row = Row::of(device);
            match &mut csv {
                Some(csv) => csv.write_record([
                    row.device_id,
                    row.state,
                    row.group.unwrap_or_default(),
                    row.issuer.unwrap_or_default(),
                    &row.key_version_min.to_string(),
                    &row.created_at,
                ])?,
                None => writeln!(sink, "{}", serde_json::to_string(&row)?)?,
            }
        }
        if let Some(writer) = csv.take() {
            sink.write_all(&writer.into_inner().map_err(|error| anyhow!("{error}"))?)?;
            csv = Some(csv::Writer::from_writer(Vec::new()));
        }
        if page.is_empty() {
            sink.flush()?;
            return Ok(Exit::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stands_between_a_name_and_what_is_before_it() {
        for name in ["a", "pump-1", "A", "a-b", "z.", "0"] {
            let before = before(name);
            assert!(*before < *name, "{name}");
            for other in ["", "a", "a!", "pump-0", "pump-0z", "pump-1", "a-a", "a-az", "Z", "9", "zz"] {
                let is_between = *before < *other && *other < *name;
                assert!(!is_between, "{other} is between {before:?} and {name}");
            }
        }
    }
}
