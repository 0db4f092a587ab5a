//! The workers: each one connection to the broker, made again whenever it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, error_span, info};

use super::backoff::{Backoff, draw};
use super::broker::Identity;
use super::config::Part;
use super::login::Login;
use super::metrics::Attempt;
use super::session::{self, Outcome};
use super::{Config, Credentials, Metrics, topic};
use crate::ingest::{Budget, Ingest};
use crate::ready::{self, Ready};
use crate::tls::ClientConfig;

/// More than the broker has on the way to us at a time, so that every acknowledgement finds room.
const ACKNOWLEDGEMENTS_MAX: usize = 2 * u16::MAX as usize;

/// All workers of this process.
pub struct Subscriber(Arc<House>);

/// What the workers have in common.
pub(super) struct House {
    pub(super) config: Config,
    pub(super) credentials: Arc<Credentials>,
    /// None: without TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) ingest: Ingest,
    pub(super) budget: Budget,
    pub(super) metrics: Metrics,
    ready: Ready,
    client_id: String,
    /// How many workers are subscribed.
    subscribed: Mutex<u32>,
}

impl Subscriber {
    /// Workers as the settings say; `name` is what this process is called where they give no name.
    #[expect(clippy::too_many_arguments, reason = "the composition hands over what the workers share, once")]
    pub fn new(
        config: Config,
        name: &str,
        credentials: Arc<Credentials>,
        tls: Option<Arc<ClientConfig>>,
        ingest: Ingest,
        budget: Budget,
        metrics: Metrics,
        ready: Ready,
    ) -> Self {
        let client_id = config.client_id(name);
        metrics.workers.set(i64::from(config.workers));
        ready.set(ready::Part::Source, false);
        Subscriber(Arc::new(House {
            config,
            credentials,
            tls,
            ingest,
            budget,
            metrics,
            ready,
            client_id,
            subscribed: Mutex::default(),
        }))
    }

    /// Works until `stop`, and returns when everything that was taken is acknowledged.
    pub async fn run(self, stop: CancellationToken) {
        let mut workers = JoinSet::new();
        for number in 1..=self.0.config.workers {
            let (house, stop) = (self.0.clone(), stop.clone());
            let span = error_span!("worker", number);
            workers.spawn(async move { work(&house, number, &stop).await }.instrument(span));
        }
        workers.join_all().await;
    }
}

async fn work(house: &House, number: u32, stop: &CancellationToken) {
    let mut backoff = Backoff::new(house.config.reconnect_delay_max);
    let mut next: Option<Login> = None;
    let mut may_probe = house.config.shared;
    while !stop.is_cancelled() {
        let login = match next.take() {
            Some(login) => Ok(login),
            None => house.credentials.login().await,
        };
        let outcome = match login {
            Ok(login) => session::run(house, number, login, &mut may_probe, stop).await,
            Err(failure) => Outcome::NotIn(Attempt::NoLogin, failure.to_string()),
        };
        match outcome {
            Outcome::NotIn(attempt, why) => {
                error!(reason = why, "Not subscribed.");
                house.metrics.attempts.inc(attempt);
            }
            Outcome::Ended { cause, lasted, login } => {
                info!(?cause, ?lasted, "The connection to the broker is over.");
                house.metrics.ended.inc(cause);
                backoff.went_well(lasted);
                next = login;
                if next.is_some() {
                    continue;
                }
            }
        }
        pause(&mut backoff, stop).await;
    }
}

async fn pause(backoff: &mut Backoff, stop: &CancellationToken) {
    let pause: Duration = backoff.pause(draw());
    stop.run_until_cancelled(sleep(pause)).await;
}

impl House {
    /// Who a worker is to the broker: the same after each start, so that what waits for it there is delivered to it.
    pub(super) fn identity(&self, number: u32) -> Identity {
        Identity {
            client_id: format!("{}-{number}", self.client_id),
            session_expiry: Some(self.config.session_expiry),
            requests_max: ACKNOWLEDGEMENTS_MAX,
        }
    }

    pub(super) fn filter(&self) -> String {
        topic::filter(self.config.shared.then_some(&self.config.group))
    }

    /// Whether a device is a worker's; the broker alone decides where it shares messages out.
    pub(super) fn is_its(&self, number: u32, device_id: &str) -> bool {
        let worker = Part { number, of: self.config.workers };
        self.config.shared || topic::is_of(self.config.part, worker, device_id)
    }

    /// One worker more is subscribed, or one less.
    pub(super) fn subscribed(&self, is_in: bool) {
        // Of two at once the later one has to see the earlier one.
        let mut subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner);
        *subscribed = if is_in { *subscribed + 1 } else { *subscribed - 1 };
        self.metrics.subscribed.set(i64::from(*subscribed));
        self.ready.set(ready::Part::Source, *subscribed >= self.config.workers);
    }
}
