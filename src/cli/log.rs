//! The log: to standard error, as `[log]` says, and as an operator says later.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, reload};

use crate::config::log::{Config, Format, Level};
use crate::gateway::LogLevel;

/// What this process logs now, and where that is changed; none: nothing was started. A process has one log, as it has one standard error.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

struct Current {
    level: Level,
    filter: reload::Handle<Targets, Registry>,
}

/// Starts the log of this process; where one was started before, that one stays.
pub(super) fn start(config: Config) {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let layer = match config.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter(config.level));
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok() {
        *current() = Some(Current { level: config.level, filter: handle });
    }
}

/// The level, for whoever may ask for it and change it.
pub(super) const LEVEL: LogLevel = LogLevel { get: level, set: set_level };

fn level() -> &'static str {
    current().as_ref().map_or("off", |current| current.level.as_str())
}

/// False: there is no such level, or no log.
fn set_level(name: &str) -> bool {
    let mut current = current();
    let (Some(current), Some(level)) = (current.as_mut(), Level::ALL.into_iter().find(|level| level.as_str() == name))
    else {
        return false;
    };
    let is_set = current.filter.reload(filter(level)).is_ok();
    if is_set {
        current.level = level;
    }
    is_set
}

fn current() -> std::sync::MutexGuard<'static, Option<Current>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
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
