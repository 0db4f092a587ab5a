//! The bare insert: the rows alone, by the fastest way that is known, into a file that the gateway's migrations made.
//!
//! Nothing is verified, nobody waits for an answer, no counter is looked up: what is left is what SQLite takes. The ways are
//! tried first, and the fastest is measured in each round: rows of one statement, their order, the driver, rows of a
//! transaction. Durability is the gateway's: write-ahead log, a sync for each commit, checkpoints at the same size.

mod by_rusqlite;
mod by_sqlx;

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Options;
use super::common::gateway::House;
use super::common::process::{Scratch, now, thread_cpu};
use super::fleet::name;
use super::report::Report;
use super::rows::{self, Message, Rows};

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    driver: Driver,
    order: Order,
    /// Rows of one statement.
    statement_rows: usize,
    /// Messages of one transaction.
    pub(crate) batch: Batch,
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
pub(crate) enum Batch {
    /// As many as the fleet can have on the way: no batch of the gateway can be larger.
    AsTheGateway,
    /// As many as serve the insert best.
    AsBest(usize),
}

/// What a run of a way took.
pub(crate) struct Took {
    pub(crate) messages: usize,
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
}

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
/// Statements stay below SQLite's 32,766 parameters.
const STATEMENT_ROWS: [usize; 4] = [1, 8, 64, 1_024];

/// Tries the ways and gives the fastest back, once for each kind of batch.
pub(crate) fn tuned(options: &Options, report: &mut Report) -> Result<Vec<Way>> {
    let trial = Options { messages: options.messages.div_ceil(2), ..*options };
    let rows = Rows::of(&trial.keyless_fleet()?)?;
    let mut try_out = |way: Way| -> Result<(Duration, Way)> {
        let took = run(&rows, way, options)?;
        report.tried.push((way, took.messages as f64 / took.took.as_secs_f64()));
        Ok((took.took, way))
    };
    let fastest = |tried: Vec<(Duration, Way)>| tried.into_iter().min_by_key(|(took, _)| *took).map(|(_, way)| way);
    let tried = Way::all(Batch::AsTheGateway).map(&mut try_out).collect::<Result<Vec<_>>>()?;
    let as_gateway = fastest(tried).context("there are ways")?;
    let sizes = BATCHES.map(|size| Way { batch: Batch::AsBest(size), ..as_gateway });
    let tried = sizes.into_iter().map(&mut try_out).collect::<Result<Vec<_>>>()?;
    Ok(vec![as_gateway, fastest(tried).context("there are sizes")?])
}

/// One round of a way.
pub(crate) fn measure(options: &Options, way: &Way, report: &mut Report) -> Result<()> {
    let rows = Rows::of(&options.keyless_fleet()?)?;
    let took = run(&rows, *way, options)?;
    report.bare.entry(way.to_string()).or_default().push(took);
    Ok(())
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
    rows::check(&database, rows.messages.len())?;
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
        let single = Way { driver: Driver::Rusqlite, order: Order::Message, statement_rows: 1, batch };
        let orders = [Order::Table, Order::Key].into_iter();
        let rusqlite = orders.flat_map(move |order| STATEMENT_ROWS.map(|rows| (Driver::Rusqlite, order, rows)));
        let sqlx = [Order::Table, Order::Key].map(|order| (Driver::Sqlx, order, 1_024));
        let rest = rusqlite.chain(sqlx);
        std::iter::once(single).chain(rest.map(move |(driver, order, statement_rows)| Way {
            driver,
            order,
            statement_rows,
            batch,
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
        match self.batch {
            Batch::AsTheGateway => write!(f, "{driver}, {order}, {} rows a statement", self.statement_rows),
            Batch::AsBest(size) => {
                write!(f, "{driver}, {order}, {} rows a statement, {size} messages a commit", self.statement_rows)
            }
        }
    }
}
