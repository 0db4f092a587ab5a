//! What fleet is run, against which gateway, how fast, and what goes wrong in it.

use std::time::Duration;

use clap::ValueEnum;
use oauth2::TokenUrl;
use thiserror::Error;

use super::fault::FaultRates;
use super::link::MqttVersion;
use crate::seal::Encoding;
use crate::{Counter, Keep};

/// All that a fleet is told. The number of devices is that of their credentials.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where MQTT is spoken: `host:port`.
    pub gateway: String,
    /// The token endpoint, `http://…`.
    pub token_url: String,
    /// An account of the broker that all devices log in with, where it is another's and takes no tokens; none: each has its own name and
    /// token.
    pub account: Option<Account>,
    /// What the devices speak.
    pub mqtt: MqttVersions,
    /// How they seal.
    pub encoding: Encodings,
    /// How their readings are written.
    pub content: Content,
    /// Messages a second of each device: more than 0, at most [`RATE_MAX`].
    pub rate: f64,
    /// After so many messages a device is done.
    pub messages_max: Option<u64>,
    /// About how long a payload is, in bytes, at most [`PAYLOAD_BYTES_MAX`]; what is too short for one reading is one reading.
    pub payload_bytes: usize,
    /// Messages of a device that are not acknowledged, 2 at least; the gateway may ask for fewer.
    pub window: u16,
    /// What chance begins with. Connections draw from it too, so two runs are alike as long as the gateway answers alike.
    pub seed: u64,
    /// How often the fleet has been booted: greater than ever before for these credentials, or counters are used again.
    pub boot_count: u32,
    /// What lets a device drop its copy of a message.
    pub keep_until: KeepUntil,
    /// What an acknowledgement without a reason means.
    pub puback: PubAck,
    /// How long after its acknowledgement a message waits for its receipt until it is sent again, if it is kept for one.
    pub receipt_timeout: Duration,
    /// What goes wrong, and how often.
    pub faults: FaultRates,
    /// What the gateway thinks of time.
    pub policy: GatewayPolicy,
    /// Over how long the devices are switched on, one after the other.
    pub ramp: Duration,
    /// The first pause before a device connects again; later ones double.
    pub backoff_base: Duration,
    /// The longest.
    pub backoff_max: Duration,
    /// MQTT's keep-alive.
    pub keep_alive_secs: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            gateway: "127.0.0.1:1883".to_owned(),
            token_url: "http://127.0.0.1:8080/oauth/token".to_owned(),
            account: None,
            mqtt: MqttVersions::Mixed,
            encoding: Encodings::Frame,
            content: Content::SenmlJson,
            rate: 1.0,
            messages_max: None,
            payload_bytes: 140,
            window: 32,
            seed: 0,
            boot_count: 0,
            keep_until: KeepUntil::Ack,
            puback: PubAck::Verdict,
            receipt_timeout: Duration::from_secs(10),
            faults: FaultRates::default(),
            policy: GatewayPolicy::default(),
            ramp: Duration::ZERO,
            backoff_base: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            keep_alive_secs: 60,
        }
    }
}

impl Settings {
    /// What is wrong with them, if anything is; else the token endpoint.
    pub fn check(&self) -> Result<TokenUrl, BadSettings> {
        if !self.faults.are_valid() {
            return Err(BadSettings::Faults);
        }
        if !(self.rate > 0.0 && self.rate <= RATE_MAX) {
            return Err(BadSettings::Rate);
        }
        if self.payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(BadSettings::PayloadBytes);
        }
        if self.receipt_timeout.is_zero() {
            return Err(BadSettings::ReceiptTimeout);
        }
        let policy = [self.policy.age_max.unwrap_or_default(), self.policy.future_tolerance];
        let times = policy.into_iter().chain([self.ramp, self.receipt_timeout]);
        if times.into_iter().any(|time| time > TIME_MAX) {
            return Err(BadSettings::Time);
        }
        if self.boot_count > BOOT_COUNT_MAX || Counter::at_boot(self.boot_count).is_err() {
            return Err(BadSettings::BootCount(self.boot_count));
        }
        TokenUrl::new(self.token_url.clone()).map_err(|_| BadSettings::TokenUrl(self.token_url.clone()))
    }
}

/// Why no fleet can be run like this.
#[derive(Debug, Error)]
pub enum BadSettings {
    /// The token endpoint has no address that can be read.
    #[error("the token endpoint {0} is no address")]
    TokenUrl(String),
    /// Probabilities outside 0..=1, or more than 1 together.
    #[error(
        "probabilities of faults lie between 0 and 1, and those of the eleven that befall messages are 1 together at most"
    )]
    Faults,
    /// It does not fit into a counter.
    #[error("the boot count {0} is too large for the counters of this encoding")]
    BootCount(u32),
    /// A rate that is no rate.
    #[error("a rate must be more than 0 and at most 1,000,000 messages a second")]
    Rate,
    /// No envelope of the gateway's default limit holds it.
    #[error("a payload has 48,000 bytes at most: in the longest encoding that is an envelope of 64 KiB")]
    PayloadBytes,
    /// What is sent again at once never waits.
    #[error("a receipt has to be waited for: its time-out must be more than 0")]
    ReceiptTimeout,
    /// Nobody waits as long.
    #[error("a time must be ten years at most")]
    Time,
}

/// Messages a second of one device at most.
pub const RATE_MAX: f64 = 1e6;

/// A payload at most: as a JWS, which is the longest, it is an envelope of 64 KiB, what a gateway takes by default.
pub const PAYLOAD_BYTES_MAX: usize = 48_000;

const TIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A JWS counts to 2^53 - 1 only, and 32 bits of that are for messages.
const BOOT_COUNT_MAX: u32 = (1 << 21) - 1;

/// The gateway's policy on device time, as far as an expectation needs it (`[seal]` in its configuration).
#[derive(Clone, Copy, Debug)]
pub struct GatewayPolicy {
    /// What is older is `stale`; none: nothing is.
    pub age_max: Option<Duration>,
    /// What is further ahead is `future`.
    pub future_tolerance: Duration,
}

impl Default for GatewayPolicy {
    fn default() -> Self {
        GatewayPolicy { age_max: None, future_tolerance: Duration::from_secs(300) }
    }
}

/// What the devices of a fleet speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MqttVersions {
    /// MQTT 3.1.1.
    #[value(name = "3.1.1")]
    V311,
    /// MQTT 5.0.
    #[value(name = "5")]
    V5,
    /// One and the other in turn.
    Mixed,
}

/// A user name and a password of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What an acknowledgement without a reason means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PubAck {
    /// Verified and committed: the broker is Sealgate. At 3.1.1 it says nothing all the same.
    Verdict,
    /// Received: the broker is another, and knows nothing of seals.
    Received,
}

/// What lets a device drop its copy of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeepUntil {
    /// PUBACK.
    Ack,
    /// A receipt on `devices/{id}/receipts`, sealed under the device's key, that names the message.
    Receipt,
}

/// How the devices of a fleet seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encodings {
    /// Frames.
    Frame,
    /// COSE_Mac0.
    Cose,
    /// JWS compact.
    Jws,
    /// One after the other.
    Mixed,
}

/// How readings are written (RFC 8428).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Content {
    /// SenML in JSON, content format 110.
    SenmlJson,
    /// SenML in CBOR, content format 112.
    SenmlCbor,
}

impl MqttVersions {
    /// What the device at this place speaks.
    pub fn of(self, place: usize) -> MqttVersion {
        match self {
            MqttVersions::V311 => MqttVersion::V311,
            MqttVersions::V5 => MqttVersion::V5,
            MqttVersions::Mixed if place.is_multiple_of(2) => MqttVersion::V5,
            MqttVersions::Mixed => MqttVersion::V311,
        }
    }
}

impl Encodings {
    /// How the device at this place seals. Two neighbours seal alike, so that each encoding meets each version of MQTT.
    pub fn of(self, place: usize) -> Encoding {
        const IN_TURN: [Encoding; 3] = [Encoding::Frame, Encoding::Cose, Encoding::Jws];
        match self {
            Encodings::Frame => Encoding::Frame,
            Encodings::Cose => Encoding::Cose,
            Encodings::Jws => Encoding::Jws,
            Encodings::Mixed => IN_TURN[place / 2 % IN_TURN.len()],
        }
    }
}

impl KeepUntil {
    /// The same to the device, whose time-out is so long.
    pub(super) fn of(self, receipt_timeout: Duration) -> Keep {
        let patience_ms = u64::try_from(receipt_timeout.as_millis()).unwrap_or(u64::MAX);
        match self {
            KeepUntil::Ack => Keep::UntilAck,
            KeepUntil::Receipt => Keep::UntilReceipt { patience_ms: patience_ms.max(1) },
        }
    }
}

impl Content {
    /// The CoAP content-format.
    pub fn format(self) -> u16 {
        match self {
            Content::SenmlJson => 110,
            Content::SenmlCbor => 112,
        }
    }
}
