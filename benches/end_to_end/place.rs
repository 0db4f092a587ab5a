//! Where a gateway is measured: an empty data directory, and a PostgreSQL of its own if that is what it writes to.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::common::gateway::{Added, Gateway, House};
use super::common::process::Scratch;
use super::common::tokens;
use super::fleet::{Credentials, name};
use super::rows;
use super::server::{self, Postgres};

/// One of these is made for each measurement, so that none finds what another has written.
pub(crate) struct Place {
    // Fields are dropped in their order: who writes goes before that which is written to.
    pub(crate) house: House,
    _server: Option<Postgres>,
    _scratch: Scratch,
}

impl Place {
    /// Over SQLite, or over a PostgreSQL that is started as Debian ships it.
    pub(crate) fn new(name: &str, postgres: bool) -> Result<Place> {
        let scratch = Scratch::new("end_to_end", name)?;
        let mut house = House::new(&scratch)?;
        let server = postgres.then(|| Postgres::start(&[]));
        house.url = server.as_ref().map(Postgres::schema);
        Ok(Place { house, _server: server, _scratch: scratch })
    }

    /// The URL of its PostgreSQL.
    pub(crate) fn url(&self) -> Option<&str> {
        self.house.url.as_deref()
    }

    /// Its gateway with so many devices, logged in.
    pub(crate) fn serve(&self, devices: usize, settings: &[&str]) -> Result<(Gateway, Vec<Credentials>)> {
        let added = tokens::add(&self.house, &(0..devices).map(name).collect::<Vec<_>>())?;
        let gateway = self.house.serve(settings)?;
        let tokens = tokens::fetch(gateway.public, &added)?;
        let credentials = added.iter().zip(tokens).map(|(added, token)| credentials(added, token));
        Ok((gateway, credentials.collect::<Result<_>>()?))
    }

    /// Processor time of the database's server, which SQLite has none of.
    pub(crate) fn server_cpu(&self) -> Result<Duration> {
        self.url().map_or(Ok(Duration::ZERO), server_cpu)
    }

    /// Each message has its rows, and the views show them. The gateway has ended if it is over SQLite.
    pub(crate) fn check_rows(&self, messages: usize) -> Result<()> {
        let Some(url) = self.url() else { return rows::check(&self.house.database(), messages) };
        for (table, rows) in rows::OF_A_MESSAGE {
            let found: usize = server::run(url, &format!("SELECT count(*) FROM {table}")).parse()?;
            ensure!(found == messages * rows, "{table} has {found} rows of {messages} messages");
        }
        Ok(())
    }
}

fn credentials(added: &Added, token: String) -> Result<Credentials> {
    Ok(Credentials {
        device_id: added.text("device_id")?.to_owned(),
        key: hex::decode(added.text("seal_key")?)?.try_into().ok().context("a key has 32 bytes")?,
        key_version: added.printed["key_version"].as_u64().context("no key_version")?.try_into()?,
        user_name: added.text("device_id")?.to_owned(),
        token,
    })
}

/// Processor time of a server: of its first process, of those that it has, and of those that it had.
pub(crate) fn server_cpu(url: &str) -> Result<Duration> {
    let folder = server::run(url, "SHOW data_directory");
    let pid_file = fs::read_to_string(format!("{folder}/postmaster.pid"))?;
    let postmaster = pid_file.lines().next().context("it has a number")?.to_owned();
    let mut ticks = 0;
    for process in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(process?.path().join("stat")) else { continue };
        // The name, in brackets, may hold anything: the state and the parent follow it (proc(5)).
        let Some((head, fields)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let is_first = head.split(' ').next() == Some(&postmaster);
        if is_first || fields.get(1) == Some(&postmaster.as_str()) {
            let of_the_ended = if is_first { 2 } else { 0 };
            ticks += fields[11..13 + of_the_ended].iter().map(|field| field.parse::<u32>().unwrap_or(0)).sum::<u32>();
        }
    }
    Ok(Duration::from_millis(10) * ticks)
}
