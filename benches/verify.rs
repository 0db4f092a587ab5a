//! How fast what is stored is proved again: `cargo bench --bench verify -- [--rows N] [--postgres]`.
//!
//! A database of sealed frames from a thousand devices, two readings each, is made through the store; then the program's `verify` looks at
//! all of it, in a process of its own, as often as `--rounds` says. Beside it stands how long the database takes to read the same rows.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/gateway/harness/postgres.rs"]
mod server;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use sealgate::metrics::Registry;
use sealgate::proof::{Checkpointer, Config as ProofConfig, Metrics};
use sealgate::seal::MasterKeySource;
use sealgate::store::{
    Accepted, Audit, Config, DatabaseConfig, Entry, MeasuredRow, NewDevice, Reading, Seen, Span, Store, StoredEnvelope,
    Tag, Value,
};
use sealgate_envelope::{Algorithm, Direction, Key, Message, frame_bytes, seal_frame};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Options {
    /// Envelopes.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// In PostgreSQL instead of SQLite.
    #[arg(long)]
    postgres: bool,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

const DEVICES: u64 = 1_000;
const BATCH: u64 = 4_000;
const START_MS: i64 = 1_790_000_000_000;

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = options.postgres.then(|| server::Postgres::start(&[]));
    let url = server.as_ref().map(server::Postgres::schema).unwrap_or_default();
    let config = Config { data_dir: dir.path().join("data"), ..Config::default() };
    let database = DatabaseConfig { url: url.clone(), ..DatabaseConfig::default() };
    runtime.block_on(fill(&config, &database, options.rows));
    for round in 1..=options.rounds {
        let began = Instant::now();
        runtime.block_on(read(&config, &database));
        let read = began.elapsed().as_secs_f64();
        let began = Instant::now();
        verify(&config.data_dir, &url);
        let verified = began.elapsed().as_secs_f64();
        let rate = |seconds: f64| options.rows as f64 / seconds;
        println!(
            "round {round}: verify {:.0} envelopes/s in {verified:.2} s; one connection reads {:.0}/s",
            rate(verified),
            rate(read)
        );
    }
}

async fn fill(config: &Config, database: &DatabaseConfig, rows: u64) {
    let store = Store::open(config, database).await.unwrap();
    let masters = MasterKeySource::of_data_dir(&config.data_dir).open_or_make().unwrap();
    store.set_master_key_check(&masters.fingerprint()).await.unwrap();
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let device_id = Arc::<str>::from(format!("device-{number}"));
        let new = NewDevice {
            client_id: format!("client-{number}"),
            secret_sha256: [1; 32],
            key_version_min: 1,
            group: None,
            issuer: None,
            created_at_ms: START_MS,
            device_id: device_id.clone(),
        };
        let device = store.add_device(&new).await.unwrap();
        let key = Key::new(&masters.device_key(1, &device_id.parse().unwrap()).unwrap());
        devices.push((device.row, device_id, key));
    }
    for first in (0..rows).step_by(BATCH as usize) {
        let batch: Vec<Entry> = (first..(first + BATCH).min(rows)).map(|row| entry(&devices, row)).collect();
        store.commit(&batch).await.unwrap();
    }
    let ends = CancellationToken::new();
    ends.cancel();
    let registry = Registry::default();
    let key = masters.proof_key();
    Checkpointer::new(store.clone(), key, &ProofConfig::default(), Metrics::new(&registry)).run(ends).await;
    store.close().await;
}

fn entry(devices: &[(i64, Arc<str>, Key)], row: u64) -> Entry {
    let (device, device_id, key) = &devices[(row % DEVICES) as usize];
    let time_ms = START_MS + row as i64;
    let (temperature, humidity) = (20.0 + (row % 100) as f64 / 10.0, (row % 50) as f64);
    let payload = format!(
        r#"[{{"n":"temperature","u":"Cel","v":{temperature:?}}},{{"n":"humidity","u":"%RH","v":{humidity:?}}}]"#
    );
    let message = Message {
        algorithm: Algorithm::HmacSha256,
        key_version: 1,
        content_format: 110,
        counter: row / DEVICES + 1,
        time_ms: Some(time_ms),
        payload: payload.as_bytes(),
    };
    let mut bytes = vec![0; frame_bytes(message.payload.len(), message.algorithm)];
    let written = seal_frame(&mut bytes, &message, key, &device_id.parse().unwrap(), Direction::FromDevice).unwrap();
    bytes.truncate(written);
    let tag = &bytes[bytes.len() - 36..bytes.len() - 4];
    let reading = |name: &str, unit: &str, value: f64| Reading {
        name: name.to_owned(),
        unit: Some(unit.to_owned()),
        time_ms,
        value: Some(Value::Number(value)),
        sum: None,
    };
    Entry::Accepted(Accepted {
        device_id: device_id.clone(),
        seen: Seen {
            device: *device,
            key_version: 1,
            counter: (row / DEVICES + 1) as i64,
            tag: Tag::new(tag).unwrap(),
        },
        device_time_ms: Some(time_ms),
        received_at_ms: time_ms,
        encoding: "frame",
        content_format: 110,
        readings: vec![reading("temperature", "Cel", temperature), reading("humidity", "%RH", humidity)],
        bytes: bytes.into(),
    })
}

/// Counts rows and does nothing else.
struct Count(u64);

impl Audit for Count {
    fn envelope(&mut self, row: StoredEnvelope) {
        self.0 += row.bytes.len() as u64;
    }

    fn reading(&mut self, row: MeasuredRow) {
        self.0 += row.value.map_or(0, f64::to_bits) & 1;
    }
}

async fn read(config: &Config, database: &DatabaseConfig) {
    let store = Store::open(config, database).await.unwrap();
    let everyone = Span { first: i64::MIN, last: i64::MAX };
    store.audit(everyone, i64::MIN, &mut Count(0)).await.unwrap();
    store.close().await;
}

fn verify(data_dir: &Path, url: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("--data").arg(data_dir).env("SEALGATE__DATABASE__URL", url).arg("verify");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
