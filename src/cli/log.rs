//! The log: to standard error, as `[log]` says.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::log::{Config, Format, Level};

/// Starts the log of this process; where one was started before, that one stays.
pub(super) fn start(config: Config) {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let layer = match config.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter(config.level))).try_init();
}

/// Our own levels; of the crates below only what is wrong, until somebody asks for every step.
fn filter(level: Level) -> Targets {
    let ours = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let theirs = if level == Level::Trace { ours } else { ours.min(LevelFilter::WARN) };
    Targets::new().with_default(theirs).with_target("sealgate", ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level as Severity;

    #[test]
    fn other_crates_are_quiet() {
        let filter = filter(Level::Info);
        assert!(filter.would_enable("sealgate::edge", &Severity::INFO));
        assert!(!filter.would_enable("sealgate::edge", &Severity::DEBUG));
        assert!(!filter.would_enable("sqlx::query", &Severity::INFO));
        assert!(filter.would_enable("sqlx::query", &Severity::WARN));
    }
}
