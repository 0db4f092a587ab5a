//! The driver: rumqttd on threads of its own, and our links to it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rumqttd::local::{LinkError, LinkRx, LinkTx};
use rumqttd::{Broker, ConnectionSettings, Notification, RouterConfig, SegmentConfig, ServerSettings};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::gap::Reader;
use super::{EmbeddedConfig, probe};
use crate::auth::{Asker, Auth};
use crate::ingest::{Budget, Delivery, Ingest, Intake, Origin, Outlets};
use crate::metrics::{IntCounter, Registry};
use crate::ready::{Part, Ready};
use crate::source::clock::{now, now_ms};
use crate::source::results::{Outgoing, Results};
use crate::source::{Metrics, topic};

/// A device that says nothing has so long for its CONNECT and our answer to it.
const CONNECT_TIMEOUT_MS: u16 = 30_000;
/// The router answers at once, or not at all.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);
/// Segments of the telemetry's log. The oldest is overwritten as a whole.
const SEGMENTS: usize = 16;
/// What each other topic keeps for a subscriber that has not read it: every device has one for its receipts.
const OTHER_SEGMENT_BYTES: usize = 16 * 1024;
/// How long to wait for a router that takes no more.
const CONGESTED: Duration = Duration::from_millis(5);

/// The broker, which listens already, and our links to it.
pub struct Embedded {
    ended: oneshot::Receiver<()>,
    receiver: LinkRx,
    probe: (LinkTx, LinkRx, String),
    intake: Intake,
    metrics: Metrics,
    overwritten: IntCounter,
    ready: Ready,
}

/// What goes back to devices and subscribers.
pub struct Publications(LinkTx);

/// Why the broker does not start.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    /// It cannot listen there.
    #[error("rumqttd.{key} = \"{address}\": {source}")]
    Bind {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its router does not answer.
    #[error("rumqttd does not start: {0}")]
    Router(String),
}

impl Embedded {
    /// Starts the broker; gives where it listens for 3.1.1 and 5.0.
    pub async fn start(
        config: &EmbeddedConfig,
        auth: Auth,
        ingest: Ingest,
        budget: &Budget,
        registry: &Registry,
        ready: Ready,
    ) -> Result<(Embedded, Publications, SocketAddr, Option<SocketAddr>), EmbeddedError> {
        let v4 = free(config.listen, "listen")?;
        let v5 = config.listen_v5.map(|address| free(address, "listen_v5")).transpose()?;
        let settings = settings(config, v4, v5, &auth);
        let begun = tokio::task::spawn_blocking(move || begin(settings));
        let begun = timeout(LINK_TIMEOUT, begun)
            .await
            .map_err(|_| EmbeddedError::Router("its router does not answer".to_owned()))?;
        let (ended, links) = begun
            .map_err(|error| EmbeddedError::Router(error.to_string()))?
            .map_err(|error| EmbeddedError::Router(error.to_string()))?;
        let Links { receiver, probe, publications } = links;
        let metrics = Metrics::new(registry);
        let overwritten = registry.counter(
            "sealgate_rumqttd_overwritten_total",
            "Messages that rumqttd has overwritten before they were read.",
        );
        metrics.workers.set(1);
        metrics.subscribed.set(1);
        let embedded =
            Embedded { ended, receiver, probe, intake: Intake::new(ingest, budget), metrics, overwritten, ready };
        Ok((embedded, publications, v4, v5))
    }

    /// Takes messages in until `stop`, or until the broker no longer works.
    pub async fn run(self, stop: CancellationToken) {
        let Embedded {
            ended,
            mut receiver,
            probe: (probe_sender, probe_receiver, topic),
            mut intake,
            metrics,
            overwritten,
            ready,
        } = self;
        let mut reader = Reader::default();
        let why = {
            let is_quick = |is_quick| ready.set(Part::Source, is_quick);
            let probing = probe::probe(probe_sender, probe_receiver, &topic, is_quick);
            tokio::pin!(probing, ended);
            loop {
                tokio::select! {
                    next = receiver.next(), if !intake.is_holding() => match next {
                        Ok(Some(Notification::Forward(forward))) => {
                            let missed = forward.cursor.map_or(0, |(_, place)| reader.read(place));
                            overwritten.inc_by(missed);
                            let device_id = topic::sender(&forward.publish.topic);
                            intake.receive(0, Delivery::new(device_id, forward.publish.payload, Origin::Retry));
                        }
                        Ok(Some(Notification::Unschedule)) => if receiver.wake().await.is_err() {
                            break "the router has ended";
                        },
                        Ok(_) => {}
                        Err(_) => break "the router has ended",
                    },
                    // The broker has acknowledged long ago; what became of a message its receipt says.
                    _ = intake.settled() => {}
                    why = &mut probing => break why,
                    _ = &mut ended => break "its listeners have ended",
                    () = stop.cancelled() => return intake.finish().await,
                }
            }
        };
        error!(why, "rumqttd no longer works.");
        ready.set(Part::Source, false);
        metrics.subscribed.set(0);
        intake.finish().await;
    }
}

impl Publications {
    /// Publishes what comes out of the pipeline, until that has ended; a link knows QoS 0 alone. A device that misses its receipt sends again.
    pub async fn run(mut self, outlets: Outlets) {
        let mut results = Results::new(outlets);
        while let Some(messages) = results.next().await {
            for Outgoing { topic, payload, .. } in messages {
                self.publish(topic, payload).await;
            }
        }
    }

    /// A router that has no room for the notice has the message in its buffer all the same, and is given time.
    async fn publish(&mut self, topic: String, payload: Bytes) {
        if self.0.try_publish(topic, payload).is_err() {
            sleep(CONGESTED).await;
        }
    }
}

struct Links {
    receiver: LinkRx,
    probe: (LinkTx, LinkRx, String),
    publications: Publications,
}

/// Blocks until the router has answered. No client can have the names of our links: no name of a device or a service begins with `@`.
fn begin(settings: rumqttd::Config) -> Result<(oneshot::Receiver<()>, Links), Box<LinkError>> {
    let mut broker = Broker::new(settings);
    let (mut subscriber, receiver) = broker.link("@sealgate")?;
    subscriber.subscribe(topic::filter(None))?;
    let (publisher, _) = broker.link("@sealgate-publisher")?;
    let (mut probe_sender, probe_receiver) = broker.link("@sealgate-probe")?;
    // Devices may publish there too, as they may everywhere; that a message comes back is all that is looked at.
    let probe_topic = "sealgate/probe".to_owned();
    probe_sender.subscribe(probe_topic.clone())?;
    let (tell, ended) = oneshot::channel();
    thread::spawn(move || {
        if let Err(failure) = broker.start() {
            error!(%failure, "rumqttd has ended.");
        }
        let _ = tell.send(());
    });
    // The link that subscribed has said all that it has to say.
    drop(subscriber);
    let publications = Publications(publisher);
    Ok((ended, Links { receiver, probe: (probe_sender, probe_receiver, probe_topic), publications }))
}

fn settings(config: &EmbeddedConfig, v4: SocketAddr, v5: Option<SocketAddr>, auth: &Auth) -> rumqttd::Config {
    let telemetry =
        SegmentConfig { max_segment_size: config.backlog_bytes_max / SEGMENTS, max_segment_count: SEGMENTS };
    let router = RouterConfig {
        max_connections: config.connections_max,
        max_outgoing_packet_count: 200,
        max_segment_size: OTHER_SEGMENT_BYTES,
        max_segment_count: 2,
        custom_segment: Some(HashMap::from([(topic::filter(None), telemetry)])),
        ..RouterConfig::default()
    };
    let server = |name: &str, listen| {
        let mut server = ServerSettings {
            name: name.to_owned(),
            listen,
            tls: None,
            next_connection_delay_ms: 0,
            connections: ConnectionSettings {
                connection_timeout_ms: CONNECT_TIMEOUT_MS,
                max_payload_size: config.packet_bytes_max,
                max_inflight_count: 100,
                auth: None,
                external_auth: None,
                dynamic_filters: true,
            },
        };
        let auth = auth.clone();
        server.set_auth_handler(move |client_id, user_name, token| {
            let auth = auth.clone();
            async move { may_come_in(&auth, &client_id, &user_name, &token).await }
        });
        HashMap::from([(name.to_owned(), server)])
    };
    rumqttd::Config {
        router,
        v4: Some(server("rumqttd-v4", v4)),
        v5: v5.map(|listen| server("rumqttd-v5", listen)),
        ..rumqttd::Config::default()
    }
}

/// Our own check of a token, and of a client id that can be nobody else's: in this broker it belongs to whoever comes under it last.
/// The broker does not say from where a client comes, so there is no account by address.
async fn may_come_in(auth: &Auth, client_id: &str, user_name: &str, token: &str) -> bool {
    let asker = Asker { from: IpAddr::V4(Ipv4Addr::LOCALHOST), now: now() };
    auth.login_elsewhere(user_name, token, client_id, asker, now_ms()).await.is_ok()
}

/// An address at which it can listen. It binds it itself, a moment later.
fn free(address: SocketAddr, key: &'static str) -> Result<SocketAddr, EmbeddedError> {
    let bound = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    bound.map_err(|source| EmbeddedError::Bind { key, address, source })
}
