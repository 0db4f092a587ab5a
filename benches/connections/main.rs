//! What tens of thousands of devices cost that are connected and silent, each with a subscription to its own topic.
//!
//! Real sockets of the loopback, as many as a process may have, to a gateway in a process of its own, from clients in processes of
//! their own; then more than that through `tokio::io::duplex`, into the same edge and session code, gateway and clients in one
//! process. Each device has a token of its own from the token endpoint. Printed are what it costs to connect, for the first tenth and
//! for the last one; the memory of an idle connection; how long it takes until all are gone and until all are back; and the ingest
//! rate with them connected beside the rate of a gateway that never had a crowd, in alternating order, and the rate when all have gone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is there to print")]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/fleet.rs"]
mod fleet;
mod inside;
#[allow(dead_code, reason = "another benchmark's, which uses more of it")]
#[path = "../end_to_end/load.rs"]
mod load;
mod measure;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

/// The gateway's, for the one that is inside.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tens of thousands of idle connections: what each costs, in time and memory, and what they cost the others.
#[derive(Parser)]
#[command(name = "cargo bench --bench connections --")]
struct Options {
    /// Connections by real sockets; 0: none. The gateway needs a file descriptor for each.
    #[arg(long, default_value_t = 18_000)]
    sockets: usize,
    /// Connections over TLS; 0: none.
    #[arg(long, default_value_t = 4_000)]
    tls: usize,
    /// Connections through an in-process transport; 0: none.
    #[arg(long, default_value_t = 50_000)]
    duplex: usize,
    /// Times that the ingest rate is measured with them connected, and without.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages that each of 50 devices sends for a rate.
    #[arg(long, default_value_t = 4_000)]
    messages: usize,
    /// What `cargo bench` and `cargo test` say to each benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be clients of this address instead.
    #[arg(long, hide = true)]
    clients_of: Option<SocketAddr>,
    /// With `--clients-of`: over TLS, with this certificate.
    #[arg(long, hide = true)]
    certificate: Option<PathBuf>,
    /// With `--clients-of`: which of the processes.
    #[arg(long, hide = true, default_value_t = 0)]
    number: u8,
    /// Be a gateway on this data directory, with its clients, instead.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// What all fits into memory, and into the time that anybody waits.
const CONNECTIONS_MAX: usize = 200_000;
/// What a process needs file descriptors for besides connections.
const OTHER_FILES: u64 = 200;

fn main() -> Result<()> {
    let options = Options::parse();
    let files = rlimit::increase_nofile_limit(u64::MAX)?;
    if let Some(address) = options.clients_of {
        return clients::be(address, options.certificate.as_deref(), options.number);
    }
    if let Some(data) = &options.inside {
        return inside::be(data);
    }
    if !options.bench {
        // `cargo test --benches` runs it to see that it starts.
        return Ok(());
    }
    let most = options.sockets.max(options.tls);
    ensure!(most as u64 + OTHER_FILES <= files, "{most} sockets and the rest need more than {files} file descriptors");
    ensure!(options.duplex.max(most) <= CONNECTIONS_MAX && options.rounds >= 1, "see --help");
    for (kind, connections) in
        [(crowd::Kind::Tcp, options.sockets), (crowd::Kind::Tls, options.tls), (crowd::Kind::Duplex, options.duplex)]
    {
        if connections >= 10 {
            report::print(&measure::run(kind, connections, &options)?);
        }
    }
    Ok(())
}
