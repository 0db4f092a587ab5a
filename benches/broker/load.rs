//! One measurement: a server, a shape, all messages of it. The load generator has one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sealgate::mqtt::QoS;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Options;
use super::common::process::{now, thread_cpu};
use super::common::wire::connect;
use super::publisher::{Packets, Publisher, topic};
use super::server::{Kind, Server};
use super::subscriber::{Heard, Subscriber};

/// One measurement may not take longer.
const RUN_MAX: Duration = Duration::from_secs(120);

/// Who sends to whom, and at which QoS on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Shape {
    /// Many publishers, one subscriber to all topics, QoS 0.
    FanIn0,
    /// The same at QoS 1.
    FanIn1,
    /// One publisher, many subscribers, QoS 0.
    FanOut0,
    /// The same at QoS 1.
    FanOut1,
}

/// What one measurement gave.
pub(crate) struct Measured {
    pub(crate) published: usize,
    /// What the subscribers are to get, all together.
    pub(crate) expected: usize,
    pub(crate) acknowledged: usize,
    /// To the last PUBACK; at QoS 0 to the last write.
    pub(crate) publishing_took: Duration,
    pub(crate) delivered: usize,
    /// To the last message that came.
    pub(crate) delivery_took: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) own_cpu: Duration,
    pub(crate) peak_bytes: u64,
}

impl Shape {
    pub(crate) fn qos(self) -> QoS {
        match self {
            Shape::FanIn0 | Shape::FanOut0 => QoS::AtMostOnce,
            Shape::FanIn1 | Shape::FanOut1 => QoS::AtLeastOnce,
        }
    }

    pub(crate) fn is_fan_in(self) -> bool {
        matches!(self, Shape::FanIn0 | Shape::FanIn1)
    }

    fn publishers(self, options: &Options) -> usize {
        if self.is_fan_in() { options.clients } else { 1 }
    }

    fn subscribers(self, options: &Options) -> usize {
        if self.is_fan_in() { 1 } else { options.clients }
    }
}

/// Starts the server, runs the shape against it and ends it; none: the server is not installed.
pub(crate) fn measure(kind: Kind, shape: Shape, options: &Options) -> Result<Option<Measured>> {
    let Some(server) = Server::start(kind)? else { return Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async { timeout(RUN_MAX, run(&server, shape, options)).await });
    measured.context("it took too long").flatten().with_context(|| format!("{kind}, {shape:?}")).map(Some)
}

async fn run(server: &Server, shape: Shape, options: &Options) -> Result<Measured> {
    let published = Arc::new(AtomicBool::new(false));
    let subscribers = subscribers(server, shape, options, &published).await?;
    let publishers = publishers(server, shape, options).await?;
    let (publisher_count, subscriber_count) = (publishers.len(), subscribers.len());
    let to_each = publisher_count * options.messages;

    let (server_before, own_before, began) = (server.process().cpu()?, thread_cpu()?, now());
    let mut listening = JoinSet::new();
    subscribers.into_iter().for_each(|subscriber| _ = listening.spawn(subscriber.listen(to_each)));
    let mut publishing = JoinSet::new();
    publishers.into_iter().for_each(|publisher| _ = publishing.spawn(publisher.publish(options.messages)));

    let (mut acknowledged, mut open) = (0, Vec::new());
    while let Some(published) = publishing.join_next().await {
        let (count, stream) = published??;
        acknowledged += count;
        open.push(stream);
    }
    let publishing_took = now() - began;
    published.store(true, Ordering::Relaxed);
    let (delivered, last) = all_heard(listening, began).await?;
    Ok(Measured {
        published: publisher_count * options.messages,
        expected: subscriber_count * to_each,
        acknowledged,
        publishing_took,
        delivered,
        delivery_took: last - began,
        server_cpu: server.process().cpu()? - server_before,
        own_cpu: thread_cpu()? - own_before,
        peak_bytes: server.process().memory()?.peak,
    })
}

async fn all_heard(mut listening: JoinSet<Result<Heard>>, began: Instant) -> Result<(usize, Instant)> {
    let (mut delivered, mut last) = (0, began);
    while let Some(heard) = listening.join_next().await {
        let heard = heard??;
        delivered += heard.count;
        last = last.max(heard.last);
    }
    Ok((delivered, last))
}

async fn subscribers(
    server: &Server,
    shape: Shape,
    options: &Options,
    published: &Arc<AtomicBool>,
) -> Result<Vec<Subscriber>> {
    let filter = if shape.is_fan_in() { "bench/+/data".to_owned() } else { topic(0) };
    let mut subscribers = Vec::new();
    for number in 0..shape.subscribers(options) {
        let client_id = format!("subscriber-{number}");
        let published = published.clone();
        let login = server.login();
        let subscriber = Subscriber::new(server.address, login, &client_id, &filter, shape.qos(), published);
        subscribers.push(subscriber.await?);
    }
    Ok(subscribers)
}

async fn publishers(server: &Server, shape: Shape, options: &Options) -> Result<Vec<Publisher>> {
    let mut publishers = Vec::new();
    for number in 0..shape.publishers(options) {
        let client_id = format!("publisher-{number}");
        let stream = connect(server.address, &client_id, server.login(), options.window).await?;
        let packets = Packets::encode(number, shape.qos(), options.window)?;
        publishers.push(Publisher::new(stream, packets, shape.qos(), options.window));
    }
    Ok(publishers)
}
