//! Topic filters: which names a filter matches, and which filters it covers.
//!
//! A shared subscription, `$share/NAME/FILTER`, is a filter that matches what `FILTER` matches; everywhere here its
//! prefix is taken off first, so that nobody can forget to. MQTT 3.1.1 does not know it; it is read the same there, as
//! other brokers have it.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{LEVELS_MAX, Topic, TopicError};
use crate::mqtt::text::Text;

/// A topic filter: `+` and `#` are whole levels, `#` is the last; at most [`LEVELS_MAX`] levels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Text);

impl Filter {
    /// A topic filter of `text`, without a copy if it is a [`Text`].
    pub fn new<T>(text: T) -> Result<Filter, TopicError>
    where
        T: TryInto<Text>,
        TopicError: From<T::Error>,
    {
        let text = text.try_into()?;
        let topics = match text.strip_prefix(SHARE) {
            Some(shared) => split_share(shared)?.1,
            None => text.as_str(),
        };
        check_filter(topics)?;
        Ok(Filter(text))
    }

    /// The filter as a `str`, with the prefix of a shared subscription.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The filter as the string that it is in a packet.
    pub fn as_text(&self) -> &Text {
        &self.0
    }

    /// The name and the filter of a shared subscription; `None` for an ordinary one.
    pub fn shared(&self) -> Option<(&str, Filter)> {
        let shared = self.as_str().strip_prefix(SHARE)?;
        let (name, topics) = split_share(shared).ok()?;
        Some((name, Filter(self.0.slice_ref(topics))))
    }

    /// The levels, at least one, of the filter without the prefix of a shared subscription; `+` and `#` are levels too.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.topics().split('/')
    }

    /// Whether a message with this name is for a subscriber with this filter.
    pub fn matches(&self, topic: &Topic) -> bool {
        // [MQTT-4.7.2-1]
        if topic.is_dollar() && self.topics().starts_with(['+', '#']) {
            return false;
        }
        let mut names = topic.levels();
        for level in self.levels().map(Level::of) {
            match (level, names.next()) {
                // The level above `#` is matched too (section 4.7.1.2), so the name may have ended.
                (Level::Rest, _) => return true,
                (Level::Any, Some(_)) => {}
                (Level::Name(wanted), Some(name)) if wanted == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// Whether every name that `other` can match is matched by `self`.
    ///
    /// Names are taken to be of any length and depth; with the limits of names counted in, `self` may cover an `other`
    /// at those limits for which this says no.
    pub fn covers(&self, other: &Filter) -> bool {
        // [MQTT-4.7.2-1]
        if other.topics().starts_with('$') && self.topics().starts_with(['+', '#']) {
            return false;
        }
        let (mut ours, mut theirs) = (self.spelled_out(), other.spelled_out());
        loop {
            match (ours.next(), theirs.next()) {
                (Some(Level::Rest), _) | (None, None) => return true,
                (Some(Level::Any), Some(Level::Any | Level::Name(_))) => {}
                (Some(Level::Name(name)), Some(Level::Name(other))) if name == other => {}
                _ => return false,
            }
        }
    }

    /// A copy that has its own memory, as [`Text::detached`] has it.
    pub fn detached(&self) -> Filter {
        Filter(self.0.detached())
    }

    /// The levels in the form in which filters that match the same names are the same: `#` as `+/#` and `/#` as `/+/#`,
    /// since no name is empty, and so neither has the empty parent to match.
    fn spelled_out(&self) -> impl Iterator<Item = Level<'_>> {
        let topics = match self.topics() {
            "#" => "+/#",
            "/#" => "/+/#",
            topics => topics,
        };
        topics.split('/').map(Level::of)
    }

    /// The filter without the prefix of a shared subscription.
    fn topics(&self) -> &str {
        let shared = self.as_str().strip_prefix(SHARE);
        shared.and_then(|shared| split_share(shared).ok()).map_or(self.as_str(), |(_, topics)| topics)
    }
}

/// One level of a filter.
enum Level<'a> {
    /// This very name; it may be empty.
    Name(&'a str),
    /// `+`: any one level.
    Any,
    /// `#`: the level above it, and everything below.
    Rest,
}

impl<'a> Level<'a> {
    fn of(level: &'a str) -> Level<'a> {
        match level {
            "+" => Level::Any,
            "#" => Level::Rest,
            name => Level::Name(name),
        }
    }
}

/// The name and the filter of what follows `$share/`. [MQTT-4.8.2-1], [MQTT-4.8.2-2]
fn split_share(shared: &str) -> Result<(&str, &str), TopicError> {
    let (name, topics) = shared.split_once('/').ok_or(TopicError::Share)?;
    // A share of a share would be read in two ways; nothing is published to `$share/` either.
    if name.is_empty() || name.contains(['+', '#']) || topics.is_empty() || topics.starts_with(SHARE) {
        return Err(TopicError::Share);
    }
    Ok((name, topics))
}

fn check_filter(topics: &str) -> Result<(), TopicError> {
    if topics.is_empty() {
        return Err(TopicError::Empty); // [MQTT-4.7.3-1]
    }
    let mut depth = 0;
    let mut levels = topics.split('/').map(Level::of).peekable();
    while let Some(level) = levels.next() {
        depth += 1;
        match level {
            Level::Rest if levels.peek().is_some() => return Err(TopicError::Wildcard), // [MQTT-4.7.1-1]
            Level::Name(name) if name.contains(['+', '#']) => return Err(TopicError::Wildcard), // [MQTT-4.7.1-2]
            _ => {}
        }
    }
    if depth > LEVELS_MAX { Err(TopicError::TooDeep) } else { Ok(()) }
}

impl Deref for Filter {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Filter {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Filter, TopicError> {
        Filter::new(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

const SHARE: &str = "$share/";

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn filter(filter: &str) -> Filter {
        Filter::new(filter).unwrap()
    }

    fn covers(ours: &str, theirs: &str) -> bool {
        filter(ours).covers(&filter(theirs))
    }

    #[test]
    fn a_wildcard_is_a_whole_level_and_rest_is_the_last() {
        for valid in ["#", "+", "/", "/+", "+/+/#", "a/+/b/#", "+//#"] {
            assert_eq!(filter(valid).as_str(), valid);
        }
        for invalid in ["a#", "a/#/b", "#/", "a+", "+a/b", "a/b+/c", "##", "++"] {
            assert_eq!(Filter::new(invalid), Err(TopicError::Wildcard), "{invalid}"); // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
        }
        assert_eq!(Filter::new(""), Err(TopicError::Empty)); // [MQTT-4.7.3-1]
    }

    #[test]
    fn depth_has_a_bound() {
        assert!(Filter::new("/".repeat(LEVELS_MAX - 1)).is_ok());
        assert_eq!(Filter::new("+/".repeat(LEVELS_MAX)), Err(TopicError::TooDeep));
    }

    #[test]
    fn a_shared_subscription_has_a_name_and_a_filter() {
        let shared = filter("$share/g/a/+");
        assert_eq!(shared.shared(), Some(("g", filter("a/+"))));
        assert_eq!(shared.levels().collect::<Vec<_>>(), ["a", "+"]);
        assert!(shared.matches(&topic("a/b")));
        assert!(filter("a/#").covers(&shared) && shared.covers(&filter("a/b")));
        assert_eq!(filter("$share").shared(), None);
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        for invalid in
            ["$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/#", "$share/g/$share/h/a"]
        {
            assert_eq!(Filter::new(invalid), Err(TopicError::Share), "{invalid}");
        }
        assert_eq!(Filter::new("$share/g/a#"), Err(TopicError::Wildcard));
    }

    #[test]
    fn cases_that_are_easily_got_wrong() {
        assert!(covers("+/#", "#") && covers("#", "+/#"));
        assert!(covers("/+/#", "/#") && !covers("a/+/#", "a/#"));
        assert!(covers("a/#", "a") && !covers("a/+", "a/#") && !covers("a/+", "a"));
        assert!(!covers("#", "$SYS/#") && !covers("+/x", "$SYS/x") && covers("$SYS/#", "$SYS/+")); // [MQTT-4.7.2-1]
        assert!(!covers("+", "/") && covers("+/+", "/") && covers("#", "/"));
        assert!(!covers("readings/+", "readings/#"));
    }

    const LEVELS: [&str; 4] = ["", "a", "b", "$x"];
    const DEPTH_MAX: usize = 4;

    /// Every path of 1 to `depth_max` of these levels.
    fn paths(levels: &[&str], depth_max: usize) -> Vec<String> {
        let mut longest: Vec<String> = levels.iter().map(|level| level.to_string()).collect();
        let mut all = longest.clone();
        for _ in 1..depth_max {
            longest =
                longest.iter().flat_map(|path| levels.iter().map(move |level| format!("{path}/{level}"))).collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    fn every_filter() -> Vec<Filter> {
        let levels: Vec<&str> = LEVELS.into_iter().chain(["+", "#"]).collect();
        paths(&levels, DEPTH_MAX).into_iter().filter_map(|path| Filter::new(path).ok()).collect()
    }

    /// One level more than the filters have, two more than a filter has above its `#`: what a `#` lets through is seen
    /// at the level above it, at its own, and at the next, and below that all is let through alike. Any `+` meets more
    /// names than the one that a filter can name in its place. So two filters differ for a name in here, or for none.
    fn every_topic() -> Vec<Topic> {
        paths(&LEVELS, DEPTH_MAX + 1).into_iter().filter_map(|path| Topic::new(path).ok()).collect()
    }

    /// The standard, word for word and slowly.
    fn matches_naively(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) => true,
            ([], []) => true,
            (["+", filter @ ..], [_, name @ ..]) => matches_naively(filter, name),
            ([wanted, filter @ ..], [level, name @ ..]) => wanted == level && matches_naively(filter, name),
            _ => false,
        }
    }

    fn matches_by_the_standard(filter: &str, name: &str) -> bool {
        let is_hidden = name.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')); // [MQTT-4.7.2-1]
        let (filter, name): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), name.split('/').collect());
        !is_hidden && matches_naively(&filter, &name)
    }

    #[test]
    fn a_filter_matches_what_the_standard_says() {
        let topics = every_topic();
        for filter in every_filter() {
            for topic in &topics {
                let wanted = matches_by_the_standard(filter.as_str(), topic.as_str());
                assert_eq!(filter.matches(topic), wanted, "{filter} {topic}");
            }
        }
    }

    #[test]
    fn a_filter_covers_another_if_it_matches_all_that_the_other_matches() {
        let (topics, filters) = (every_topic(), every_filter());
        let matched = |filter: &Filter| -> Vec<u64> {
            let bits = |part: &[Topic]| part.iter().fold(0, |bits, topic| bits << 1 | u64::from(filter.matches(topic)));
            topics.chunks(64).map(bits).collect()
        };
        let sets: Vec<Vec<u64>> = filters.iter().map(matched).collect();
        for (ours, our_set) in filters.iter().zip(&sets) {
            for (theirs, their_set) in filters.iter().zip(&sets) {
                let is_subset = their_set.iter().zip(our_set).all(|(theirs, ours)| theirs & !ours == 0);
                assert_eq!(ours.covers(theirs), is_subset, "{ours} covers {theirs}");
            }
        }
    }
}
