//! Packets that say what became of something: PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH.
//!
//! MQTT 5.0 lets each end before its reason code, which is then Success, or before its properties, of which there are
//! then none.

use super::properties::{Properties, Property, authentication, push, words};
use super::reader::Reader;
use super::{DecodeError, Peer};
use crate::mqtt::packet::{Ack, Auth, Disconnect, Version};
use crate::mqtt::reason::{Place, ReasonCode};

pub(super) fn ack(mut body: Reader, version: Version, place: Place) -> Result<Ack, DecodeError> {
    let mut ack = Ack::new(body.packet_id()?, ReasonCode::Success);
    if version == Version::V5 {
        ack.code = code_or_success(&mut body, place)?;
        if !body.is_empty() {
            (ack.reason_string, ack.user_properties) = words(&mut body)?;
        }
    }
    body.end()?;
    Ok(ack)
}

pub(super) fn disconnect(mut body: Reader, version: Version, peer: Peer) -> Result<Disconnect, DecodeError> {
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    if version == Version::V5 {
        let place = match peer {
            Peer::Client => Place::ClientDisconnect,
            Peer::Server => Place::ServerDisconnect,
        };
        disconnect.code = code_or_success(&mut body, place)?;
        if !body.is_empty() {
            disconnect_properties(&mut body, peer, &mut disconnect)?;
        }
    }
    body.end()?;
    Ok(disconnect)
}

fn disconnect_properties(body: &mut Reader, peer: Peer, disconnect: &mut Disconnect) -> Result<(), DecodeError> {
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            // [MQTT-3.14.2-2]
            Property::SessionExpirySecs(secs) if peer == Peer::Client => disconnect.session_expiry_secs = Some(secs),
            Property::ReasonString(text) => disconnect.reason_string = Some(text),
            Property::ServerReference(text) => disconnect.server_reference = Some(text),
            Property::User(name, value) => push(&mut disconnect.user_properties, (name, value))?,
            _ => return Err(properties.refuse()),
        }
    }
    Ok(())
}

pub(super) fn auth(mut body: Reader, peer: Peer) -> Result<Auth, DecodeError> {
    let place = match peer {
        Peer::Client => Place::ClientAuth,
        Peer::Server => Place::ServerAuth,
    };
    let is_short = body.is_empty();
    let code = code_or_success(&mut body, place)?;
    let mut auth = Auth { code, authentication: None, reason_string: None, user_properties: Vec::new() };
    if !is_short {
        auth_properties(&mut body, &mut auth)?;
    }
    body.end()?;
    Ok(auth)
}

fn auth_properties(body: &mut Reader, auth: &mut Auth) -> Result<(), DecodeError> {
    let (mut method, mut data) = (None, None);
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::AuthenticationMethod(text) => method = Some(text),
            Property::AuthenticationData(bytes) => data = Some(bytes),
            Property::ReasonString(text) => auth.reason_string = Some(text),
            Property::User(name, value) => push(&mut auth.user_properties, (name, value))?,
            _ => return Err(properties.refuse()),
        }
    }
    auth.authentication = authentication(method, data)?;
    // Section 3.15.2.2.2.
    if auth.authentication.is_none() { Err(DecodeError::AuthenticationMethodMissing) } else { Ok(()) }
}

fn code_or_success(body: &mut Reader, place: Place) -> Result<ReasonCode, DecodeError> {
    let code = if body.is_empty() { ReasonCode::Success.as_u8() } else { body.u8()? };
    ReasonCode::in_place(code, place).ok_or(DecodeError::Reason(code))
}
