//! Fields of a packet, one after the other. Whatever is longer than the packet is [`DecodeError::Truncated`]; nothing
//! here allocates, and every slice shares the packet's memory.

use std::num::NonZeroU16;

use bytes::{Buf, Bytes};

use super::DecodeError;
use crate::mqtt::binary::Binary;
use crate::mqtt::text::Text;
use crate::mqtt::topic::{Filter, Topic};
use crate::mqtt::varint;

/// What is left of a packet.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Reader {
        Reader(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.0.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.0.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    /// A Variable Byte Integer, of which MQTT 5.0 alone has some in a packet's body.
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        let varint = varint::read(&self.0)?.ok_or(DecodeError::Truncated)?;
        varint.check_minimal()?; // [MQTT-1.5.5-1]
        self.0.advance(varint.bytes);
        Ok(varint.value)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = usize::from(self.u16()?);
        self.split(length)
    }

    pub(super) fn binary(&mut self) -> Result<Binary, DecodeError> {
        Ok(self.bytes()?.try_into()?)
    }

    pub(super) fn text(&mut self) -> Result<Text, DecodeError> {
        Ok(self.bytes()?.try_into()?)
    }

    pub(super) fn topic(&mut self) -> Result<Topic, DecodeError> {
        Topic::new(self.text()?).map_err(DecodeError::Topic)
    }

    pub(super) fn filter(&mut self) -> Result<Filter, DecodeError> {
        Filter::new(self.text()?).map_err(DecodeError::Filter)
    }

    pub(super) fn packet_id(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.u16()?).ok_or(DecodeError::PacketIdZero) // [MQTT-2.2.1-3]
    }

    /// What a length in front says is apart: the properties of a packet.
    pub(super) fn part(&mut self) -> Result<Reader, DecodeError> {
        let length = self.varint()? as usize;
        Ok(Reader(self.split(length)?))
    }

    /// All that is left.
    pub(super) fn rest(self) -> Bytes {
        self.0
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::BytesLeftOver) }
    }

    fn split(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.0.len() { Err(DecodeError::Truncated) } else { Ok(self.0.split_to(length)) }
    }
}
