//! What is wrong with a setting, and where it stands: one line each, so that they can be read, sorted and searched.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting stands, in the order of the sources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File(Arc<Path>),
    /// A line of the file, from 1.
    Line(Arc<Path>, usize),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
    /// Nowhere: it is the default, which does not fit the other settings.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Place::Variable(name) => f.write_str(name),
            Place::Flag(name) => f.write_str(name),
            Place::Default => f.write_str("default"),
        }
    }
}

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// `section.key`, or the section alone; empty where the mistake is not about a key.
    pub key: String,
    /// What is wrong.
    pub sentence: String,
}

impl Mistake {
    /// A mistake of the settings together, of which no single one is to blame.
    pub(super) fn of_all(sentence: String) -> Self {
        Mistake { place: Place::Default, key: String::new(), sentence }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        // One line, whatever the parser says.
        f.write_str(&self.sentence.replace('\n', ", "))
    }
}

/// Everything that is wrong, in the order of the sources; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// A single one.
    pub fn one(mistake: Mistake) -> Self {
        Mistakes(vec![mistake])
    }

    /// Fine if there are none.
    pub(super) fn none_of(mut found: Vec<Mistake>) -> Result<(), Self> {
        found.sort();
        if found.is_empty() { Ok(()) } else { Err(Mistakes(found)) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
