//! Where an outbox keeps its messages: in arrays, as firmware must, or on a heap, where a host does not know yet how large they
//! will be.

use crate::outbox::State;
use crate::receipt::Digest;

/// Room for one sealed message.
pub trait Buffer {
    /// `bytes` of room, or all there is if that is less.
    fn room(&mut self, bytes: usize) -> &mut [u8];

    /// What is in it, from its beginning.
    fn bytes(&self) -> &[u8];
}

/// A place for one message in an outbox.
#[derive(Clone, Copy)]
pub struct Slot<B> {
    pub(crate) state: State,
    /// The place of the message among all that were put in.
    pub(crate) place: u64,
    pub(crate) packet_id: u16,
    /// What a receipt calls the message, where one is waited for.
    pub(crate) counter: Option<u64>,
    pub(crate) digest: Digest,
    pub(crate) len: usize,
    pub(crate) buffer: B,
}

/// All places of an outbox. Their number never changes.
pub trait Storage {
    /// What one message lies in.
    type Buffer: Buffer;

    /// The places.
    fn slots(&self) -> &[Slot<Self::Buffer>];

    /// The same, to be changed.
    fn slots_mut(&mut self) -> &mut [Slot<Self::Buffer>];
}

impl<B> Slot<B> {
    /// A free place.
    pub const fn free(buffer: B) -> Self {
        Self { state: State::Free, place: 0, packet_id: 0, counter: None, digest: [0; 8], len: 0, buffer }
    }
}

impl<const BYTES: usize> Buffer for [u8; BYTES] {
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        &mut self[..bytes.min(BYTES)]
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

impl<const SLOTS: usize, const BYTES: usize> Storage for [Slot<[u8; BYTES]>; SLOTS] {
    type Buffer = [u8; BYTES];

    fn slots(&self) -> &[Slot<[u8; BYTES]>] {
        self
    }

    fn slots_mut(&mut self) -> &mut [Slot<[u8; BYTES]>] {
        self
    }
}

#[cfg(feature = "host")]
impl Buffer for Vec<u8> {
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        self.clear();
        self.resize(bytes, 0);
        self
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

#[cfg(feature = "host")]
impl Storage for Vec<Slot<Vec<u8>>> {
    type Buffer = Vec<u8>;

    fn slots(&self) -> &[Slot<Vec<u8>>] {
        self
    }

    fn slots_mut(&mut self) -> &mut [Slot<Vec<u8>>] {
        self
    }
}
