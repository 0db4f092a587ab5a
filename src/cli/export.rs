//! `sealgate export`: what is stored, for other programs.
//!
//! Readings come page by page, device by device in the order of time, and go out as they come: what is held is one page, however many
//! there are. A gateway may run beside it; what is stored meanwhile is in the export if its device and time come later.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealgate_envelope::DeviceId;
use serde::Serialize;

use super::moment::Moment;
use super::registry::PAGE;
use super::settings::Settings;
use super::{Done, Exit, Failure, block_on, now_ms, open_existing, time_text_ms};
use crate::store::{Sender, Store, StoredReading};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate export readings --since 7d > week.csv
  sealgate export readings --format jsonl --device sensor-1 | jq .value
  sealgate export readings --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --output january.csv

TIME is RFC 3339, like 2026-01-31T12:00:00Z, or how long ago: 2h, 7d.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The readings of all devices, or of one, in the order of device and time.
    Readings(Readings),
}

#[derive(Args)]
struct Readings {
    /// How a reading is written.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Of this device.
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// Of this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Of before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// The file that they go to, in place of what it holds; without it, standard output.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// How a reading is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// RFC 4180, with a line of names first.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        let What::Readings(readings) = self.what;
        block_on(async {
            let store = open_existing(&config).await?.store;
            let done = readings.export(&store).await;
            store.close().await;
            done
        })
    }
}

impl Readings {
    async fn export(&self, store: &Store) -> Done {
        let now_ms = now_ms();
        let range = [self.since, self.until].map(|moment| moment.map(|moment| moment.unix_ms(now_ms)));
        let mut senders = Senders::begin(store, self.device.as_ref()).await?;
        let mut sink = Sink::open(self.output.as_deref(), self.format)?;
        let mut progress = Progress::begin(senders.count, self.output.is_none());
        while let Some(sender) = senders.next().await? {
            self.export_sender(store, &sender, range, &mut sink, &mut progress).await?;
            progress.sender_done();
        }
        sink.finish()?;
        progress.end();
        Ok(Exit::Done)
    }

    async fn export_sender(
        &self,
        store: &Store,
        sender: &Sender,
        [since_ms, until_ms]: [Option<i64>; 2],
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let mut page = store.readings(sender, since_ms, until_ms, None, PAGE).await?;
        while let Some(last) = page.last() {
            let after = last.place;
            for reading in &page {
                sink.write(&sender.device_id, reading)?;
            }
            progress.add(page.len());
            page = store.readings(sender, since_ms, until_ms, Some(after), PAGE).await?;
        }
        Ok(())
    }
}

/// Whose readings are exported, one after the other.
struct Senders<'a> {
    store: &'a Store,
    count: u64,
    /// The rest of a page, the next one last.
    page: Vec<Sender>,
    /// The last of the page; none: no page comes after it.
    last: Option<String>,
}

impl<'a> Senders<'a> {
    async fn begin(store: &'a Store, only: Option<&DeviceId>) -> Result<Senders<'a>, Failure> {
        let Some(device) = only else {
            let count = store.count_senders().await?;
            return Ok(Senders { store, count, page: Vec::new(), last: Some(String::new()) });
        };
        let sender = store.sender(device.as_str()).await?;
        let sender = sender.ok_or_else(|| anyhow!("there is no device {device}"))?;
        Ok(Senders { store, count: 1, page: vec![sender], last: None })
    }

    async fn next(&mut self) -> Result<Option<Sender>, Failure> {
        if self.page.is_empty()
            && let Some(last) = &self.last
        {
            let mut page = self.store.senders(Some(last), PAGE).await?;
            self.last = page.last().map(|sender| sender.device_id.clone());
            page.reverse();
            self.page = page;
        }
        Ok(self.page.pop())
    }
}

/// Where readings go.
struct Sink {
    to: BufWriter<Box<dyn Write>>,
    /// How it is spoken of.
    name: String,
    format: Format,
}

impl Sink {
    fn open(path: Option<&Path>, format: Format) -> Result<Sink, Failure> {
        let (to, name): (Box<dyn Write>, _) = match path {
            None => (Box::new(io::stdout()), "standard output".to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path).with_context(|| format!("{name} cannot be written"));
                (Box::new(file.map_err(Failure::Unusable)?), name)
            }
        };
        let mut sink = Sink { to: BufWriter::with_capacity(BUFFER_BYTES, to), name, format };
        if format == Format::Csv {
            sink.put(CSV_HEAD)?;
        }
        Ok(sink)
    }

    fn write(&mut self, device_id: &str, reading: &StoredReading) -> Result<(), Failure> {
        let line = match self.format {
            Format::Csv => csv_line(device_id, reading),
            Format::Jsonl => json_line(device_id, reading),
        };
        self.put(&line)
    }

    fn put(&mut self, line: &str) -> Result<(), Failure> {
        let written = self.to.write_all(line.as_bytes());
        Ok(written.with_context(|| format!("{} cannot be written", self.name))?)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let flushed = self.to.flush();
        Ok(flushed.with_context(|| format!("{} cannot be written", self.name))?)
    }
}

const BUFFER_BYTES: usize = 64 * 1024;

const CSV_HEAD: &str = "device_id,time,name,unit,value,text,sum,envelope\r\n";

// [RFC 4180 section 2]
fn csv_line(device_id: &str, reading: &StoredReading) -> String {
    let StoredReading { name, unit, value, text, sum, .. } = reading;
    let text_or_nothing = |text: &Option<String>| text.as_deref().map(csv_field).unwrap_or_default();
    let fields = [
        csv_field(device_id),
        time_text_ms(reading.time_ms),
        csv_field(name),
        text_or_nothing(unit),
        csv_number(*value),
        text_or_nothing(text),
        csv_number(*sum),
        reading.envelope().to_string(),
    ];
    format!("{}\r\n", fields.join(","))
}

/// An empty text is quoted, so that it differs from none.
fn csv_field(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A number as JSON has it; nothing for what is none.
fn csv_number(number: Option<f64>) -> String {
    number.and_then(serde_json::Number::from_f64).map(|number| number.to_string()).unwrap_or_default()
}

fn json_line(device_id: &str, reading: &StoredReading) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        device_id: &'a str,
        time: String,
        name: &'a str,
        unit: Option<&'a str>,
        value: Option<f64>,
        text: Option<&'a str>,
        sum: Option<f64>,
        envelope: i64,
    }
    let StoredReading { name, unit, value, text, sum, .. } = reading;
    let line = Line {
        device_id,
        time: time_text_ms(reading.time_ms),
        name,
        unit: unit.as_deref(),
        value: *value,
        text: text.as_deref(),
        sum: *sum,
        envelope: reading.envelope(),
    };
    format!("{}\n", serde_json::to_string(&line).expect("strings and numbers are JSON"))
}

/// How far it is, for whoever watches.
struct Progress {
    bar: ProgressBar,
    readings: u64,
}

impl Progress {
    /// Shown where standard error is a terminal, and the readings do not go there too.
    fn begin(senders: u64, to_stdout: bool) -> Progress {
        let is_watched = io::stderr().is_terminal() && !(to_stdout && io::stdout().is_terminal());
        let target = if is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well-formed");
        Progress { bar: ProgressBar::with_draw_target(Some(senders), target).with_style(style), readings: 0 }
    }

    fn add(&mut self, readings: usize) {
        self.readings += readings as u64;
        self.bar.set_message(self.readings.to_string());
    }

    fn sender_done(&self) {
        self.bar.inc(1);
    }

    fn end(self) {
        self.bar.finish();
    }
}

const TEMPLATE: &str = "{wide_bar} {pos}/{len} devices, {msg} readings, {elapsed}";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fields of one record, by a reader of its own. // [RFC 4180 section 2]
    fn fields(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let (mut quoted, mut rest) = (false, line.strip_suffix("\r\n").unwrap().chars().peekable());
        while let Some(c) = rest.next() {
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => fields.last_mut().unwrap().push(rest.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    }

    proptest! {
        #[test]
        fn any_text_is_one_field(text in "[\",\r\na-z\u{e9} ]{0,12}") {
            let line = format!("a,{},b\r\n", csv_field(&text));
            prop_assert_eq!(fields(&line), ["a", &text, "b"]);
            prop_assert!(!csv_field(&text).is_empty());
        }

        #[test]
        fn a_number_is_read_as_it_was(number in proptest::num::f64::NORMAL) {
            prop_assert_eq!(csv_number(Some(number)).parse(), Ok(number));
        }
    }

    #[test]
    fn what_is_no_number_is_nothing() {
        assert_eq!([csv_number(None), csv_number(Some(f64::NAN))], ["", ""]);
    }
}
