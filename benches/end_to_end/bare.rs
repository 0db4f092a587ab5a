//! The bare insert: the rows alone, by the fastest way that is known, into tables that the gateway's migrations made, and into the
//! plainest ones that hold the same facts.
//!
//! Nothing is verified, nobody waits for an answer, no counter is looked up: what is left is what SQLite takes. The ways are
//! tried first, and the fastest is measured in each round: rows of one statement, their order, the driver, rows of a
//! transaction. Durability is the gateway's: write-ahead log, a sync for each commit, checkpoints at the same size.

mod by_copy;
mod by_rusqlite;
mod by_sqlx;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sealgate::mqtt::Version;

use super::Options;
use super::common::gateway::House;
use super::common::process::{Scratch, now, thread_cpu};
use super::fleet::name;
use super::report::{Report, micros};
use super::rows::{self, Message, Rows};

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    driver: Driver,
    order: Order,
    /// Rows of one statement.
    statement_rows: usize,
    /// Messages of one transaction.
    batch: Batch,
    tables: Tables,
}

/// Into which tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tables {
    /// As the gateway's migrations make them.
    Ours,
    /// With names and words in each row, in no partitions, with the indices that the same questions need: a counter is there once, an
    /// envelope is found by device and arrival, a reading by device and time.
    Plainest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Rusqlite,
    Sqlx,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// All rows of a message, then the next message.
    Message,
    /// Table by table, as the messages came.
    Table,
    /// Table by table, in the order of the table's key.
    Key,
}

/// Messages of one transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Batch {
    /// As many as the fleet can have on the way: no batch of the gateway can be larger.
    AsTheGateway,
    /// As many as serve the insert best.
    AsBest(usize),
}

/// What a run of a way took.
struct Took {
    messages: usize,
    took: Duration,
    cpu: Duration,
}

/// What is to be reached, by the specification of this benchmark.
const RATIO_MIN: f64 = 0.6;
const PLAINEST_RATIO_MIN: f64 = 0.7;

/// Tables in the order of their columns, as the migrations have them.
const SEEN: (&str, usize) = ("seen (device, key_version, counter, tag, envelope)", 5);
const ENVELOPE: (&str, usize) =
    ("envelope (id, device, key_version, counter, device_time, received_at, encoding, content_format, bytes)", 9);
const READING: (&str, usize) = ("reading (device, time, envelope, place, name, unit, value, text, sum)", 9);
/// As `src/store/sqlite/open.rs` has them.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384; \
                       PRAGMA wal_autocheckpoint = 16384; PRAGMA journal_size_limit = 134217728";
/// Transactions that are tried for [`Batch::AsBest`].
const BATCHES: [usize; 4] = [1_024, 4_096, 16_384, 65_536];
const CONTENT_FORMAT: i64 = 110;
/// Connections that insert into PostgreSQL.
const CONNECTIONS: [usize; 2] = [1, 2];
/// Statements stay below SQLite's 32,766 parameters.
const STATEMENT_ROWS: [usize; 4] = [1, 8, 64, 1_024];

/// Tries the ways into SQLite and gives the fastest back: once for each kind of batch, and once more into the plainest tables.
pub(crate) fn tuned(options: &Options, report: &mut Report) -> Result<Vec<Way>> {
    let rows = Rows::of(&options.keyless_fleet(options.messages.div_ceil(2), Version::V5)?)?;
    let mut try_out = |way: Way| -> Result<(Duration, Way)> {
        let took = run(&rows, way, options)?;
        report.tried.push((way.to_string(), took.messages as f64 / took.took.as_secs_f64()));
        Ok((took.took, way))
    };
    let fastest = |tried: Vec<(Duration, Way)>| tried.into_iter().min_by_key(|(took, _)| *took).map(|(_, way)| way);
    let tried = Way::all(Batch::AsTheGateway).map(&mut try_out).collect::<Result<Vec<_>>>()?;
    let as_gateway = fastest(tried).context("there are ways")?;
    let plainest = Way { tables: Tables::Plainest, order: Order::Table, driver: Driver::Rusqlite, ..as_gateway };
    let sizes = BATCHES.map(|size| Way { batch: Batch::AsBest(size), ..as_gateway });
    let tried = sizes.into_iter().map(&mut try_out).collect::<Result<Vec<_>>>()?;
    Ok(vec![as_gateway, fastest(tried).context("there are sizes")?, plainest])
}

/// One round of those ways, or of those into PostgreSQL.
pub(crate) fn measure(options: &Options, ways: &[Way], report: &mut Report) -> Result<()> {
    let rows = Arc::new(Rows::of(&options.keyless_fleet(options.messages, Version::V5)?)?);
    if options.postgres {
        for tables in [Tables::Ours, Tables::Plainest] {
            for connections in CONNECTIONS {
                let rate = by_copy::run(&rows, options, tables, connections)?;
                show(report, &format!("{tables}, by COPY, connections: {connections}"), tables, rate, None);
            }
        }
    }
    for way in ways {
        let took = run(&rows, *way, options)?;
        let rate = took.messages as f64 / took.took.as_secs_f64();
        show(report, &way.to_string(), way.tables, rate, Some(micros(took.cpu, took.messages)));
    }
    Ok(())
}

fn show(report: &mut Report, way: &str, tables: Tables, rate: f64, micros: Option<f64>) {
    let gateway = report.gateway;
    let section = report.section(&format!("bare insert of the same rows: {way}"));
    section.line("inserted and committed", rate, "messages/s", "");
    if let Some(micros) = micros {
        // sqlx inserts on another thread, which is not asked.
        section.line("processor time of the thread", micros, "µs/message", "");
    }
    let goal = if tables == Tables::Plainest { PLAINEST_RATIO_MIN } else { RATIO_MIN };
    if let Some(gateway) = gateway {
        section.line("gateway / bare insert", gateway.rate / rate, "", &format!("goal: at least {goal}"));
    }
}

fn run(rows: &Rows, way: Way, options: &Options) -> Result<Took> {
    let scratch = Scratch::new("end_to_end", "bare")?;
    let house = House::new(&scratch)?;
    // Whoever opens the data directory first makes the tables.
    house.add_devices(&[name(0)])?;
    let database = house.database();
    rows::name(&database, rows, options.devices)?;
    let batch = match way.batch {
        Batch::AsTheGateway => options.devices * options.window,
        Batch::AsBest(size) => size,
    };
    let took = match way.driver {
        Driver::Rusqlite => by_rusqlite::run(&database, rows, way, batch)?,
        Driver::Sqlx => by_sqlx::run(&database, rows, way, batch)?,
    };
    if way.tables == Tables::Ours {
        rows::check(&database, rows.messages.len())?;
    }
    Ok(took)
}

/// Runs a way's transactions on the clock.
fn timed(rows: &Rows, batch: usize, mut commit: impl FnMut(&[Message]) -> Result<()>) -> Result<Took> {
    let (cpu, began) = (thread_cpu()?, now());
    rows.messages.chunks(batch).try_for_each(&mut commit)?;
    Ok(Took { messages: rows.messages.len(), took: now() - began, cpu: thread_cpu()? - cpu })
}

/// `INSERT` of so many rows. `OR FAIL`, because a statement that has to undo its own rows first keeps a copy of each page that it
/// changes; here the transaction is undone as a whole.
fn insert((table, columns): (&str, usize), rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("INSERT OR FAIL INTO {table} VALUES {}", vec![row.as_str(); rows].join(","))
}

/// The messages in the order of the tables' keys.
fn in_order(order: Order, messages: &[Message]) -> Vec<&Message> {
    let mut messages: Vec<&Message> = messages.iter().collect();
    if order == Order::Key {
        messages.sort_by_key(|message| (message.device, message.counter));
    }
    messages
}

impl Way {
    fn all(batch: Batch) -> impl Iterator<Item = Way> {
        let tables = Tables::Ours;
        let single = Way { driver: Driver::Rusqlite, order: Order::Message, statement_rows: 1, batch, tables };
        let orders = [Order::Table, Order::Key].into_iter();
        let rusqlite = orders.flat_map(move |order| STATEMENT_ROWS.map(|rows| (Driver::Rusqlite, order, rows)));
        let sqlx = [Order::Table, Order::Key].map(|order| (Driver::Sqlx, order, 1_024));
        let rest = rusqlite.chain(sqlx);
        std::iter::once(single).chain(rest.map(move |(driver, order, statement_rows)| Way {
            driver,
            order,
            statement_rows,
            batch,
            tables,
        }))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = match self.driver {
            Driver::Rusqlite => "rusqlite",
            Driver::Sqlx => "sqlx",
        };
        let order = match self.order {
            Order::Message => "message by message",
            Order::Table => "table by table",
            Order::Key => "table by table in order of key",
        };
        let tables = self.tables;
        write!(f, "{tables}, {driver}, {order}, {} rows a statement", self.statement_rows)?;
        match self.batch {
            Batch::AsTheGateway => Ok(()),
            Batch::AsBest(size) => write!(f, ", {size} messages a commit"),
        }
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tables::Ours => "our tables",
            Tables::Plainest => "plainest tables",
        })
    }
}
