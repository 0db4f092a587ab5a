//! Where messages come from: our own door, or another broker.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::StartError;
use super::tasks::Tasks;
use crate::broker::{self, Broker, Hub};
use crate::config::Config;
use crate::edge;
use crate::ingest::{Budget, Ingest, Outlets};
use crate::metrics::Registry;
use crate::ready::Ready;
use crate::source::{self, Credentials, Publisher, Subscriber};
use crate::store::{Store, node_id};
use crate::tls::client_config;

/// One of them.
pub(super) enum Origin {
    /// Clients come to us.
    Edge { listener: Box<edge::Listener>, broker: Broker, store: Store },
    /// We are a client.
    Broker { subscriber: Subscriber, publisher: Publisher },
    /// It is in this process, and not ours.
    #[cfg(feature = "rumqttd")]
    Embedded { embedded: Box<source::Embedded>, publications: source::Publications },
}

impl Origin {
    /// The broker of `[source]`.
    #[expect(clippy::result_large_err, reason = "it is made once, at the start")]
    pub(super) fn broker(
        config: &Config,
        ingest: Ingest,
        budget: Budget,
        registry: &Registry,
        ready: &Ready,
    ) -> Result<Origin, StartError> {
        let source = &config.source;
        let identity = source.tls_certificate.as_deref().zip(source.tls_key.as_deref());
        let tls = client_config(source.tls_ca.as_deref(), identity).map_err(StartError::SourceTls)?;
        let credentials = Arc::new(Credentials::open(source, &tls)?);
        let tls = source.url.is_tls.then_some(tls);
        let name = node_id(&config.store.data_dir)?;
        let metrics = source::Metrics::new(registry);
        let publisher = Publisher::new(source.clone(), &name, credentials.clone(), tls.clone(), metrics.clone());
        let subscriber =
            Subscriber::new(source.clone(), &name, credentials, tls, ingest, budget, metrics, ready.clone());
        Ok(Origin::Broker { subscriber, publisher })
    }

    /// The way in for streams that did not come through a door, where we are the broker.
    pub(super) fn entrance(&self) -> Option<edge::Entrance> {
        match self {
            Origin::Edge { listener, .. } => Some(listener.entrance()),
            Origin::Broker { .. } => None,
            #[cfg(feature = "rumqttd")]
            Origin::Embedded { .. } => None,
        }
    }

    /// Where sessions meet, where we are the broker.
    pub(super) fn hub(&self) -> Option<Hub> {
        match self {
            Origin::Edge { broker, .. } => Some(broker.hub.clone()),
            _ => None,
        }
    }

    /// What it promises less than our own door does.
    pub(super) fn caveats(&self) -> &'static [&'static str] {
        match self {
            Origin::Edge { .. } => &[],
            Origin::Broker { .. } => source::BROKER_CAVEATS,
            #[cfg(feature = "rumqttd")]
            Origin::Embedded { .. } => source::EMBEDDED_CAVEATS,
        }
    }

    /// Opens it: what takes messages in ends with `doors_close`, what hands results out with the pipeline.
    pub(super) fn open(
        self,
        outlets: Outlets,
        (intake, pipeline, background): (&mut Tasks, &mut Tasks, &mut Tasks),
        doors_close: &CancellationToken,
        background_ends: &CancellationToken,
    ) {
        match self {
            Origin::Edge { listener, broker, store } => {
                let Broker { hub, presence, .. } = broker.clone();
                pipeline.spawn("outlets", broker::publish_outlets(hub.clone(), outlets));
                background.spawn("presence", broker::keep_presence(presence, hub, store, background_ends.clone()));
                intake.spawn("edge", listener.run(doors_close.clone()));
                intake.spawn("wills", broker::publish_wills(broker, doors_close.clone()));
            }
            Origin::Broker { subscriber, publisher } => {
                pipeline.spawn("outlets", publisher.run(outlets, doors_close.clone()));
                intake.spawn("source", subscriber.run(doors_close.clone()));
            }
            #[cfg(feature = "rumqttd")]
            Origin::Embedded { embedded, publications } => {
                pipeline.spawn("outlets", publications.run(outlets));
                intake.spawn("rumqttd", embedded.run(doors_close.clone()));
            }
        }
    }
}
