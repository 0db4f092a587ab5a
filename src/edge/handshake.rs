//! CONNECT: who wants to come in, on which terms, and what CONNACK says to it.
//!
//! [`greet`] is the driver; what it asks is decided by pure functions of the packet, the grant and the settings. Before a login
//! has succeeded nothing is remembered of a client, and nothing is told to it but a code.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant as Deadline, timeout_at};
use tracing::{debug, info, warn};

use super::Config;
use super::listener::House;
use super::metrics::Refused;
use super::wire::{Moved, Reading, Wire};
use crate::auth::{self, Asker, Grant, LoginRefused, Principal};
use crate::broker::{
    self, Attachment, Broker, Earlier, Ended, Message, Present, ProblemInformation, Session, SessionKey, SessionState,
    Terms, TopicBounds, Will, telemetry_of,
};
use crate::mqtt::{ConnAck, Connect, DecodeError, Disconnect, PACKET_BYTES_MAX, Packet, ReasonCode, Text, Version};

/// A client id is kept for as long as its session, and written to the log.
const CLIENT_ID_BYTES_MAX: usize = 256;

/// A client that has come in.
pub(super) struct Accepted {
    pub(super) session: Session,
    pub(super) attachment: Attachment,
    /// Of a device alone.
    pub(super) present: Option<Present>,
}

/// Why a client is turned away: what it is told, and what is counted.
#[derive(Debug, Clone, Copy)]
struct TurnedAway {
    code: ReasonCode,
    cause: Refused,
    pause: Duration,
}

impl TurnedAway {
    /// At once.
    fn new(code: ReasonCode, cause: Refused) -> Self {
        TurnedAway { code, cause, pause: Duration::ZERO }
    }
}

/// What becomes of who says CONNECT, or does not.
pub(super) enum Greeted {
    /// The client comes in; CONNACK is on its way.
    In(Box<Accepted>),
    /// The client does not, and hears this after the pause.
    Out { answer: Box<Packet>, version: Version, pause: Duration },
    /// It is as good as gone; if there is something to say, it is on its way.
    Gone,
}

/// Reads CONNECT and decides what it is worth, both within the deadline.
pub(super) async fn greet<S>(wire: &mut Wire<S>, peer: SocketAddr, house: &Arc<House>, deadline: Deadline) -> Greeted
where
    S: AsyncRead + AsyncWrite,
{
    timeout_at(deadline, connect(wire, peer, house)).await.unwrap_or_else(|_| {
        house.metrics.refused.inc(Refused::Timeout);
        debug!(%peer, "No CONNECT came in time.");
        Greeted::Gone
    })
}

async fn connect<S>(wire: &mut Wire<S>, peer: SocketAddr, house: &Arc<House>) -> Greeted
where
    S: AsyncRead + AsyncWrite,
{
    let Some(connect) = read_connect(wire, peer, house).await else { return Greeted::Gone };
    let version = connect.version;
    match admit(connect, peer, house).await {
        Ok((accepted, connack)) => {
            wire.send(Packet::ConnAck(connack.into()), version, PACKET_BYTES_MAX);
            info!(%peer, client = %accepted.attachment.key(), "A client has come in.");
            Greeted::In(Box::new(accepted))
        }
        Err(TurnedAway { code, cause, pause }) => {
            house.metrics.refused.inc(cause);
            Greeted::Out { answer: Box::new(refusal(code)), version, pause }
        }
    }
}

async fn read_connect<S>(wire: &mut Wire<S>, peer: SocketAddr, house: &Arc<House>) -> Option<Connect>
where
    S: AsyncRead + AsyncWrite,
{
    loop {
        match wire.poll_packet() {
            Ok(Some(Packet::Connect(connect))) => return Some(*connect),
            Ok(None) => {}
            // The decoder lets nothing else come first [MQTT-3.1.0-1].
            Ok(Some(_)) => return None,
            Err(error) => {
                debug!(%peer, %error, "A client's first packet is no CONNECT.");
                let cause = match error {
                    DecodeError::TooLarge { .. } => Refused::TooLarge,
                    _ => Refused::Malformed,
                };
                house.metrics.refused.inc(cause);
                if let Some(version) = version_to_answer_in(error.reason(), wire.version()) {
                    wire.send(refusal(error.reason()), version, PACKET_BYTES_MAX);
                }
                return None;
            }
        }
        if let Moved::Gone = wire.move_bytes(Reading::On).await {
            return None;
        }
    }
}

/// Reads CONNECT and says no to it, whatever it says.
pub(super) async fn decline<S>(wire: &mut Wire<S>, peer: SocketAddr, house: &Arc<House>, code: ReasonCode)
where
    S: AsyncRead + AsyncWrite,
{
    if let Some(connect) = read_connect(wire, peer, house).await {
        wire.send(refusal(code), connect.version, PACKET_BYTES_MAX);
    }
}

/// In which version a CONNECT that cannot be read is answered; none: not at all. MQTT 5 has a code for each fault; 3.1.1 has
/// two that fit, and the first of them is for whoever speaks neither [MQTT-3.1.2-2].
fn version_to_answer_in(reason: ReasonCode, version: Option<Version>) -> Option<Version> {
    match (reason, version) {
        (_, Some(Version::V5)) => Some(Version::V5),
        (ReasonCode::UnsupportedProtocolVersion | ReasonCode::ClientIdentifierNotValid, _) => Some(Version::V311),
        _ => None,
    }
}

async fn admit(connect: Connect, peer: SocketAddr, house: &Arc<House>) -> Result<(Accepted, ConnAck), TurnedAway> {
    check_client_id(&connect)?;
    let (now, now_ms) = clocks();
    let asker = Asker { from: peer.ip(), now };
    let registry = house.auth.registry();
    let grant = log_in(&connect, house, asker, now_ms).await?;
    let token = grant.token();
    let key = session_key(&connect, &grant)?;
    let terms = terms(&connect, grant, house, now, now_ms)?;
    let (attachment, earlier) = house.broker.hub.attach(&key, token).await.map_err(|error| {
        warn!(client = %key, %error, "A client cannot come in.");
        TurnedAway::new(ReasonCode::QuotaExceeded, Refused::TooManySessions)
    })?;
    // Whoever was taken back after the login and before this had no connection yet that could have been ended.
    if house.auth.registry() != registry {
        log_in(&connect, house, asker, now_ms).await?;
    }
    let present = house.broker.presence.connected(&key, peer, connect.version);
    let resumed = resume(&connect, &terms.grant, &attachment, earlier, &house.broker);
    let connack = welcome(&connect, &key, &terms, &house.config, resumed.is_some());
    let session = house.broker.session(terms, resumed.unwrap_or_default(), now);
    Ok((Accepted { session, attachment, present }, connack))
}

fn check_client_id(connect: &Connect) -> Result<(), TurnedAway> {
    let too_long = connect.client_id.len() > CLIENT_ID_BYTES_MAX;
    // [MQTT-3.1.3-8] At 3.1.1 a session that is to be kept needs a name.
    let nameless = connect.version == Version::V311 && connect.client_id.is_empty() && !connect.clean_start;
    if too_long || nameless {
        return Err(TurnedAway::new(ReasonCode::ClientIdentifierNotValid, Refused::ClientId));
    }
    if connect.authentication.is_some() {
        return Err(TurnedAway::new(ReasonCode::BadAuthenticationMethod, Refused::Login));
    }
    Ok(())
}

async fn log_in(connect: &Connect, house: &Arc<House>, asker: Asker, now_ms: i64) -> Result<Arc<Grant>, TurnedAway> {
    let user_name = connect.user_name.as_ref().map_or("", Text::as_str);
    // A password that is no text is no token.
    let token =
        connect.password.as_ref().and_then(|password| std::str::from_utf8(password.as_bytes()).ok()).unwrap_or("");
    // Apart, since what a login may need (another issuer's answer) is nothing that each connection should hold.
    let login = Box::pin(house.auth.login(user_name, token, &connect.client_id, asker, now_ms)).await;
    login.map_err(|auth::Refused { reason, pause }| TurnedAway {
        code: login_code(reason),
        cause: Refused::Login,
        pause,
    })
}

/// The client learns whether to fix its client id, to wait, or to get another token; not what is wrong with this one.
fn login_code(refused: LoginRefused) -> ReasonCode {
    match refused {
        LoginRefused::WrongClientId => ReasonCode::ClientIdentifierNotValid,
        passing if passing.is_passing() => ReasonCode::ServerUnavailable,
        _ => ReasonCode::NotAuthorized,
    }
}

fn session_key(connect: &Connect, grant: &Grant) -> Result<SessionKey, TurnedAway> {
    let principal = grant.principal().clone();
    let client_id = match (&principal, connect.client_id.as_str()) {
        // Its login has it so, and one text does for both.
        (Principal::Device(id), _) => id.clone(),
        (Principal::Service(_), "") => random_client_id()?,
        (_, given) => given.into(),
    };
    Ok(SessionKey { principal, client_id })
}

fn random_client_id() -> Result<Arc<str>, TurnedAway> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| TurnedAway::new(ReasonCode::ServerUnavailable, Refused::Login))?;
    Ok(format!("auto-{}", hex::encode(bytes)).into())
}

fn terms(connect: &Connect, grant: Arc<Grant>, house: &House, now: Instant, now_ms: i64) -> Result<Terms, TurnedAway> {
    let config = &house.config;
    let valid_for_ms = u64::try_from(grant.expires_at_ms().saturating_sub(now_ms)).unwrap_or(0);
    let keep_alive_secs = keep_alive_secs(connect, config);
    let broker = &house.broker.config;
    let topics = TopicBounds { bytes_max: broker.topic_bytes_max, levels_max: broker.topic_levels_max };
    Ok(Terms {
        version: connect.version,
        will: will(connect, &grant, topics)?.map(Box::new),
        receive_maximum: config.receive_maximum,
        in_flight_max: config.in_flight_max,
        client_receive_maximum: connect.receive_max.map_or(u16::MAX, u16::from).min(config.send_maximum),
        client_bytes_max: house.broker.config.queue_bytes_max,
        together: house.broker.hub.together(),
        client_packet_bytes_max: connect.packet_bytes_max.map_or(PACKET_BYTES_MAX, u32::from),
        problem_information: match connect.request_problem_information {
            true => ProblemInformation::Wanted,
            false => ProblemInformation::Unwanted,
        },
        // [MQTT-3.1.2-22] One and a half times the keep-alive.
        silence_max: (keep_alive_secs > 0).then(|| Duration::from_millis(u64::from(keep_alive_secs) * 1500)),
        grant_ends: now + Duration::from_millis(valid_for_ms),
        retries_until: house.broker.retries_until(now),
        subscriptions_max: house.broker.config.subscriptions_per_session_max,
        topics,
        expiry: session_expiry(connect, &house.broker.config),
        expiry_max: house.broker.config.session_expiry_max,
        grant,
    })
}

/// The client's own, or at MQTT 5 ours where the client's is longer [MQTT-3.1.2-21]; 3.1.1 has no way to say so.
fn keep_alive_secs(connect: &Connect, config: &Config) -> u16 {
    match (connect.version, connect.keep_alive_secs) {
        (Version::V5, 0) => config.keep_alive_secs_max,
        (Version::V5, wanted) => wanted.min(config.keep_alive_secs_max),
        (Version::V311, wanted) => wanted,
    }
}

fn session_expiry(connect: &Connect, broker: &broker::Config) -> Duration {
    let wanted = match connect.version {
        Version::V311 if connect.clean_start => Duration::ZERO,
        Version::V311 => Duration::MAX,
        Version::V5 => Duration::from_secs(connect.session_expiry_secs.into()),
    };
    wanted.min(broker.session_expiry_max)
}

fn will(connect: &Connect, grant: &Grant, topics: TopicBounds) -> Result<Option<Will>, TurnedAway> {
    let Some(will) = &connect.will else { return Ok(None) };
    if !topics.hold(will.topic.as_str()) {
        return Err(TurnedAway::new(ReasonCode::TopicNameInvalid, Refused::Will));
    }
    if !grant.may_publish(&will.topic) {
        return Err(TurnedAway::new(ReasonCode::NotAuthorized, Refused::Will));
    }
    if will.retain && connect.version == Version::V5 {
        return Err(TurnedAway::new(ReasonCode::RetainNotSupported, Refused::Will)); // [MQTT-3.2.2-13]
    }
    Ok(Some(Will {
        message: Message::from_will(will),
        telemetry_of: telemetry_of(grant, &will.topic),
        delay: Duration::from_secs(will.delay_secs.into()),
    }))
}

/// What an earlier connection left, unless the client wants to start anew.
fn resume(
    connect: &Connect,
    grant: &Grant,
    attachment: &Attachment,
    earlier: Option<Earlier>,
    broker: &Broker,
) -> Option<SessionState> {
    let Earlier { mut state, will } = earlier?;
    if connect.clean_start {
        attachment.start_clean(&state); // [MQTT-3.1.2-4]
        // The session has ended before its will was due [MQTT-3.1.3-9].
        will.map(|will| tokio::spawn(broker.clone().publish_will(will)));
        return None;
    }
    attachment.resume(&mut state, grant);
    Some(state) // [MQTT-3.1.2-5]
}

fn welcome(connect: &Connect, key: &SessionKey, terms: &Terms, config: &Config, session_present: bool) -> ConnAck {
    let assigned = connect.client_id.is_empty().then(|| Text::try_from(&*key.client_id).ok()).flatten();
    let keep_alive_secs = keep_alive_secs(connect, config);
    let expiry_secs = u32::try_from(terms.expiry.as_secs()).unwrap_or(u32::MAX);
    ConnAck {
        session_present,
        receive_max: NonZeroU16::new(config.receive_maximum),
        packet_bytes_max: NonZeroU32::new(config.packet_bytes_max),
        retain_available: false,
        subscription_ids_available: false,
        shared_subscriptions_available: false,
        assigned_client_id: assigned, // [MQTT-3.2.2-16]
        keep_alive_secs: (keep_alive_secs != connect.keep_alive_secs).then_some(keep_alive_secs), // [MQTT-3.1.2-21]
        session_expiry_secs: (expiry_secs != connect.session_expiry_secs).then_some(expiry_secs),
        ..ConnAck::new(ReasonCode::Success)
    }
}

fn refusal(code: ReasonCode) -> Packet {
    Packet::ConnAck(ConnAck::new(code).into()) // [MQTT-3.2.2-6]
}

/// What MQTT 5 says to a client whose connection the gateway ends; 3.1.1 has no packet for it.
pub(super) fn goodbye(ended: Ended, version: Version) -> Option<Packet> {
    if version == Version::V311 {
        return None;
    }
    let (reason, words) = match ended {
        Ended::ByClient | Ended::Gone | Ended::NotReading => return None,
        Ended::PeerMisbehaved(reason) => (reason, None),
        Ended::Silent => (ReasonCode::KeepAliveTimeout, None),
        Ended::TokenExpired => (ReasonCode::NotAuthorized, Some("the access token has expired")),
        Ended::TakenOver => (ReasonCode::SessionTakenOver, None),
        Ended::Revoked => (ReasonCode::NotAuthorized, Some("the login was taken back")),
        Ended::MessageLost => (ReasonCode::ServerBusy, Some("a message could not be committed; send it again")),
        Ended::ShuttingDown => (ReasonCode::ServerShuttingDown, None),
    };
    let reason_string = words.map(Text::from_static);
    Some(Packet::Disconnect(Disconnect { reason_string, ..Disconnect::new(reason) }))
}

#[expect(clippy::disallowed_methods, reason = "a driver")]
fn clocks() -> (Instant, i64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
