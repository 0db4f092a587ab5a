//! Where bytes go: into a buffer, or into a count of them.

use bytes::{BufMut, BytesMut};

use crate::mqtt::packet::UserProperties;
use crate::mqtt::property as id;
use crate::mqtt::varint;

/// Takes the fields of a packet. Whatever has its length in front is at most 65,535 bytes long, which its type sees to.
pub(super) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn varint(&mut self, value: u32) {
        varint::write(value, |byte| self.u8(byte));
    }

    /// A string or binary data: the length, then the bytes.
    fn long(&mut self, bytes: &[u8]) {
        self.u16(bytes.len() as u16);
        self.bytes(bytes);
    }

    /// A property of one byte that is left out where it says its default.
    fn flag_unless(&mut self, default: bool, id: u8, value: bool) {
        if value != default {
            self.bytes(&[id, value.into()]);
        }
    }

    fn property_u16(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(id);
            self.u16(value);
        }
    }

    fn property_u32(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(id);
            self.u32(value);
        }
    }

    fn property_long(&mut self, id: u8, value: Option<&[u8]>) {
        if let Some(bytes) = value {
            self.u8(id);
            self.long(bytes);
        }
    }

    fn property_text(&mut self, id: u8, value: Option<&str>) {
        self.property_long(id, value.map(str::as_bytes));
    }

    fn user_properties(&mut self, properties: &UserProperties) {
        for (name, value) in properties {
            self.u8(id::USER);
            self.long(name.as_bytes());
            self.long(value.as_bytes());
        }
    }

    /// A part with its length in front.
    fn prefixed(&mut self, part: &impl Part)
    where
        Self: Sized,
    {
        self.varint(size_of(part) as u32);
        part.write(self);
    }
}

/// Something that has a layout.
pub(super) trait Part {
    fn write<S: Sink>(&self, out: &mut S);
}

/// The bytes that a part takes.
pub(super) fn size_of(part: &impl Part) -> usize {
    let mut count = Count(0);
    part.write(&mut count);
    count.0
}

/// Into a buffer.
pub(super) struct Put<'a>(pub(super) &'a mut BytesMut);

/// Into nothing.
struct Count(usize);

impl Sink for Put<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}

impl Sink for Count {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}
