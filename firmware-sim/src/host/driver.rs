//! One device's clock and login: connects, serves, and connects again until everything is said.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oauth2::TokenUrl;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep_until;
use zeroize::Zeroizing;

use super::connection::{Connection, Login, Trouble};
use super::credentials::Credentials;
use super::fault::{Expected, Fault};
use super::link::Incoming;
use super::pace::Pace;
use super::settings::Settings;
use super::tally::Tally;
use super::token::{Token, TokenSource};
use super::unit::{Then, Unit};
use crate::{Backoff, renewal_ms};

/// What the whole fleet is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Measure and send.
    Running,
    /// Measure no more; what was made is sent until it is acknowledged.
    Draining,
    /// Stop as it stands.
    Ended,
}

/// What all devices of a fleet share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) tally: Tally,
    pub(super) phase: watch::Receiver<Phase>,
    /// Who may fetch a token and connect now: ten thousand at once would be refused by any system's queue.
    pub(super) dials: Arc<Semaphore>,
}

/// One device that is driven.
pub(super) struct Driver {
    unit: Unit,
    shared: Shared,
    source: TokenSource,
    token: Option<Held>,
    backoff: Backoff,
    pace: Pace,
    /// When the device was made: its uptime is counted from there.
    booted_at: Instant,
    /// The connection is about to break, as a fault.
    dropping: bool,
    was_connected: bool,
}

/// A token, and when the next one is fetched.
struct Held {
    token: Token,
    renew_at: Instant,
}

/// Why a connection ended, where that is no trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Everything is said.
    Finished,
    /// The token is renewed by connecting again.
    Renewal,
    /// On purpose, as a fault.
    Dropped,
}

/// How long a renewal waits for what is under way.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);

impl Driver {
    pub(super) fn new(unit: Unit, shared: Shared, token_url: &TokenUrl, credentials: &Credentials) -> Self {
        let settings = &shared.settings;
        let backoff = Backoff::new(ms(settings.backoff_base), ms(settings.backoff_max));
        let pace = Pace::new(settings.rate, settings.messages_max);
        Driver {
            unit,
            source: TokenSource::new(token_url, credentials),
            shared,
            token: None,
            backoff,
            pace,
            booted_at: now(),
            dropping: false,
            was_connected: false,
        }
    }

    /// Runs until everything is said, or until the fleet is ended.
    pub(super) async fn run(mut self, begin_at: Instant) {
        let mut phase = self.shared.phase.clone();
        tokio::select! {
            () = self.work(begin_at) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
        }
        self.unit.handle_disconnected();
    }

    async fn work(&mut self, begin_at: Instant) {
        self.rest(begin_at).await;
        while !self.is_finished() {
            let ended = self.connect_and_serve().await;
            self.unit.handle_disconnected();
            match ended {
                Ok(Ended::Finished | Ended::Renewal) => continue,
                Ok(Ended::Dropped) => {}
                Err(trouble) => self.shared.tally.change(|counts| counts.last_trouble = Some(trouble.to_string())),
            }
            let random = self.unit.random();
            let pause = Duration::from_millis(self.backoff.pause_ms(random).into());
            self.rest(now() + pause).await;
        }
    }

    /// Does nothing until then, or until the fleet ends and this device has nothing more to say.
    async fn rest(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until.into()) => {}
            () = draining(self.shared.phase.clone()), if self.unit.is_settled() => {}
        }
    }

    async fn connect_and_serve(&mut self) -> Result<Ended, Trouble> {
        let (phase, is_settled) = (self.shared.phase.clone(), self.unit.is_settled());
        let connected = tokio::select! {
            connected = self.connect() => connected,
            // Nothing is left to be said over it.
            () = draining(phase), if is_settled => return Ok(Ended::Finished),
        };
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(trouble) => {
                self.shared.tally.change(|counts| counts.failed_attempts += 1);
                return Err(trouble);
            }
        };
        self.unit.handle_connected();
        if let Some(topic) = self.unit.receipts_topic() {
            // Before the first message: what becomes of that is told to who has subscribed.
            connection.subscribe(topic);
        }
        let first = !std::mem::replace(&mut self.was_connected, true);
        self.shared.tally.change(|counts| {
            counts.connected += 1;
            counts.connections += 1;
            counts.heard += u64::from(first);
        });
        let ended = self.serve(&mut connection).await;
        self.shared.tally.change(|counts| {
            counts.connected -= 1;
            counts.lost_connections += u64::from(ended.is_err());
        });
        ended
    }

    async fn connect(&mut self) -> Result<Connection, Trouble> {
        let dials = self.shared.dials.clone();
        let _permit = dials.acquire().await;
        let token = self.fresh_token().await?;
        if let Some(tampered) = self.unit.draw_bad_token(&token) {
            self.try_bad_token(&tampered).await;
        }
        let greeted = self.greet(&token).await;
        if matches!(greeted, Err(Trouble::Refused(_))) {
            self.token = None;
        }
        greeted
    }

    /// The token at hand, or a new one if its time has come.
    async fn fresh_token(&mut self) -> Result<Zeroizing<String>, Trouble> {
        if let Some(account) = &self.shared.settings.account {
            return Ok(Zeroizing::new(account.password.clone()));
        }
        if self.token.as_ref().is_none_or(|held| now() >= held.renew_at) {
            let token = self.source.fetch().await?;
            let random = self.unit.random();
            let renew_at = now() + Duration::from_millis(renewal_ms(ms(token.life), random).into());
            self.token = Some(Held { token, renew_at });
        }
        Ok(self.token.as_ref().map(|held| held.token.secret.clone()).unwrap_or_default())
    }

    async fn try_bad_token(&self, tampered: &str) {
        let answer = self.greet(tampered).await;
        self.shared.tally.change(|counts| match answer {
            Err(Trouble::Refused(_)) => {
                let cell = counts.cell(Some(Fault::BadToken), Expected::WrongSignature);
                cell.made += 1;
                cell.settled += 1;
            }
            Ok(_) => counts.surprise(|| format!("{}: a token that was tampered with was let in", self.unit.id())),
            // Nobody has judged it.
            Err(_) => {}
        });
    }

    async fn greet(&self, token: &str) -> Result<Connection, Trouble> {
        let settings = &self.shared.settings;
        let user = settings.account.as_ref().map_or(self.unit.id(), |account| &account.user);
        let login = Login { id: self.unit.id(), user, password: token, keep_alive_secs: settings.keep_alive_secs };
        Connection::open(&settings.gateway, self.unit.version(), login).await
    }

    async fn serve(&mut self, connection: &mut Connection) -> Result<Ended, Trouble> {
        loop {
            // What changes from here on wakes the wait below.
            self.shared.phase.borrow_and_update();
            self.measure();
            self.unit.handle_timeout(self.uptime_ms());
            self.write_messages(connection);
            if self.dropping {
                self.dropping = false;
                connection.break_off(self.unit.chance()).await?;
                return Ok(Ended::Dropped);
            }
            if let Some(ended) = self.polite_end() {
                connection.say_goodbye().await?;
                return Ok(ended);
            }
            self.wait(connection).await?;
            self.handle_received(connection)?;
        }
    }

    /// Makes messages of what is due. Where the outbox has no room, readings are dropped, as firmware must at some point.
    fn measure(&mut self) {
        let now = now();
        while self.is_measuring() && !self.dropping && self.pace.is_due(now) {
            if !self.unit.has_room() {
                let missed = self.pace.skip(now);
                self.shared.tally.change(|counts| counts.held_back += missed);
                return;
            }
            self.pace.take();
            match self.unit.handle_reading(unix_ms()) {
                Ok(then) => self.dropping = then == Then::DropConnection,
                Err(error) => {
                    let id = self.unit.id();
                    self.shared.tally.change(|counts| counts.surprise(|| format!("{id}: {error}")));
                }
            }
        }
    }

    fn write_messages(&mut self, connection: &mut Connection) {
        while connection.takes_more() && self.unit.may_send(connection.window()) {
            let Some((topic, publish)) = self.unit.poll_publish() else { return };
            connection.publish(topic, &publish);
        }
    }

    /// Whether this connection has nothing more to do.
    fn polite_end(&self) -> Option<Ended> {
        if self.is_finished() {
            return Some(Ended::Finished);
        }
        let renewal = self.renew_at()?;
        let is_due = now() >= renewal && (self.unit.is_settled() || now() >= renewal + RENEWAL_PATIENCE);
        is_due.then_some(Ended::Renewal)
    }

    async fn wait(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        let wake_at = self.wake_at(connection.poll_timeout());
        tokio::select! {
            moved = connection.move_bytes() => moved,
            _ = self.shared.phase.changed() => Ok(()),
            () = sleep_until(wake_at.into()) => connection.handle_timeout(),
        }
    }

    fn handle_received(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        while let Some(incoming) = connection.poll_packet()? {
            match incoming {
                Incoming::Ack(packet_id, answer) => {
                    // Not before: a gateway that lets a fleet in and then fails is no gateway to come back to at once.
                    self.backoff.handle_connected();
                    self.unit.handle_ack(packet_id, &answer, self.uptime_ms());
                }
                Incoming::Message(topic, packet_id, payload) => {
                    if packet_id > 0 {
                        connection.acknowledge(packet_id);
                    }
                    self.unit.handle_message(&topic, &payload);
                }
                Incoming::NotSubscribed(code) => return Err(Trouble::NotSubscribed(code)),
                Incoming::Goodbye(code) => return Err(Trouble::Goodbye(code)),
                Incoming::Welcome(_) | Incoming::Refused(_) | Incoming::Other => {}
            }
        }
        Ok(())
    }

    /// While a renewal is due nothing new is begun, so that as little as can be is sent twice.
    fn is_measuring(&self) -> bool {
        let renewing = self.renew_at().is_some_and(|at| now() >= at);
        self.phase() == Phase::Running && !renewing
    }

    fn wake_at(&self, ping_at: Instant) -> Instant {
        let reading = self.pace.poll_timeout().filter(|_| self.is_measuring() && self.unit.has_room());
        let renewal = self.renew_at().map(|at| if now() >= at { at + RENEWAL_PATIENCE } else { at });
        let receipt = self.unit.poll_timeout().map(|uptime_ms| self.booted_at + Duration::from_millis(uptime_ms));
        [reading, renewal, receipt].into_iter().flatten().fold(ping_at, Instant::min)
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from((now() - self.booted_at).as_millis()).unwrap_or(u64::MAX)
    }

    fn is_finished(&self) -> bool {
        (self.phase() != Phase::Running || self.pace.is_over()) && self.unit.is_settled()
    }

    fn phase(&self) -> Phase {
        *self.shared.phase.borrow()
    }

    fn renew_at(&self) -> Option<Instant> {
        self.token.as_ref().map(|held| held.renew_at)
    }
}

/// Waits until the fleet measures no more.
async fn draining(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
}

fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the driver is what reads the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the driver is what reads the clock")]
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
