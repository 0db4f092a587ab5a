//! The section `[hooks]`: which other brokers may ask about their clients, and how long they may remember an answer.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::setting::{Mistake, outside};

/// How the login webhooks are answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file of the secrets that a broker shows; none: the hooks are off, and their addresses are of no page.
    pub secret_file: Option<PathBuf>,
    /// How long a broker may remember that a client may publish, in whole seconds; zero: not at all.
    #[serde(with = "humantime_serde")]
    pub cache_max_age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { secret_file: None, cache_max_age: Duration::from_secs(60) }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let unnamed = self.secret_file.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        let unnamed =
            unnamed.then(|| ("secret_file", "a file has a name; leave the key out to have no hooks".to_owned()));
        let fraction = (self.cache_max_age.subsec_nanos() != 0)
            .then(|| ("cache_max_age", "what a broker may remember is a whole number of seconds".to_owned()));
        let age = outside("cache_max_age", self.cache_max_age, Duration::ZERO..=CACHE_MAX_AGE_MAX);
        [unnamed, age.or(fraction)].into_iter().flatten().collect()
    }
}

/// A disabled device goes on for so long; and the time has to fit into what a broker counts in.
const CACHE_MAX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_right_is_a_mistake() {
        assert!(Config::default().mistakes().is_empty());
        for text in ["secret_file = \"\"", "cache_max_age = \"1500ms\"", "cache_max_age = \"25h\""] {
            let config: Config = toml::from_str(text).unwrap();
            let key = text.split(' ').next().unwrap();
            assert_eq!(config.mistakes().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key], "{text}");
        }
        assert!(toml::from_str::<Config>("cache_max_age = \"0s\"").unwrap().mistakes().is_empty());
    }
}
