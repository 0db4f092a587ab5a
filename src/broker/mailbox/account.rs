//! How much all queues hold together: one sum, and what each queue has put into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of all messages that wait for clients or were not acknowledged by them yet, and their bound. Clones are one.
#[derive(Debug, Clone)]
pub struct Together {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// One queue's part of the sum. Dropping it takes the part out.
#[derive(Debug)]
pub(in crate::broker) struct Account {
    together: Together,
    bytes: usize,
}

impl Together {
    /// At most `bytes_max`, but that each connected session may always have one message.
    pub fn new(bytes_max: usize) -> Self {
        Together { bytes: Arc::default(), bytes_max }
    }

    /// The sum.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Account {
    pub(in crate::broker) fn new(together: Together) -> Self {
        Account { together, bytes: 0 }
    }

    /// This queue's part.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds to the part, whatever the sum is.
    pub(in crate::broker) fn add(&mut self, bytes: usize) {
        self.together.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Adds to the part, unless the sum is at its bound.
    pub(in crate::broker) fn try_add(&mut self, bytes: usize) -> bool {
        let sum = self.together.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.bytes += bytes;
        if sum > self.together.bytes_max {
            self.sub(bytes);
        }
        sum <= self.together.bytes_max
    }

    pub(in crate::broker) fn sub(&mut self, bytes: usize) {
        self.together.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }

    /// The part goes over to another sum.
    pub(in crate::broker) fn move_to(&mut self, together: &Together) {
        let mut moved = Account::new(together.clone());
        moved.add(self.bytes);
        *self = moved;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.sub(self.bytes);
    }
}

/// Of a sum that has no bound and nobody else.
impl Default for Account {
    fn default() -> Self {
        Account::new(Together::new(usize::MAX))
    }
}
