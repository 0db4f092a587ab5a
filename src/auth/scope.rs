//! What a service may publish and subscribe to, written `pub:FILTER` and `sub:FILTER`; and what it may besides, a word each.
//!
//! A scope travels as an OAuth scope token, whose characters are fewer than those of a topic filter (RFC 6749 section
//! 3.3): a filter with a space, a quote, a backslash, a control or a non-ASCII character cannot be written. It is
//! refused here, when a client is added, and not found out by the first token. What a scope is worth beside the rules
//! that no scope can change is [`Grant`](super::Grant)'s affair.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::mqtt::topic::{Filter, Topic, TopicError};

/// The scope that a device's token bears; what it means follows from the device's id.
pub const DEVICE: &str = "device";

/// The longest scope of one client or one request, with its spaces. A token has to stay below
/// [`TOKEN_BYTES_MAX`](super::validator::TOKEN_BYTES_MAX) with it.
pub const SCOPES_CHARS_MAX: usize = 1536;

/// One scope of a service.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// What may be done with the topics of a filter.
    Topics(Action, Filter),
    /// `introspect`: to ask the issuer what a token of somebody is worth (RFC 7662).
    Introspect,
    /// `sealgate:ROLE`: to operate the gateway.
    Operate(Role),
}

/// What an operator may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Change what belongs to the fleet's daily life.
    Operator,
    /// Everything.
    Admin,
}

/// What a scope allows to do with the topics of its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `pub:`
    Publish,
    /// `sub:`
    Subscribe,
}

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// It begins with neither `pub:` nor `sub:`, and is none of the words.
    #[error("a scope is pub:FILTER, sub:FILTER, introspect, sealgate:viewer, sealgate:operator or sealgate:admin")]
    NoAction,
    /// A character that an OAuth scope cannot carry.
    #[error(
        "a scope cannot hold {0:?}: OAuth allows printable ASCII without space, quote and backslash (RFC 6749 section 3.3)"
    )]
    Character(char),
    /// The filter is a shared subscription.
    #[error("a scope names topics without $share/NAME/; it covers shared subscriptions of them too")]
    Shared,
    /// What follows the action is no topic filter.
    #[error("the scope's topic filter is not valid: {0}")]
    Filter(#[from] TopicError),
    /// All together are longer than a token can carry.
    #[error("the scopes of one client have {SCOPES_CHARS_MAX} characters at most")]
    TooLong,
}

impl Scope {
    /// A scope of its text.
    ///
    /// # Errors
    /// [`ScopeError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        if let Some(foreign) = text.chars().find(|&c| !is_scope_char(c)) {
            return Err(ScopeError::Character(foreign));
        }
        if let Some(word) = WORDS.iter().find(|word| word.to_string() == text) {
            return Ok(word.clone());
        }
        let (action, filter) = Action::split(text).ok_or(ScopeError::NoAction)?;
        if filter.starts_with("$share/") {
            return Err(ScopeError::Shared);
        }
        Ok(Scope::Topics(action, Filter::new(filter)?))
    }

    /// Whether this scope allows `action` on `topic`.
    pub fn allows(&self, action: Action, topic: &Topic) -> bool {
        matches!(self, Scope::Topics(own, filter) if *own == action && filter.matches(topic))
    }

    /// Whether this scope allows `action` on every topic that `filter` can match.
    pub fn allows_all(&self, action: Action, filter: &Filter) -> bool {
        matches!(self, Scope::Topics(own, mine) if *own == action && mine.covers(filter))
    }

    /// Whether all that `other` allows is allowed by this scope.
    pub fn covers(&self, other: &Scope) -> bool {
        match (self, other) {
            (_, Scope::Topics(action, filter)) => self.allows_all(*action, filter),
            (Scope::Operate(role), Scope::Operate(wanted)) => role >= wanted,
            _ => self == other,
        }
    }

    /// The role that this scope gives.
    pub fn role(&self) -> Option<Role> {
        match self {
            Scope::Operate(role) => Some(*role),
            Scope::Topics(..) | Scope::Introspect => None,
        }
    }
}

/// Scopes of the text that a token or a request bears: separated by one space each.
///
/// # Errors
/// The first scope that is none.
pub fn parse_all(text: &str) -> Result<Vec<Scope>, ScopeError> {
    if text.len() > SCOPES_CHARS_MAX {
        return Err(ScopeError::TooLong);
    }
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(' ').map(Scope::parse).collect()
}

/// The text of `scopes`, as a token bears it.
///
/// # Errors
/// One is no scope, or they are longer than a token can carry.
pub fn join(scopes: &[String]) -> Result<String, ScopeError> {
    let text = scopes.join(" ");
    parse_all(&text)?;
    Ok(text)
}

impl Action {
    fn split(text: &str) -> Option<(Action, &str)> {
        let publish = text.strip_prefix("pub:").map(|filter| (Action::Publish, filter));
        publish.or_else(|| text.strip_prefix("sub:").map(|filter| (Action::Subscribe, filter)))
    }
}

/// The scopes that name no topics.
const WORDS: [Scope; 4] =
    [Scope::Introspect, Scope::Operate(Role::Viewer), Scope::Operate(Role::Operator), Scope::Operate(Role::Admin)];

impl Role {
    /// As a scope has it behind `sealgate:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Topics(Action::Publish, filter) => write!(f, "pub:{}", filter.as_str()),
            Scope::Topics(Action::Subscribe, filter) => write!(f, "sub:{}", filter.as_str()),
            Scope::Introspect => f.write_str("introspect"),
            Scope::Operate(role) => write!(f, "sealgate:{}", role.as_str()),
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Scope, ScopeError> {
        Scope::parse(text)
    }
}

/// RFC 6749 section 3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`
fn is_scope_char(c: char) -> bool {
    matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_prints_as_it_was_written() {
        for text in [
            "pub:commands/#",
            "sub:readings/+",
            "sub:#",
            "sub:$SYS/#",
            "pub:a",
            "pub:a/",
            "introspect",
            "sealgate:admin",
        ] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), text);
        }
    }

    // RFC 6749 section 3.3
    #[test]
    fn what_oauth_cannot_carry_is_refused_with_the_character() {
        for c in [' ', '"', '\\', '\t', '\n', '\0', '\x7f', 'ä', '温'] {
            let refused = Scope::parse(&format!("sub:a{c}b"));
            assert_eq!(refused, Err(ScopeError::Character(c)), "{c:?}");
        }
    }

    #[test]
    fn a_scope_without_action_or_with_a_bad_filter_is_refused() {
        for text in ["", "readings/#", "device", "PUB:a", "publish:a", "Introspect", "sealgate:", "sealgate:root"] {
            assert_eq!(Scope::parse(text), Err(ScopeError::NoAction), "{text}");
        }
        for text in ["sub:", "sub:a/#/b", "pub:a+"] {
            assert!(matches!(Scope::parse(text), Err(ScopeError::Filter(_))), "{text}");
        }
        assert_eq!(Scope::parse("sub:$share/g/a"), Err(ScopeError::Shared));
    }

    #[test]
    fn only_the_same_action_is_covered() {
        let scope = |text| Scope::parse(text).unwrap();
        assert!(scope("sub:readings/#").covers(&scope("sub:readings/+")));
        assert!(!scope("sub:readings/+").covers(&scope("sub:readings/#")));
        assert!(!scope("sub:readings/#").covers(&scope("pub:readings/+")));
        assert!(!scope("sub:#").covers(&scope("introspect")) && !scope("introspect").covers(&scope("sub:a")));
    }

    #[test]
    fn a_role_covers_those_before_it() {
        let scope = |text| Scope::parse(text).unwrap();
        let roles = ["sealgate:viewer", "sealgate:operator", "sealgate:admin"];
        for (place, role) in roles.iter().enumerate() {
            let covered = roles.iter().filter(|other| scope(role).covers(&scope(other))).count();
            assert_eq!(covered, place + 1, "{role}");
            assert!(!scope("sub:#").covers(&scope(role)) && !scope(role).covers(&scope("introspect")));
        }
    }

    #[test]
    fn scopes_are_separated_by_one_space() {
        assert_eq!(parse_all("sub:a pub:b").unwrap().len(), 2);
        assert!(parse_all("").unwrap().is_empty());
        assert!(parse_all("sub:a  pub:b").is_err());
        assert_eq!(parse_all(&format!("sub:{}", "a".repeat(SCOPES_CHARS_MAX))), Err(ScopeError::TooLong));
    }
}
