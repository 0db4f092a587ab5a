//! An envelope that is parsed and not yet verified, and its opening.
//!
//! The type keeps the order of the specification: what [`Sealed::parse`] checks needs no key, then the caller looks up sender
//! and key version by the header, and only [`Sealed::open`] gives the payload. Time, content and counter are the caller's.

#[cfg(feature = "jws")]
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use core::ops::Deref;

use crate::direction::{Context, Direction};
use crate::fault::Fault;
use crate::header::{Algorithm, Encoding, Header};
use crate::key::Key;
use crate::reason::Reason;
use crate::tag::Tag;
use crate::{DeviceId, frame};

/// What an operator sets about opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The length of the longest envelope that is looked at.
    pub bytes_max: usize,
    /// What becomes of tags of 8 bytes.
    pub truncated_tag: TruncatedTag,
}

impl Default for Policy {
    /// 64 KiB, and truncated tags are refused.
    fn default() -> Self {
        Self { bytes_max: 65_536, truncated_tag: TruncatedTag::Refuse }
    }
}

impl Policy {
    pub(crate) fn admit(&self, algorithm: Algorithm) -> Result<Algorithm, Fault> {
        match (algorithm, self.truncated_tag) {
            (Algorithm::HmacSha256Truncated, TruncatedTag::Refuse) => {
                Err(Fault::malformed("the tag is truncated, which the policy does not allow"))
            }
            _ => Ok(algorithm),
        }
    }
}

/// What becomes of tags of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncatedTag {
    /// They are malformed.
    Refuse,
    /// They open.
    Allow,
}

/// An envelope that parsed: whole, with a header in range, and not yet known to be genuine.
pub struct Sealed<'a> {
    header: Header,
    tag: Tag,
    body: Body<'a>,
}

/// What the seal covers, in the form that each encoding needs to make the tag anew.
pub(crate) enum Body<'a> {
    Frame {
        signed: &'a [u8],
        payload: &'a [u8],
    },
    #[cfg(feature = "cose")]
    Cose {
        protected: &'a [u8],
        payload: &'a [u8],
    },
    #[cfg(feature = "jws")]
    Jws {
        signed: &'a [u8],
        carried: Box<Carried>,
    },
}

/// What a JWS carries in base64url. It is apart, so that it does not make every frame's `Sealed` three times as large.
#[cfg(feature = "jws")]
pub(crate) struct Carried {
    pub(crate) subject: DeviceId,
    pub(crate) payload: Vec<u8>,
}

impl<'a> Sealed<'a> {
    /// Takes `bytes` apart as far as no key is needed. Fails with [`Reason::TooLarge`], [`Reason::Malformed`] or
    /// [`Reason::Corrupt`], which is the order in which they are looked for.
    pub fn parse(bytes: &'a [u8], policy: &Policy) -> Result<Self, Reason> {
        Self::take_apart(bytes, policy).map_err(|fault| fault.reason)
    }

    pub(crate) fn take_apart(bytes: &'a [u8], policy: &Policy) -> Result<Self, Fault> {
        if bytes.len() > policy.bytes_max {
            return Err(Fault { reason: Reason::TooLarge, why: "it is longer than the limit" });
        }
        match Encoding::of(bytes.first().copied()) {
            Some(Encoding::Frame) => frame::parse(bytes, policy),
            #[cfg(feature = "cose")]
            Some(Encoding::Cose) => crate::cose::parse(bytes, policy),
            #[cfg(feature = "jws")]
            Some(Encoding::Jws) => crate::jws::parse(bytes),
            _ => Err(Fault::malformed("the first byte is that of no known encoding")),
        }
    }

    pub(crate) fn new(header: Header, tag: Tag, body: Body<'a>) -> Self {
        Self { header, tag, body }
    }

    /// What it says besides its payload.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The tag as sent, to be compared with a stored one.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// The payload, if `key` sealed it for `device` in this `direction`; else [`Reason::BadSeal`].
    pub fn open(&self, key: &Key, device: &DeviceId, direction: Direction) -> Result<Payload<'a>, Reason> {
        self.verify(key, device, direction).map_err(|fault| fault.reason)?;
        Ok(self.payload())
    }

    pub(crate) fn verify(&self, key: &Key, device: &DeviceId, direction: Direction) -> Result<(), Fault> {
        if self.header.encoding != Encoding::Frame && direction != Direction::FromDevice {
            return Err(Fault::bad_seal("to the device there are frames alone"));
        }
        if !self.is_about(device) {
            return Err(Fault::bad_seal("its subject is another device"));
        }
        if self.tag_anew(key, &Context::new(device, direction)) != self.tag {
            return Err(Fault::bad_seal("the tag does not fit: another key, device or direction, or changed bytes"));
        }
        Ok(())
    }

    /// A JWS names its device, the others have it under the MAC.
    fn is_about(&self, device: &DeviceId) -> bool {
        match &self.body {
            #[cfg(feature = "jws")]
            Body::Jws { carried, .. } => carried.subject == *device,
            _ => true,
        }
    }

    fn tag_anew(&self, key: &Key, context: &Context) -> Tag {
        let algorithm = self.tag.algorithm();
        match &self.body {
            Body::Frame { signed, .. } => frame::tag_of(signed, algorithm, key, context),
            #[cfg(feature = "cose")]
            Body::Cose { protected, payload } => crate::cose::tag_of(protected, payload, algorithm, key, context),
            #[cfg(feature = "jws")]
            Body::Jws { signed, .. } => crate::jws::tag_of(signed, key),
        }
    }

    fn payload(&self) -> Payload<'a> {
        match &self.body {
            Body::Frame { payload, .. } => Payload::Borrowed(payload),
            #[cfg(feature = "cose")]
            Body::Cose { payload, .. } => Payload::Borrowed(payload),
            #[cfg(feature = "jws")]
            Body::Jws { carried, .. } => Payload::Owned(carried.payload.clone()),
        }
    }
}

impl fmt::Debug for Sealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("header", &self.header).finish_non_exhaustive()
    }
}

/// What was sealed.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A part of the message.
    Borrowed(&'a [u8]),
    /// A JWS carries its payload in base64url.
    #[cfg(feature = "jws")]
    Owned(Vec<u8>),
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            #[cfg(feature = "jws")]
            Payload::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A payload is nothing for a log.
        write!(f, "Payload({} bytes)", self.len())
    }
}
