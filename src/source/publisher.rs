//! The connection by which results go back through the broker. One of its own: what waits here must not keep an acknowledgement from leaving. While it is down nothing is taken, and what
//! the pipeline then has no room for it counts itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::backoff::{Backoff, draw};
use super::broker::{Connection, Event, Identity};
use super::clock::{at, now};
use super::login::Login;
use super::results::{Outgoing, Results};
use super::{Config, Credentials, Metrics};
use crate::ingest::Outlets;
use crate::tls::ClientConfig;

/// What may wait for the event loop.
const REQUESTS_MAX: usize = 256;
/// How long the last of it may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// From the first packet to the broker's answer.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Publishes what comes out of the pipeline.
pub struct Publisher {
    config: Config,
    credentials: Arc<Credentials>,
    tls: Option<Arc<ClientConfig>>,
    metrics: Metrics,
    client_id: String,
}

/// How a connection ended.
enum Ended {
    /// The pipeline has ended, and with it what there is to publish.
    Finished,
    /// Make another one.
    Again,
}

impl Publisher {
    /// To the broker of the settings; `name` is what this process is called where they give no name.
    pub fn new(
        config: Config,
        name: &str,
        credentials: Arc<Credentials>,
        tls: Option<Arc<ClientConfig>>,
        metrics: Metrics,
    ) -> Self {
        let client_id = format!("{}-publisher", config.client_id(name));
        Publisher { config, credentials, tls, metrics, client_id }
    }

    /// Publishes until the pipeline has ended; without a connection, until `stop`.
    pub async fn run(self, outlets: Outlets, stop: CancellationToken) {
        let mut results = Results::new(outlets);
        if !self.config.publish {
            // Nothing comes out where nothing is wanted.
            while results.next().await.is_some() {}
            return;
        }
        let mut backoff = Backoff::new(self.config.reconnect_delay_max);
        loop {
            let began = now();
            match self.connected(&mut results, &stop).await {
                Ended::Finished => return,
                Ended::Again => backoff.went_well(now().saturating_duration_since(began)),
            }
            if stop.run_until_cancelled(sleep(backoff.pause(draw()))).await.is_none() {
                return;
            }
        }
    }

    /// One connection.
    async fn connected(&self, results: &mut Results, stop: &CancellationToken) -> Ended {
        let login = match stop.run_until_cancelled(self.credentials.login()).await {
            None => return Ended::Finished,
            Some(Ok(login)) => login,
            Some(Err(failure)) => {
                warn!(%failure, "Nothing can be published to the broker.");
                return Ended::Again;
            }
        };
        let identity = Identity { client_id: self.client_id.clone(), session_expiry: None, requests_max: REQUESTS_MAX };
        let mut connection = Connection::open(&self.config, &identity, &login, &self.tls);
        match stop.run_until_cancelled(timeout(ENTRY_TIMEOUT, connection.next())).await {
            None => return Ended::Finished,
            Some(Ok(Ok(Event::Connected { .. }))) => info!("Readings and receipts are published to the broker."),
            Some(Ok(Err(lost))) => {
                warn!(reason = %lost, "Nothing can be published to the broker.");
                return Ended::Again;
            }
            Some(Ok(Ok(_)) | Err(_)) => {
                warn!("Nothing can be published to the broker: it does not answer.");
                return Ended::Again;
            }
        }
        let ended = self.publish_all(&mut connection, results, &login).await;
        connection.say_goodbye();
        let _ = timeout(FAREWELL, connection.ended()).await;
        ended
    }

    async fn publish_all(&self, connection: &mut Connection, results: &mut Results, login: &Login) -> Ended {
        let renewed_at = login.life.map(|life| life.renewed_at);
        loop {
            let messages = tokio::select! {
                messages = results.next() => match messages {
                    Some(messages) => messages,
                    None => return Ended::Finished,
                },
                lost = connection.ended() => {
                    warn!(reason = %lost, "The connection to the broker for readings and receipts has ended.");
                    return Ended::Again;
                }
                () = at(renewed_at) => return Ended::Again,
            };
            if !self.publish(connection, messages).await {
                return Ended::Again;
            }
        }
    }

    /// False: the connection is over.
    async fn publish(&self, connection: &mut Connection, messages: Vec<Outgoing>) -> bool {
        let mut left = messages.len() as u64;
        for Outgoing { topic, payload, qos } in messages {
            let sent = connection.publish(topic, payload, qos).await;
            if !sent {
                self.metrics.unpublished.inc_by(left);
                return false;
            }
            left -= 1;
        }
        true
    }
}
