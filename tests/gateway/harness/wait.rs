//! Waiting: look again until it is there, and fail if it never comes.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take. Far more than it needs on a busy machine, and than the minute for which `tests/soak` lets a process stand
/// still, so that running out of it means that it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `look` sees something, and gives that back. Panics with `what` when patience has run out.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(PATIENCE);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(!deadline.left().is_zero(), "waited {PATIENCE:?} in vain until {what}");
        sleep(PAUSE);
    }
}

/// A moment until which something may take.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Deadline(now() + duration)
    }

    /// What is left of the time; zero when it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever waits for another process reads the clock")]
fn now() -> Instant {
    Instant::now()
}
