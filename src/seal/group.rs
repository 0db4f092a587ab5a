//! Groups of devices, for which the limits on time may be others than for the rest.
//!
//! A device is in one group or in none, which the registry says. What a group leaves out is that of all.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use humantime_serde::re::humantime::parse_duration;
use serde::Deserialize;

use super::{Config, TimePolicy};
use crate::setting::outside;

/// The name of a group: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct GroupName(Arc<str>);

/// A name that no group can have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the name of a group is 1 to 64 of A-Z a-z 0-9 _ -")]
pub struct NoGroupName;

impl GroupName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = NoGroupName;

    fn from_str(name: &str) -> Result<Self, NoGroupName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_one = (1..=64).contains(&name.len()) && name.bytes().all(fits);
        if is_one { Ok(GroupName(name.into())) } else { Err(NoGroupName) }
    }
}

impl TryFrom<String> for GroupName {
    type Error = NoGroupName;

    fn try_from(name: String) -> Result<Self, NoGroupName> {
        name.parse()
    }
}

/// `[seal.group.NAME]`: what is another for the devices of this group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupConfig {
    /// As `[seal]` has it.
    pub future_tolerance: Option<FutureTolerance>,
    /// As `[seal]` has it.
    pub age_max: Option<AgeMax>,
}

impl GroupConfig {
    /// The policy of the group, where `all` is that of `[seal]`.
    pub(super) fn over(&self, all: TimePolicy) -> TimePolicy {
        TimePolicy {
            future_tolerance: self.future_tolerance.map_or(all.future_tolerance, FutureTolerance::duration),
            age_max: self.age_max.map_or(all.age_max, AgeMax::limit),
        }
    }
}

/// How old a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AgeMax {
    /// As old as it likes: `"none"`.
    NoLimit,
    /// From a second to a hundred years.
    Limit(Duration),
}

impl AgeMax {
    /// What is older is `stale`.
    pub fn limit(self) -> Option<Duration> {
        match self {
            AgeMax::NoLimit => None,
            AgeMax::Limit(age) => Some(age),
        }
    }
}

impl TryFrom<String> for AgeMax {
    type Error = String;

    /// `"0s"` is refused: it may be meant as "no limit", and would let nothing through.
    fn try_from(text: String) -> Result<Self, String> {
        if text == NO_LIMIT {
            return Ok(AgeMax::NoLimit);
        }
        let age = duration(&text).map_err(|error| format!("{error}; no limit is \"{NO_LIMIT}\""))?;
        let age = within(age, Duration::from_secs(1)..=AGE_MAX);
        age.map(AgeMax::Limit).map_err(|sentence| format!("{sentence}; no limit is \"{NO_LIMIT}\""))
    }
}

/// How far a clock may be ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FutureTolerance(Duration);

impl FutureTolerance {
    /// What is further ahead is `future`.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for FutureTolerance {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        within(duration(&text)?, Duration::ZERO..=FUTURE_TOLERANCE_MAX).map(FutureTolerance)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn within(time: Duration, allowed: RangeInclusive<Duration>) -> Result<Duration, String> {
    outside("", time, allowed).map_or(Ok(time), |(_, sentence)| Err(sentence))
}

/// The policies of all groups that a setting names.
pub(super) struct Policies {
    all: TimePolicy,
    groups: BTreeMap<String, TimePolicy>,
}

impl Policies {
    /// As the section `[seal]` says.
    pub(super) fn new(config: &Config) -> Self {
        let all = TimePolicy { future_tolerance: config.future_tolerance, age_max: config.age_max };
        let groups = config.group.iter().map(|(name, group)| (name.as_str().to_owned(), group.over(all)));
        Policies { all, groups: groups.collect() }
    }

    /// That of a device in this group, or in none. A group that no setting names has that of all.
    pub(super) fn of(&self, group: Option<&str>) -> TimePolicy {
        group.and_then(|group| self.groups.get(group)).copied().unwrap_or(self.all)
    }
}

/// Written where there is to be no limit.
const NO_LIMIT: &str = "none";

/// A hundred years: older than the zero of Unix time.
const AGE_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// A clock that is further ahead than a day is wrong, and its times would stand in the tables before they come.
const FUTURE_TOLERANCE_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn config(group: Value) -> Result<Config, serde_json::Error> {
        serde_json::from_value(json!({ "future_tolerance": "1m", "age_max": "1h", "group": { "vans": group } }))
    }

    fn of_vans(group: Value) -> TimePolicy {
        Policies::new(&config(group).unwrap()).of(Some("vans"))
    }

    #[test]
    fn a_group_has_its_own_policy_and_what_it_leaves_out_is_that_of_all() {
        let all = TimePolicy { future_tolerance: Duration::from_secs(60), age_max: Some(hours(1)) };
        assert_eq!(of_vans(json!({})), all);
        assert_eq!(of_vans(json!({ "age_max": "2h" })), TimePolicy { age_max: Some(hours(2)), ..all });
        assert_eq!(of_vans(json!({ "age_max": "none" })), TimePolicy { age_max: None, ..all });
        assert_eq!(
            of_vans(json!({ "future_tolerance": "0s" })),
            TimePolicy { future_tolerance: Duration::ZERO, ..all }
        );
        let policies = Policies::new(&config(json!({ "age_max": "none" })).unwrap());
        for none in [None, Some("Vans"), Some("others"), Some("")] {
            assert_eq!(policies.of(none), all, "{none:?}");
        }
    }

    #[test]
    fn what_is_unclear_is_refused() {
        for (wrong, told) in [
            (json!({ "age_max": "0s" }), "no limit is \"none\""),
            (json!({ "age_max": "" }), "no limit is \"none\""),
            (json!({ "age_max": "unlimited" }), "no limit is \"none\""),
            (json!({ "age_max": false }), "expected a string"),
            (json!({ "age_max": "101years" }), "is not within"),
            (json!({ "future_tolerance": "none" }), "expected number"),
            (json!({ "future_tolerance": "25h" }), "is not within"),
            (json!({ "age": "1h" }), "unknown field"),
        ] {
            let error = config(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_group_has_a_name_that_every_shell_and_file_can_bear() {
        for name in ["a", "Vans-2_north", &"n".repeat(64)] {
            assert_eq!(name.parse::<GroupName>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a.b", "é", "a/b", "a\n", &"n".repeat(65)] {
            assert!(name.parse::<GroupName>().is_err(), "{name:?}");
        }
    }
}
