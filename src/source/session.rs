//! The driver of one connection that a worker has to the broker, from its first packet to its last.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::backoff::{Backoff, draw};
use super::broker::{Connection, Event, Lost, Message, QoS};
use super::clock::{at, now};
use super::config::Version;
use super::login::Login;
use super::metrics::{Attempt, Ended};
use super::subscriber::House;
use super::topic;
use super::window::Window;
use crate::ingest::{Delivery, Intake, Origin, Settled};

/// From the first packet to the answer to our subscription.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a message to ourselves may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last acknowledgements may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// How it went.
pub(super) enum Outcome {
    /// We never were subscribed.
    NotIn(Attempt, String),
    /// We were, for so long.
    Ended {
        cause: Ended,
        lasted: Duration,
        /// The login that comes next, if it is there already.
        login: Option<Login>,
    },
}

/// A connection that is subscribed.
pub(super) struct Session<'h> {
    house: &'h House,
    connection: Connection,
    intake: Intake,
    window: Window,
    number: u32,
    /// A message of our own that has not come yet.
    probe: Option<Probe>,
    /// Set: nothing more is taken, for this reason; what is on the way is acknowledged first.
    closing: Option<Ended>,
    next_login: Option<Login>,
}

/// A message to ourselves by a shared subscription.
struct Probe {
    filter: String,
    topic: String,
    until: Instant,
}

/// Connects, subscribes, and serves until something ends it or `stop` does.
pub(super) async fn run(
    house: &House,
    number: u32,
    login: Login,
    may_probe: &mut bool,
    stop: &CancellationToken,
) -> Outcome {
    let connection = Connection::open(&house.config, &house.identity(number), &login, &house.tls);
    let mut session = Session {
        intake: Intake::new(house.ingest.clone(), &house.budget),
        window: Window::default(),
        number,
        probe: None,
        closing: None,
        next_login: None,
        house,
        connection,
    };
    let entered = stop.run_until_cancelled(timeout(ENTRY_TIMEOUT, session.enter())).await;
    let not_in = match entered {
        Some(Ok(Ok(()))) => None,
        Some(Ok(Err((attempt, why)))) => Some(Outcome::NotIn(attempt, why)),
        Some(Err(_)) if session.intake.is_holding() => {
            Some(Outcome::NotIn(Attempt::Failed, "the database takes nothing".to_owned()))
        }
        Some(Err(_)) => Some(Outcome::NotIn(Attempt::Failed, "the broker does not answer".to_owned())),
        None => Some(Outcome::Ended { cause: Ended::Stopped, lasted: Duration::ZERO, login: None }),
    };
    if let Some(outcome) = not_in {
        session.finish().await;
        return outcome;
    }
    house.metrics.attempts.inc(Attempt::Subscribed);
    house.subscribed(true);
    info!(worker = number, broker = %house.config.url, "Subscribed.");
    if *may_probe {
        session.probe(&house.identity(number).client_id);
    }
    let since = now();
    let cause = session.serve(&login, stop).await;
    house.subscribed(false);
    if session.probe.is_some() && matches!(cause, Ended::Broker | Ended::Network) {
        *may_probe = false;
        warn!(
            "The connection has ended while a message to ourselves was on the way; the broker may forbid its topic. It is not sent again."
        );
    }
    let next = session.next_login.take();
    session.finish().await;
    Outcome::Ended { cause, lasted: now().saturating_duration_since(since), login: next }
}

impl Session<'_> {
    /// CONNECT and SUBSCRIBE. A broker that knows us may deliver before it has answered.
    async fn enter(&mut self) -> Result<(), (Attempt, String)> {
        loop {
            tokio::select! {
                event = self.connection.next(), if !self.intake.is_holding() => match event {
                    Ok(Event::Connected { session_present }) => {
                        info!(session_present, "The broker has let us in.");
                        self.connection.subscribe(&self.house.filter(), QoS::AtLeastOnce);
                    }
                    Ok(Event::Subscribed(Ok(qos))) => {
                        if qos == 0 {
                            warn!("The broker grants QoS 0 alone: what it cannot deliver at once is lost.");
                        }
                        return Ok(());
                    }
                    Ok(Event::Subscribed(Err(code))) => return Err((Attempt::NotSubscribed, self.not_subscribed(code))),
                    Ok(Event::Message(message)) => self.take(message),
                    Err(lost @ Lost::Refused(_)) => return Err((Attempt::Refused, lost.to_string())),
                    Err(lost) => return Err((Attempt::Failed, self.no_connection(&lost))),
                },
                settled = self.intake.settled() => if self.settle(settled).is_err() {
                    return Err((Attempt::Failed, "a message has to be delivered again".to_owned()));
                },
            }
        }
    }

    fn not_subscribed(&self, code: u8) -> String {
        let hint = if self.house.config.shared {
            "; where it has no shared subscriptions, set source.shared = false"
        } else {
            ""
        };
        format!("the broker refuses the subscription to {} with 0x{code:02x}{hint}", self.house.filter())
    }

    fn no_connection(&self, lost: &Lost) -> String {
        let told = lost.to_string();
        let hint = match self.house.config.version {
            // Somebody is there, and says nothing that we understand.
            Version::V5 if !told.contains("Connection refused") => {
                "; if it speaks MQTT 3.1.1 alone, set source.version = \"3.1.1\""
            }
            _ => "",
        };
        format!("{told}{hint}")
    }

    async fn serve(&mut self, login: &Login, stop: &CancellationToken) -> Ended {
        let mut renewal = std::pin::pin!(renewed(self.house, login));
        let ends_at = login.life.map(|life| life.ends_at);
        loop {
            if let Err(cause) = self.acknowledge() {
                return cause;
            }
            if let Some(cause) = self.closing
                && self.window.is_empty()
            {
                return cause;
            }
            let probed = self.probe.as_ref().map(|probe| probe.until);
            tokio::select! {
                event = self.connection.next(), if !self.intake.is_holding() => match event {
                    Ok(Event::Message(message)) => self.take(message),
                    Ok(Event::Connected { .. } | Event::Subscribed(_)) => {}
                    Err(lost) => return self.lost(&lost),
                },
                settled = self.intake.settled() => if let Err(cause) = self.settle(settled) {
                    return cause;
                },
                login = &mut renewal, if self.next_login.is_none() && self.closing.is_none() => {
                    self.next_login = Some(login);
                    self.closing = Some(Ended::Renewed);
                }
                () = at(ends_at) => return Ended::Renewed,
                () = at(probed) => self.nothing_came(),
                () = stop.cancelled(), if self.closing != Some(Ended::Stopped) => self.closing = Some(Ended::Stopped),
            }
        }
    }

    /// Sends ourselves a message by a shared subscription of our own.
    fn probe(&mut self, client_id: &str) {
        let (filter, topic) = topic::probe(client_id);
        self.connection.subscribe(&filter, QoS::AtMostOnce);
        self.connection.publish_at_once(&topic);
        self.probe = Some(Probe { filter, topic, until: now() + PROBE_TIMEOUT });
    }

    fn probe_came(&mut self) {
        if let Some(Probe { filter, .. }) = self.probe.take() {
            info!("The broker shares messages out.");
            self.connection.unsubscribe(&filter);
        }
    }

    fn nothing_came(&mut self) {
        let Some(Probe { topic, .. }) = self.probe.take() else { return };
        self.house.metrics.unshared.inc();
        error!(
            topic,
            "A message of our own has not come by a shared subscription. Either the broker forbids us this topic, or it takes $share for a name \
             like any other, and no message of a device will come: then set source.shared = false."
        );
    }

    /// What comes while we close is left to the next connection: the broker delivers it again, but at QoS 0.
    fn take(&mut self, message: Message) {
        let metrics = &self.house.metrics;
        if topic::is_probe(&message.topic) {
            if let Some(ticket) = self.window.receive(message.packet_id) {
                self.window.settle(ticket);
            }
            return self.probe_came();
        }
        let is_left = match self.closing {
            None => false,
            Some(Ended::Stopped) => true,
            Some(_) => message.packet_id.is_some(),
        };
        if is_left {
            return;
        }
        if message.is_redelivered {
            metrics.redelivered.inc();
        }
        // The broker has grown impatient: the message is on its way already.
        let Some(ticket) = self.window.receive(message.packet_id) else { return };
        let device_id = topic::sender(&message.topic);
        if !self.house.is_its(self.number, &device_id) {
            metrics.of_other_parts.inc();
            return self.window.settle(ticket);
        }
        // A device that has sent again, a broker that delivers again, and somebody who plays back look the same from here.
        self.intake.receive(ticket, Delivery::new(device_id, message.payload, Origin::Retry));
    }

    /// What is lost is not acknowledged, and comes again on the next connection alone.
    fn settle(&mut self, settled: Vec<(u64, Settled)>) -> Result<(), Ended> {
        let is_lost = settled.iter().any(|(_, settled)| *settled == Settled::Lost);
        for (ticket, settled) in settled {
            if settled != Settled::Lost {
                self.window.settle(ticket);
            }
        }
        if is_lost { Err(Ended::Lost) } else { Ok(()) }
    }

    fn acknowledge(&mut self) -> Result<(), Ended> {
        while let Some(packet_id) = self.window.next_acknowledged() {
            if !self.connection.acknowledge(packet_id) {
                error!("An acknowledgement finds no room; the connection begins anew.");
                return Err(Ended::Lost);
            }
        }
        Ok(())
    }

    fn lost(&self, lost: &Lost) -> Ended {
        warn!(reason = %lost, "The connection to the broker has ended.");
        match lost {
            Lost::Ended(_) | Lost::Refused(_) => Ended::Broker,
            Lost::Failed(_) => Ended::Network,
        }
    }

    /// The broker gets what is acknowledged already, and a goodbye. What is held still goes its way; nobody hears the answer.
    async fn finish(mut self) {
        self.connection.say_goodbye();
        let _ = timeout(FAREWELL, self.connection.ended()).await;
        drop(self.connection);
        self.intake.finish().await;
    }
}

/// The login that comes after this one, once it is time for it.
async fn renewed(house: &House, login: &Login) -> Login {
    let Some(life) = login.life else { return std::future::pending().await };
    at(Some(life.renewed_at)).await;
    let mut backoff = Backoff::new(house.config.reconnect_delay_max);
    loop {
        match house.credentials.login().await {
            Ok(login) => return login,
            Err(failure) => warn!(%failure, "The login cannot be renewed yet."),
        }
        sleep(backoff.pause(draw())).await;
    }
}
