//! What a server costs that has nearly nothing to do: without clients, and with pairs of a publisher and a subscriber at a message
//! a second and QoS 1. All servers run side by side, for none of them takes a noticeable part of a processor.
//!
//! Processor time is the kernel's count of each thread (`/proc/PID/task/*/schedstat`), bytes and packets are those of TCP on the
//! server's sockets (`ss -ti`: `bytes_sent`, `bytes_received`, `segs_out`, `segs_in`), bare acknowledgements among the packets.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sealgate::mqtt::QoS;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::Options;
use super::common::wire::connect;
use super::publisher::{Packets, Publisher, topic};
use super::server::{Kind, Server};
use super::subscriber::Subscriber;

const PAUSE: Duration = Duration::from_secs(1);
/// After the connections are made, so that their making is not counted.
const SETTLED: Duration = Duration::from_secs(2);

/// TCP's counts, both directions together.
#[derive(Clone, Copy, Default)]
struct Traffic {
    bytes: u64,
    packets: u64,
}

/// Measures and prints.
pub(crate) fn measure(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{} seconds each; a pair sends and gets one message of 200 bytes a second at QoS 1\n", options.seconds);
    println!(
        "  {:<12} {:>6} {:>12} {:>12} {:>12} {:>14}",
        "", "pairs", "CPU ms/s", "bytes/s", "packets/s", "resident MiB"
    );
    for pairs in [0, 1, options.clients] {
        let started: Vec<Option<(Kind, Server)>> = options
            .kinds()
            .into_iter()
            .map(|kind| Ok(Server::start(kind)?.map(|server| (kind, server))))
            .collect::<Result<_>>()?;
        let servers: Vec<(Kind, Server)> = started.into_iter().flatten().collect();
        runtime.block_on(run(&servers, pairs, options.seconds))?;
    }
    Ok(())
}

async fn run(servers: &[(Kind, Server)], pairs: usize, seconds: u64) -> Result<()> {
    let mut clients = JoinSet::new();
    for (_, server) in servers {
        for number in 0..pairs {
            start_pair(server, number, &mut clients).await?;
        }
    }
    sleep(SETTLED).await;
    let before = figures(servers)?;
    sleep(Duration::from_secs(seconds)).await;
    let after = figures(servers)?;
    ensure!(clients.len() == 2 * pairs * servers.len() && clients.try_join_next().is_none(), "a client has ended");
    for (((kind, server), before), after) in servers.iter().zip(before).zip(after) {
        let a_second = |count: u64| count as f64 / seconds as f64;
        println!(
            "  {:<12} {pairs:>6} {:>12.3} {:>12.0} {:>12.1} {:>14.1}",
            kind.to_string(),
            (after.0 - before.0).as_secs_f64() * 1e3 / seconds as f64,
            a_second(after.1.bytes - before.1.bytes),
            a_second(after.1.packets - before.1.packets),
            server.process().memory()?.resident as f64 / 1024.0 / 1024.0,
        );
    }
    Ok(())
}

async fn start_pair(server: &Server, number: usize, clients: &mut JoinSet<Result<()>>) -> Result<()> {
    let (qos, login) = (QoS::AtLeastOnce, server.login());
    let never = Arc::new(AtomicBool::new(false));
    let subscriber =
        Subscriber::new(server.address, login, &format!("subscriber-{number}"), &topic(number), qos, never).await?;
    clients.spawn(async move { subscriber.listen(usize::MAX).await.map(|_| ()) });
    let stream = connect(server.address, &format!("publisher-{number}"), login, 1).await?;
    let packets = Packets::encode(number, qos, 1)?;
    clients.spawn(async move {
        let mut publisher = Publisher::new(stream, packets, qos, 1);
        let mut ticks = interval(PAUSE);
        loop {
            ticks.tick().await;
            publisher.publish_more(1).await?;
        }
    });
    Ok(())
}

fn figures(servers: &[(Kind, Server)]) -> Result<Vec<(Duration, Traffic)>> {
    servers.iter().map(|(_, server)| Ok((server.process().thread_cpu()?, traffic(server.address.port())?))).collect()
}

/// Of the server's side of each connection.
fn traffic(port: u16) -> Result<Traffic> {
    let output = Command::new("ss").args(["-tinH", "sport", "=", &format!(":{port}")]).output();
    let output = output.context("ss (Debian: apt-get install iproute2)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let sum = |names: [&str; 2]| -> u64 {
        let words = text.split_whitespace().filter_map(|word| word.split_once(':'));
        words.filter(|(name, _)| names.contains(name)).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    };
    Ok(Traffic { bytes: sum(["bytes_sent", "bytes_received"]), packets: sum(["segs_out", "segs_in"]) })
}
