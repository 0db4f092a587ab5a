//! Reason codes: what became of a request, and why a connection ends (MQTT 5.0, section 2.4).
//!
//! MQTT 3.1.1 has codes in CONNACK and SUBACK alone; they are turned into these and back here, so that nothing else has
//! to know.

use std::fmt;

macro_rules! reason_codes {
    ($($name:ident = $value:literal, $words:literal;)*) => {
        /// A reason code of MQTT 5.0. Codes from 0x80 on are failures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = concat!("\"", $words, "\"")] $name = $value,)*
        }

        impl ReasonCode {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$name,)*];

            /// The code with this number.
            pub fn from_u8(value: u8) -> Option<ReasonCode> {
                match value {
                    $($value => Some(ReasonCode::$name),)*
                    _ => None,
                }
            }

            /// The standard's name for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ReasonCode::$name => $words,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success";
    GrantedQoS1 = 0x01, "Granted QoS 1";
    GrantedQoS2 = 0x02, "Granted QoS 2";
    DisconnectWithWill = 0x04, "Disconnect with Will Message";
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    NoSubscriptionExisted = 0x11, "No subscription existed";
    ContinueAuthentication = 0x18, "Continue authentication";
    ReAuthenticate = 0x19, "Re-authenticate";
    UnspecifiedError = 0x80, "Unspecified error";
    MalformedPacket = 0x81, "Malformed Packet";
    ProtocolError = 0x82, "Protocol Error";
    ImplementationSpecificError = 0x83, "Implementation specific error";
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    NotAuthorized = 0x87, "Not authorized";
    ServerUnavailable = 0x88, "Server unavailable";
    ServerBusy = 0x89, "Server busy";
    Banned = 0x8A, "Banned";
    ServerShuttingDown = 0x8B, "Server shutting down";
    BadAuthenticationMethod = 0x8C, "Bad authentication method";
    KeepAliveTimeout = 0x8D, "Keep Alive timeout";
    SessionTakenOver = 0x8E, "Session taken over";
    TopicFilterInvalid = 0x8F, "Topic Filter invalid";
    TopicNameInvalid = 0x90, "Topic Name invalid";
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    PacketTooLarge = 0x95, "Packet too large";
    MessageRateTooHigh = 0x96, "Message rate too high";
    QuotaExceeded = 0x97, "Quota exceeded";
    AdministrativeAction = 0x98, "Administrative action";
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    RetainNotSupported = 0x9A, "Retain not supported";
    QoSNotSupported = 0x9B, "QoS not supported";
    UseAnotherServer = 0x9C, "Use another server";
    ServerMoved = 0x9D, "Server moved";
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported";
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded";
    MaximumConnectTime = 0xA0, "Maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported";
}

/// Where a code stands; each place has codes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// [MQTT-3.2.2-8]
    ConnAck,
    /// PUBACK and PUBREC. [MQTT-3.4.2-1], [MQTT-3.5.2-1]
    Taken,
    /// PUBREL and PUBCOMP. [MQTT-3.6.2-1], [MQTT-3.7.2-1]
    Released,
    /// [MQTT-3.9.3-2]
    SubAck,
    /// [MQTT-3.11.3-2]
    UnsubAck,
    /// A DISCONNECT that a client sends. [MQTT-3.14.2-1]
    ClientDisconnect,
    /// A DISCONNECT that a server sends. [MQTT-3.14.2-1]
    ServerDisconnect,
    /// An AUTH that a client sends. [MQTT-3.15.2-1]
    ClientAuth,
    /// An AUTH that a server sends. [MQTT-3.15.2-1]
    ServerAuth,
}

impl ReasonCode {
    /// The number in the packet.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// Whether it tells of a failure.
    pub fn is_failure(self) -> bool {
        self.as_u8() >= 0x80
    }

    /// The return code that says it best in a CONNACK of MQTT 3.1.1 (its table 3.1).
    pub fn connect_return_code(self) -> u8 {
        match self {
            code if !code.is_failure() => 0,
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::BadUserNameOrPassword => 4,
            ReasonCode::NotAuthorized | ReasonCode::Banned | ReasonCode::BadAuthenticationMethod => 5,
            _ => 3,
        }
    }

    /// What a return code of MQTT 3.1.1 is here.
    pub(super) fn from_connect_return_code(code: u8) -> Option<ReasonCode> {
        Some(match code {
            0 => ReasonCode::Success,
            1 => ReasonCode::UnsupportedProtocolVersion,
            2 => ReasonCode::ClientIdentifierNotValid,
            3 => ReasonCode::ServerUnavailable,
            4 => ReasonCode::BadUserNameOrPassword,
            5 => ReasonCode::NotAuthorized,
            _ => return None,
        })
    }

    /// What a SUBACK of MQTT 3.1.1 says: the QoS granted, or failure. 3.1.1 [MQTT-3.9.3-2]
    pub(super) fn subscribe_return_code(self) -> u8 {
        if self.is_failure() { ReasonCode::UnspecifiedError.as_u8() } else { self.as_u8() }
    }

    /// The code with this number, if it may stand in `place`.
    pub(super) fn in_place(value: u8, place: Place) -> Option<ReasonCode> {
        let stands = place.numbers().iter().any(|numbers| numbers.contains(&value));
        if stands { ReasonCode::from_u8(value) } else { None }
    }
}

impl Place {
    /// The numbers that may stand here, as ranges; those in a range that are no code at all are sorted out by
    /// [`ReasonCode::from_u8`].
    fn numbers(self) -> &'static [std::ops::RangeInclusive<u8>] {
        match self {
            Place::ConnAck => {
                &[0..=0, 0x80..=0x8A, 0x8C..=0x8C, 0x90..=0x90, 0x95..=0x95, 0x97..=0x97, 0x99..=0x9D, 0x9F..=0x9F]
            }
            Place::Taken => {
                &[0..=0, 0x10..=0x10, 0x80..=0x80, 0x83..=0x83, 0x87..=0x87, 0x90..=0x91, 0x97..=0x97, 0x99..=0x99]
            }
            Place::Released => &[0..=0, 0x92..=0x92],
            Place::SubAck => &[
                0..=2,
                0x80..=0x80,
                0x83..=0x83,
                0x87..=0x87,
                0x8F..=0x8F,
                0x91..=0x91,
                0x97..=0x97,
                0x9E..=0x9E,
                0xA1..=0xA2,
            ],
            Place::UnsubAck => &[0..=0, 0x11..=0x11, 0x80..=0x80, 0x83..=0x83, 0x87..=0x87, 0x8F..=0x8F, 0x91..=0x91],
            Place::ClientDisconnect => &[0..=0, 4..=4, 0x80..=0x83, 0x90..=0x90, 0x93..=0x99],
            Place::ServerDisconnect => {
                &[0..=0, 0x80..=0x83, 0x87..=0x87, 0x89..=0x89, 0x8B..=0x8B, 0x8D..=0x90, 0x93..=0xA2]
            }
            Place::ClientAuth => &[0x18..=0x19],
            Place::ServerAuth => &[0..=0, 0x18..=0x18],
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(place: Place) -> Vec<u8> {
        (0..=255).filter(|value| ReasonCode::in_place(*value, place).is_some()).collect()
    }

    #[test]
    fn each_place_has_the_codes_of_its_table() {
        // The tables of sections 3.2.2.2, 3.4.2.1, 3.6.2.1, 3.9.3, 3.11.3 and 3.14.2.1, by the length of each.
        let counts = [
            (Place::ConnAck, 22),
            (Place::Taken, 9),
            (Place::Released, 2),
            (Place::SubAck, 12),
            (Place::UnsubAck, 7),
            (Place::ClientDisconnect, 14),
            (Place::ServerDisconnect, 28),
        ];
        for (place, count) in counts {
            assert_eq!(numbers(place).len(), count, "{place:?}: {:x?}", numbers(place));
        }
        assert_eq!(numbers(Place::ClientAuth), [0x18, 0x19]);
        assert_eq!(numbers(Place::Taken), [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
    }

    #[test]
    fn a_code_is_its_number() {
        assert_eq!(ReasonCode::ALL.len(), 43);
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_u8(code.as_u8()), Some(*code));
        }
        assert_eq!(ReasonCode::from_u8(0x03), None);
    }

    #[test]
    fn the_return_codes_of_3_1_1_survive() {
        for code in 0..=5 {
            assert_eq!(ReasonCode::from_connect_return_code(code).unwrap().connect_return_code(), code);
        }
        assert_eq!(ReasonCode::from_connect_return_code(6), None);
    }
}
