//! The driver of one connection: waits for bytes, receipts, mail and time, and lets the session decide.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant as Deadline, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error_span, info};

use super::handshake::{self, Accepted, Greeted};
use super::listener::House;
use super::metrics::Throttled;
use super::room::Share;
use super::throttle::Throttle;
use super::wire::{Moved, Reading, Wire};
use crate::broker::{Attachment, Ended, Held, Intake, Output, Present, Queued, Remains, SentAway, Session, Will};
use crate::mqtt::{PACKET_BYTES_MAX, Packet, ReasonCode};

/// Messages that are taken from the mailbox at a time. Some 64 of the size of a reading make a write as large as one may be.
const MAIL_AT_ONCE: usize = 64;

/// Serves one client, from its first byte to its last.
/// It has until `deadline` to say who it is.
pub(super) async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    house: &Arc<House>,
    deadline: Deadline,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite,
{
    let mut wire = Wire::new(stream, &house.config);
    // What is done once is in boxes, which go when it is done; the rest is what an idle connection holds.
    let greeted = Box::pin(stop.run_until_cancelled(handshake::greet(&mut wire, peer, house, deadline))).await;
    match greeted.unwrap_or(Greeted::Gone) {
        Greeted::In(accepted) => {
            // Whatever is logged for this client from now on says so, at whichever level that is then.
            let span = error_span!("connection", %peer, client = %accepted.attachment.key());
            let mut connection = Connection::new(wire, *accepted, house.clone());
            let ended = connection.run(stop).instrument(span.clone()).await;
            Box::pin(connection.finish(ended).instrument(span)).await;
        }
        Greeted::Out { answer, version, pause } => {
            Box::pin(stop.run_until_cancelled(wire.rest(pause))).await;
            wire.send(*answer, version, PACKET_BYTES_MAX);
            Box::pin(wire.close()).await;
        }
        Greeted::Gone => Box::pin(wire.close()).await,
    }
}

struct Connection<S> {
    wire: Wire<S>,
    session: Session,
    attachment: Attachment,
    present: Option<Present>,
    house: Arc<House>,
    intake: Intake,
    /// A message that waits for its subscribers. Nothing further is carried out before it, so nothing is read either: no subscriber is
    /// waited for as long as the database may be.
    held: Option<Held>,
    reading: Reading,
    /// Empty between two events; what it has grown to is used again.
    mail: VecDeque<Queued>,
    throttle: Throttle,
    /// What it has of the room for large packets.
    room: Share,
    /// True: the client was faster than it may be, and is not read now.
    is_throttled: bool,
    /// Since when the client has not taken what lies in `unsent`.
    stalled_since: Option<Instant>,
}

enum Event {
    Moved(Moved),
    Intake,
    Settled,
    Room(Option<OwnedSemaphorePermit>),
    Mail,
    Timeout,
    SentAway(SentAway),
    Stop,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    fn new(wire: Wire<S>, accepted: Accepted, house: Arc<House>) -> Self {
        Connection {
            wire,
            session: accepted.session,
            attachment: accepted.attachment,
            present: accepted.present,
            intake: house.broker.intake(),
            held: None,
            throttle: Throttle::new(&house.config, now()),
            room: Share::None,
            house,
            reading: Reading::On,
            mail: VecDeque::new(),
            is_throttled: false,
            stalled_since: None,
        }
    }

    async fn run(&mut self, stop: CancellationToken) -> Ended {
        let mut stopping = false;
        loop {
            self.handle_received();
            self.handle_mail();
            self.carry_out(now());
            if stopping && self.held.is_none() && self.session.is_settled() {
                self.session.end(Ended::ShuttingDown);
            }
            if let Some(ended) = self.session.ended() {
                return ended;
            }
            self.choose_reading(stopping);
            self.session.rest();
            let event = self.next_event(&stop, stopping).await;
            stopping |= matches!(event, Event::Stop);
            self.handle(event);
        }
    }

    async fn next_event(&mut self, stop: &CancellationToken, stopping: bool) -> Event {
        let timeout = self.next_timeout();
        let wants_mail = self.session.wants_mail() && !self.wire.is_congested();
        let wanted = self.room.wanted();
        tokio::select! {
            moved = self.wire.move_bytes(self.reading) => Event::Moved(moved),
            settled = self.intake.settled() => {
                for (ticket, settled) in settled {
                    self.session.handle_settled(ticket, settled);
                }
                Event::Intake
            }
            () = settled(&mut self.held), if self.held.is_some() => Event::Settled,
            pieces = self.house.room.take(wanted.unwrap_or(0)), if wanted.is_some() => Event::Room(pieces),
            () = self.attachment.mailbox.arrived(), if wants_mail => Event::Mail,
            () = tokio::task::yield_now(), if wants_mail && self.session.has_backlog() => Event::Mail,
            why = &mut self.attachment.sent_away => Event::SentAway(why.unwrap_or(SentAway::TakenOver)),
            () = stop.cancelled(), if !stopping => Event::Stop,
            () = sleep_until(timeout.into()) => Event::Timeout,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Moved(Moved::Received(count)) => self.throttle.take_bytes(count, now()),
            Event::Moved(Moved::Sent) => self.stalled_since = None,
            Event::Moved(Moved::Gone) => self.session.end(Ended::Gone),
            Event::Timeout => self.handle_timeout(),
            Event::SentAway(SentAway::TakenOver) => self.session.end(Ended::TakenOver),
            Event::SentAway(SentAway::Revoked) => self.session.end(Ended::Revoked),
            Event::Settled => self.held = None,
            Event::Room(pieces) => {
                let until = now() + self.house.config.packet_timeout;
                self.room = pieces.map_or(Share::None, |pieces| Share::Held { _pieces: pieces, until });
            }
            Event::Intake | Event::Mail | Event::Stop => {}
        }
    }

    /// Decodes and handles what has come, until the session or the client's pace has enough for now.
    fn handle_received(&mut self) {
        let now = now();
        loop {
            self.look_at_pace(now);
            if self.is_throttled || self.held.is_some() {
                return;
            }
            if self.must_wait() {
                return self.answer_pings(now);
            }
            match self.wire.poll_packet() {
                Ok(Some(packet)) => {
                    self.room = Share::None;
                    if !self.session.awaits(&packet) {
                        self.throttle.take_packet(now);
                    }
                    self.session.handle_packet(packet, now);
                    self.carry_out(now);
                }
                Ok(None) => return self.look_at_room(),
                Err(error) => {
                    debug!(%error, "The client broke the protocol.");
                    self.session.end(Ended::PeerMisbehaved(error.reason()));
                }
            }
        }
    }

    fn look_at_room(&mut self) {
        if self.room.begin(self.wire.packet_at_hand()) {
            self.house.metrics.throttled.inc(Throttled::LargePackets);
        }
    }

    /// True: the client's next message has to wait for those before it.
    fn must_wait(&self) -> bool {
        self.intake.is_holding() || !self.session.wants_packets()
    }

    /// What a client has sent may have to wait for as long as the database is away, and it asks meanwhile whether we are there.
    fn answer_pings(&mut self, now: Instant) {
        while self.session.ended().is_none() && self.throttle.met(now).is_none() && self.wire.take_ping() {
            self.throttle.take_packet(now);
            self.session.handle_packet(Packet::PingReq, now);
            self.carry_out(now);
        }
    }

    fn look_at_pace(&mut self, now: Instant) {
        let met = self.throttle.met(now);
        if let Some(bound) = met.filter(|_| !self.is_throttled) {
            self.house.metrics.throttled.inc(bound);
        }
        self.is_throttled = met.is_some();
    }

    /// Goes on while a message of the client's own is held: a client that hears what it says might wait for itself else.
    fn handle_mail(&mut self) {
        let mut mail = std::mem::take(&mut self.mail);
        while self.session.wants_mail() && !self.wire.is_congested() {
            if let Some(again) = self.session.poll_again() {
                self.send(again);
                continue;
            }
            let count = self.session.mail_max().min(MAIL_AT_ONCE);
            self.attachment.take_mail(&mut self.session, count, &mut mail, now());
            if mail.is_empty() {
                break;
            }
            while let Some(queued) = mail.pop_front() {
                let packet = self.session.address(queued);
                self.send(packet);
            }
        }
        self.mail = mail;
    }

    fn handle_timeout(&mut self) {
        let now = now();
        if self.stalled_since.is_some_and(|since| now >= since + self.house.config.write_timeout) {
            return self.session.end(Ended::NotReading);
        }
        if self.room.until().is_some_and(|until| now >= until) {
            debug!("A large packet takes too long.");
            return self.session.end(Ended::PeerMisbehaved(ReasonCode::QuotaExceeded));
        }
        if let Some(held) = &mut self.held {
            held.handle_timeout(now);
        }
        if self.reading == Reading::On || now >= self.session.grant_ends() {
            self.session.handle_timeout(now);
        }
    }

    fn carry_out(&mut self, now: Instant) {
        while self.held.is_none()
            && let Some(output) = self.session.poll_output()
        {
            match output {
                Output::Send(packet) => self.send(packet),
                Output::Publish(message) => self.held = self.attachment.publish(&message, now),
                Output::Subscribe(filter, qos, echo) => self.attachment.subscribe(&filter, qos, echo),
                Output::Unsubscribe(filter) => self.attachment.unsubscribe(&filter),
                Output::Submit(telemetry) => self.intake.receive(telemetry),
            }
        }
    }

    fn send(&mut self, packet: Packet) {
        let (version, bytes_max) = (self.session.version(), self.session.client_packet_bytes_max());
        if let Some(packet) = self.wire.send(packet, version, bytes_max) {
            self.session.handle_too_large(packet);
        }
    }

    /// While the client's messages are not read it cannot be blamed for its silence: the keep-alive begins anew afterwards.
    fn choose_reading(&mut self, stopping: bool) {
        let before = self.reading;
        let is_off = stopping || self.is_throttled || self.held.is_some() || self.room.wanted().is_some();
        self.reading = if is_off || self.wire.is_congested() {
            Reading::Off
        } else if self.must_wait() {
            Reading::Ahead
        } else {
            Reading::On
        };
        if self.reading == Reading::On && before != Reading::On {
            self.session.handle_resumed(now());
        }
        if self.wire.is_flushed() {
            self.stalled_since = None;
        } else {
            self.stalled_since.get_or_insert_with(now);
        }
    }

    fn next_timeout(&self) -> Instant {
        let session = match self.reading {
            Reading::On => self.session.poll_timeout(),
            Reading::Ahead | Reading::Off => self.session.grant_ends(),
        };
        let stalled = self.stalled_since.map(|since| since + self.house.config.write_timeout);
        let free = self.is_throttled.then(|| self.throttle.free_at());
        let held = self.held.as_ref().and_then(Held::poll_timeout);
        [stalled, free, held, self.room.until()].into_iter().flatten().fold(session, Instant::min)
    }

    /// Gives the session back first, so that a connection that waits for it need not wait for this socket.
    async fn finish(mut self, ended: Ended) {
        self.house.metrics.ended(ended);
        info!(?ended, "A connection has ended.");
        if let Some(packet) = handshake::goodbye(ended, self.session.version()) {
            self.send(packet);
        }
        if let Some(present) = self.present.take() {
            present.end(ended);
        }
        let will = let_go(self.session, self.attachment, ended);
        let rest = async {
            if let Some(held) = self.held {
                held.finish().await;
            }
            self.intake.finish(will, &self.house.broker.hub).await;
        };
        tokio::join!(rest, self.wire.close());
    }
}

async fn settled(held: &mut Option<Held>) {
    if let Some(held) = held {
        held.settled().await;
    }
}

/// Gives the session back, with the will if that has to wait; else the will comes back, to be published now.
fn let_go(session: Session, attachment: Attachment, ended: Ended) -> Option<Will> {
    let now = now();
    let (state, expiry, will) = session.into_remains();
    if ended == Ended::Revoked {
        // Nothing is said any more in the name of whom was taken back.
        attachment.let_go(Remains { state, until: None, will: None });
        return None;
    }
    let until = (!expiry.is_zero()).then(|| now + expiry);
    let (now_due, later) = match (will, until) {
        (Some(will), Some(_)) if !will.delay.is_zero() => (None, Some((now + will.delay, will))),
        (will, _) => (will, None),
    };
    attachment.let_go(Remains { state, until, will: later });
    now_due
}

#[expect(clippy::disallowed_methods, reason = "the connection is a driver")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn future_bytes<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// A buffer or a handshake that is not in a box of its own would be held by every idle connection, for as long as it lives.
    #[test]
    fn the_task_of_an_idle_connection_holds_the_session_and_little_else() {
        let bytes = future_bytes(|stream: TcpStream, peer, house: &'static Arc<House>, deadline, stop| {
            serve(stream, peer, house, deadline, stop)
        });
        assert!(bytes <= 3 * 1024, "{bytes}, and {} of a connection", size_of::<Connection<TcpStream>>());
    }
}
