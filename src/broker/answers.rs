//! The one place where verdicts become MQTT reason codes, and answers become packets.

use std::num::NonZeroU16;

use super::inbound::Answer;
use crate::ingest::{Reason, Settled};
use crate::mqtt::{Ack, ReasonCode, Text};

/// The answer that a settled receipt asks for; none: the message is lost, and there is none.
pub(super) fn answer(settled: Settled) -> Option<Answer> {
    match settled {
        Settled::Stored | Settled::Duplicate(_) => Some(Answer::SUCCESS),
        Settled::Spooled => Some(Answer { reason: Some("spooled"), ..Answer::SUCCESS }),
        Settled::Rejected { reason, detail, .. } => {
            Some(Answer { code: reason_code(reason), reason: Some(reason.as_str()), detail })
        }
        Settled::Lost => None,
    }
}

/// The specification's table "Answers".
fn reason_code(reason: Reason) -> ReasonCode {
    match reason {
        Reason::Malformed | Reason::Corrupt | Reason::BadSeal | Reason::BadPayload => ReasonCode::PayloadFormatInvalid,
        Reason::UnknownDevice | Reason::DeviceDisabled | Reason::UnknownKey => ReasonCode::NotAuthorized,
        Reason::TooLarge => ReasonCode::QuotaExceeded,
        Reason::Replayed | Reason::Stale | Reason::Future => ReasonCode::ImplementationSpecificError,
    }
}

/// An acknowledgement with the answer's words.
pub(super) fn ack(packet_id: NonZeroU16, answer: Answer) -> Ack {
    let detail = answer.detail.and_then(|detail| Text::try_from(String::from(detail)).ok());
    Ack {
        reason_string: answer.reason.map(Text::from_static),
        user_properties: detail.map(|detail| (Text::from_static("detail"), detail)).into_iter().collect(),
        ..Ack::new(packet_id, answer.code)
    }
}
