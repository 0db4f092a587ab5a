//! The section `[log]`: what is written to standard error.
//!
//! It lives here because no area owns the log; `cli` sets it up.

use serde::Deserialize;

/// How much is logged, and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The least severe level that is written.
    pub level: Level,
    /// The shape of a line.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Config { level: Level::Info, format: Format::Text }
    }
}

/// A level of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Data is lost, or an operator must act.
    Error,
    /// Something was refused or given up.
    Warn,
    /// Starts, stops and logins that fail.
    Info,
    /// Every message.
    Debug,
    /// Every step.
    Trace,
}

impl Level {
    /// Every level, the most severe first.
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// As the settings have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}
