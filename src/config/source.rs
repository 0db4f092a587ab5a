//! From a file's text, variables and flags to single settings, each of which knows its place.
//!
//! Whether a setting exists and fits its type is not known here; only sections are, since a key of a section that does not exist
//! deserves no mistake of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::{Mistake, Place, deserialised};

/// The prefix of variables that are settings: `SEALGATE__AREA__KEY`.
const PREFIX: &str = "SEALGATE__";

/// Where settings come from, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<File>,
    /// The environment; what does not begin with `SEALGATE__` is left alone.
    pub variables: Vec<(OsString, OsString)>,
    /// The command line.
    pub flags: Vec<Flag>,
}

/// A configuration file that has been read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, for messages.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// A setting of the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As it is written, for messages: `--data`.
    pub name: String,
    /// The section.
    pub section: String,
    /// The key; of a key inside of a table `table.key`.
    pub key: String,
    /// The value, a TOML value or plain text.
    pub value: String,
}

/// One setting of one source.
pub(super) struct Setting {
    pub(super) place: Place,
    pub(super) section: String,
    /// The key, and those inside of it where it is a table.
    pub(super) path: Vec<String>,
    pub(super) written: Written,
}

impl Setting {
    /// `section.key`, and so on inward.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.section, self.path.join("."))
    }
}

/// A value as its source writes it.
pub(super) enum Written {
    /// In a file, where a string has quotes.
    Typed(Value),
    /// In a variable or flag, where it may not: `127.0.0.1:1883`, but `4096` too.
    Text(String),
}

impl Written {
    /// The values that it can mean, the likeliest first.
    pub(super) fn readings(&self) -> Vec<Value> {
        match self {
            Written::Typed(value) => vec![value.clone()],
            Written::Text(text) => typed(text).into_iter().chain([Value::String(text.clone())]).collect(),
        }
    }
}

fn typed(text: &str) -> Option<Value> {
    ValueDeserializer::parse(text).and_then(Value::deserialize).ok()
}

/// Every setting of every source, the weakest source first, and what could not be read as one.
pub(super) fn settings(sources: &Sources) -> (Vec<Setting>, Vec<Mistake>) {
    let mut found = Found::default();
    if let Some(file) = &sources.file {
        found.read_file(file);
    }
    for (name, value) in &sources.variables {
        found.read_variable(name, value);
    }
    for flag in &sources.flags {
        found.read_flag(flag);
    }
    (found.settings, found.mistakes)
}

#[derive(Default)]
struct Found {
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

impl Found {
    fn read_file(&mut self, file: &File) {
        let path: Arc<Path> = file.path.as_path().into();
        let place = |offset: usize| Place::Line(path.clone(), line_of(&file.text, offset));
        let (document, errors) = DeTable::parse_recoverable(&file.text);
        for error in errors {
            let place = error.span().map_or_else(|| Place::File(path.clone()), |span| place(span.start));
            self.mistakes.push(Mistake { place, key: String::new(), sentence: error.message().to_owned() });
        }
        for (section, value) in document.get_ref() {
            self.read_section(section.get_ref(), value, place(section.span().start), &place);
        }
    }

    fn read_section(&mut self, section: &str, value: &Spanned<DeValue<'_>>, at: Place, place: &dyn Fn(usize) -> Place) {
        if !self.exists(section, &at) {
            return;
        }
        let DeValue::Table(keys) = value.get_ref() else {
            let sentence = format!("is a section: write [{section}] and its keys below");
            return self.mistakes.push(Mistake { place: at, key: section.to_owned(), sentence });
        };
        self.read_keys(section, &[], keys, place);
    }

    fn read_keys(&mut self, section: &str, above: &[String], keys: &DeTable<'_>, place: &dyn Fn(usize) -> Place) {
        for (key, value) in keys {
            let at = place(key.span().start);
            // A syntax error has said what is wrong with this line; what the parser made of the rest of it is a guess.
            if self.mistakes.iter().any(|mistake| mistake.place == at) {
                continue;
            }
            let path = [above, &[key.get_ref().to_string()]].concat();
            match value.get_ref() {
                // Key by key, each with its line. An empty one has none to speak for it.
                DeValue::Table(inner) if !inner.is_empty() => self.read_keys(section, &path, inner, place),
                _ => self.read_value(at, section, path, value),
            }
        }
    }

    fn read_value(&mut self, at: Place, section: &str, path: Vec<String>, value: &Spanned<DeValue<'_>>) {
        match Value::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(value) => self.push(at, section, path, Written::Typed(value)),
            Err(error) => {
                let key = format!("{section}.{}", path.join("."));
                self.mistakes.push(Mistake { place: at, key, sentence: error.message().to_owned() });
            }
        }
    }

    fn read_variable(&mut self, name: &OsString, value: &OsString) {
        let name = name.to_string_lossy();
        let Some(setting) = name.strip_prefix(PREFIX) else { return };
        let at = Place::Variable(name.to_string());
        let mistake = |sentence: &str| Mistake { place: at.clone(), key: String::new(), sentence: sentence.to_owned() };
        let setting = setting.to_lowercase();
        let Some((section, key)) = setting.split_once("__") else {
            return self.mistakes.push(mistake("is not of the form SEALGATE__AREA__KEY"));
        };
        let Some(value) = value.to_str() else {
            return self.mistakes.push(mistake("is not valid UTF-8"));
        };
        if self.exists(section, &at) {
            self.push_text(at, section, key.split("__"), value);
        }
    }

    fn read_flag(&mut self, flag: &Flag) {
        let at = Place::Flag(flag.name.clone());
        if self.exists(&flag.section, &at) {
            self.push_text(at, &flag.section, flag.key.split('.'), &flag.value);
        }
    }

    fn exists(&mut self, section: &str, at: &Place) -> bool {
        let Err(sentence) = deserialised(section, Table::new()) else { return true };
        let sentence = sentence.replace("unknown key", "unknown section");
        self.mistakes.push(Mistake { place: at.clone(), key: section.to_owned(), sentence });
        false
    }

    fn push_text<'a>(&mut self, at: Place, section: &str, path: impl Iterator<Item = &'a str>, value: &str) {
        let path: Vec<String> = path.map(str::to_owned).collect();
        match typed(value) {
            Some(Value::Table(inner)) => self.push_table(&at, section, &path, inner),
            _ => self.push(at, section, path, Written::Text(value.to_owned())),
        }
    }

    /// Key by key, so that each wins over that of a weaker source.
    fn push_table(&mut self, at: &Place, section: &str, path: &[String], table: Table) {
        for (key, value) in table {
            let path = [path, &[key]].concat();
            match value {
                Value::Table(inner) => self.push_table(at, section, &path, inner),
                value => self.push(at.clone(), section, path, Written::Typed(value)),
            }
        }
    }

    fn push(&mut self, place: Place, section: &str, path: Vec<String>, written: Written) {
        self.settings.push(Setting { place, section: section.to_owned(), path, written });
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}
