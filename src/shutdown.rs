//! How the house is asked to end: first politely, then at once.
//!
//! Three phases, and no way back: running; *draining* (doors closed to new connections, what is in flight is committed and
//! acknowledged, clients are told); *stopped* (whatever still runs gives up). A [`Shutdown`] is handed to everyone who awaits;
//! [`watch`] is the driver that turns signals and the time limit into phases. What each room does in a phase is its own affair,
//! and the order in which rooms end is `gateway`'s.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::signal::unix::{self, SignalKind};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::setting::{Mistake, outside};

/// The section `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long draining may take before everything is stopped as it stands.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { timeout: Duration::from_secs(10) }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        outside("timeout", self.timeout, Duration::from_millis(1)..=TIMEOUT_MAX).into_iter().collect()
    }
}

/// A gateway that drains for longer than a day is not on its way down; every supervisor kills it before.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Where the house is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing was asked.
    Running,
    /// No new work; what is in flight is finished.
    Draining,
    /// Nothing is waited for any more.
    Stopped,
}

/// One end for all who await; clones are the same shutdown.
#[derive(Clone, Debug)]
pub struct Shutdown {
    draining: CancellationToken,
    stopped: CancellationToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A shutdown that nobody has asked for yet.
    pub fn new() -> Self {
        // `stopped` is the parent: who stops, drains too.
        let stopped = CancellationToken::new();
        Shutdown { draining: stopped.child_token(), stopped }
    }

    /// Asks everyone to finish what is in flight and to begin nothing new.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Asks everyone to give up.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// The phase at this moment.
    pub fn phase(&self) -> Phase {
        match (self.stopped.is_cancelled(), self.draining.is_cancelled()) {
            (true, _) => Phase::Stopped,
            (false, true) => Phase::Draining,
            (false, false) => Phase::Running,
        }
    }

    /// Waits until draining begins; returns at once if it has. Safe to drop and to call again.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until everything is to stop; returns at once if it is. Safe to drop and to call again.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

/// The signals that end the process: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// Takes the signals over from the system. From here on they end nothing by themselves, so install them before the first
    /// thing that must be ended in order.
    pub fn install() -> io::Result<Self> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What is kept of the time limit for what comes after [`Phase::Stopped`]: telling clients that their messages were given up.
pub const FAREWELL: Duration = Duration::from_millis(250);

/// Drives `shutdown` until it is stopped: the first signal drains, a second one or the time limit stops. Draining that someone
/// else began is limited in the same way.
pub async fn watch(shutdown: Shutdown, config: Config, mut next_signal: impl AsyncFnMut() -> &'static str) {
    tokio::select! {
        signal = next_signal() => {
            info!(signal, timeout = ?config.timeout, "Shutting down; a second signal stops at once.");
            shutdown.drain();
        }
        () = shutdown.draining() => {}
    }
    tokio::select! {
        signal = next_signal() => warn!(signal, "Stopping at once, as asked a second time."),
        () = tokio::time::sleep(config.timeout.saturating_sub(FAREWELL)) => warn!(timeout = ?config.timeout, "Draining took too long; stopping."),
        () = shutdown.stopped() => return,
    }
    shutdown.stop();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    const LONG: Config = Config { timeout: Duration::from_secs(3600) };

    async fn never() -> &'static str {
        std::future::pending().await
    }

    #[test]
    fn phases_go_forward_only() {
        let shutdown = Shutdown::new();
        let seen_by_another = shutdown.clone();
        assert_eq!(seen_by_another.phase(), Phase::Running);
        shutdown.drain();
        assert_eq!(seen_by_another.phase(), Phase::Draining);
        shutdown.stop();
        shutdown.drain();
        assert_eq!(seen_by_another.phase(), Phase::Stopped);
    }

    #[tokio::test]
    async fn to_stop_is_to_drain_too() {
        let shutdown = Shutdown::new();
        shutdown.stop();
        shutdown.draining().await;
        shutdown.stopped().await;
    }

    #[tokio::test]
    async fn first_signal_drains_and_second_stops() {
        let shutdown = Shutdown::new();
        let (signals, mut coming) = mpsc::channel(1);
        let next_signal = async move || coming.recv().await.unwrap();
        let watching = tokio::spawn(watch(shutdown.clone(), LONG, next_signal));
        signals.send("SIGTERM").await.unwrap();
        shutdown.draining().await;
        assert_eq!(shutdown.phase(), Phase::Draining);
        signals.send("SIGINT").await.unwrap();
        watching.await.unwrap();
        assert_eq!(shutdown.phase(), Phase::Stopped);
    }

    #[tokio::test]
    async fn draining_ends_at_the_time_limit() {
        let shutdown = Shutdown::new();
        shutdown.drain();
        watch(shutdown.clone(), Config { timeout: Duration::from_millis(1) }, never).await;
        assert_eq!(shutdown.phase(), Phase::Stopped);
    }

    #[tokio::test]
    async fn watching_ends_with_the_house() {
        let shutdown = Shutdown::new();
        shutdown.stop();
        watch(shutdown, LONG, never).await;
    }

    #[test]
    fn no_time_at_all_and_time_without_end_are_mistakes() {
        assert!(LONG.mistakes().is_empty());
        for timeout in [Duration::ZERO, Duration::MAX] {
            assert_eq!(Config { timeout }.mistakes()[0].0, "timeout");
        }
    }
}
