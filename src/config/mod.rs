//! The settings of the whole house: one field an area, each of the area's own type.
//!
//! Settings come from a file, then from variables, then from flags; the later one wins. All mistakes are reported at once, each
//! with its key and its place, before anything starts. What a key means, its default and its bounds belong to the area's
//! `config.rs`; `config/sealgate.toml` shows them all. Nothing here opens a file: bytes and names go in.

pub mod log;
mod mistake;
mod source;

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

pub use mistake::{Mistake, Mistakes, Place};
use source::Setting;
pub use source::{File, Flag, Sources};

/// Every setting of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// MQTT clients.
    pub edge: crate::edge::Config,
    /// Whoever needs a token.
    pub public: crate::public::Config,
    /// Other brokers that ask about their clients.
    pub hooks: crate::public::HooksConfig,
    /// Tokens.
    pub auth: crate::auth::Config,
    /// Operators.
    pub admin: crate::admin::Config,
    /// Envelopes.
    pub seal: crate::seal::Config,
    /// The pipeline.
    pub ingest: crate::ingest::Config,
    /// Another broker.
    pub source: crate::source::Config,
    /// The embedded broker.
    pub rumqttd: crate::source::EmbeddedConfig,
    /// The data directory and the quarantine.
    pub store: crate::store::Config,
    /// Which database.
    pub database: crate::store::DatabaseConfig,
    /// Checkpoints.
    pub proof: crate::proof::Config,
    /// Sessions.
    pub broker: crate::broker::Config,
    /// The end.
    pub shutdown: crate::shutdown::Config,
    /// What is written to standard error.
    pub log: log::Config,
}

impl Config {
    /// The settings of all sources together, or everything that is wrong with them.
    pub fn load(sources: &Sources) -> Result<Config, Mistakes> {
        let (settings, mut mistakes) = source::settings(sources);
        let mut chosen = BTreeMap::new();
        for setting in settings {
            match checked(&setting) {
                Ok(value) => drop(chosen.insert((setting.section, setting.path), (value, setting.place))),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let config = merged(&chosen).map_err(Mistakes::one)?;
        mistakes.extend(misfits(&config, &chosen, &mistakes));
        Mistakes::none_of(mistakes).map(|()| config)
    }

    /// What is wrong with values that are well-formed: each with its section.
    fn mistakes(&self) -> impl Iterator<Item = (&'static str, crate::setting::Mistake)> {
        // Taken apart by name, so that a new section cannot be left out. What is well-formed in the log's is right.
        let Config {
            edge,
            public,
            hooks,
            auth,
            admin,
            seal,
            ingest,
            source,
            rumqttd,
            store,
            database,
            proof,
            broker,
            shutdown,
            log: log::Config { .. },
        } = self;
        let areas = [
            ("edge", edge.mistakes()),
            ("public", public.mistakes()),
            ("hooks", hooks.mistakes()),
            ("auth", auth.mistakes()),
            ("admin", admin.mistakes()),
            ("seal", seal.mistakes()),
            ("ingest", ingest.mistakes()),
            ("source", source.mistakes()),
            ("rumqttd", rumqttd.mistakes()),
            ("store", store.mistakes()),
            ("store", store.misfits(database)),
            ("database", database.mistakes()),
            ("proof", proof.mistakes()),
            ("broker", broker.mistakes()),
            ("shutdown", shutdown.mistakes()),
        ];
        areas.into_iter().flat_map(|(section, found)| found.into_iter().map(move |mistake| (section, mistake)))
    }
}

/// The settings that won, by section and the way from there, and where each came from.
type Chosen = BTreeMap<(String, Vec<String>), (Value, Place)>;

/// Reads one setting as if it were alone, so that each yields its own error.
fn checked(setting: &Setting) -> Result<Value, Mistake> {
    let mut first_error = None;
    for value in setting.written.readings() {
        let mut keys = Table::new();
        put(&mut keys, &setting.path, value.clone());
        match deserialised(&setting.section, keys) {
            Ok(_) => return Ok(value),
            Err(sentence) => first_error.get_or_insert(sentence),
        };
    }
    let sentence = first_error.unwrap_or_default();
    Err(Mistake { place: setting.place.clone(), key: setting.name(), sentence })
}

fn deserialised(section: &str, keys: Table) -> Result<Config, String> {
    let alone = Table::from_iter([(section.to_owned(), Value::Table(keys))]);
    // Serde speaks of fields and variants; whoever wrote the file wrote keys and values.
    let in_words_of_the_file = |error: toml::de::Error| {
        error.message().replace("unknown field", "unknown key").replace("unknown variant", "unknown value")
    };
    Config::deserialize(alone).map_err(in_words_of_the_file)
}

fn merged(chosen: &Chosen) -> Result<Config, Mistake> {
    let mut document = Table::new();
    for ((section, path), (value, _)) in chosen {
        let path: Vec<String> = [std::slice::from_ref(section), path].concat();
        put(&mut document, &path, value.clone());
    }
    let together = |error: toml::de::Error| Mistake::of_all(error.message().to_owned());
    Config::deserialize(document).map_err(together)
}

/// Puts a value where the path leads. What is in the way is no table, and was told to be wrong.
fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => drop(table.insert(key.clone(), value)),
        [key, rest @ ..] => {
            let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// The semantic mistakes, but for keys about which something was said already.
fn misfits(config: &Config, chosen: &Chosen, known: &[Mistake]) -> Vec<Mistake> {
    let located = config.mistakes().map(|(section, (key, sentence))| {
        let place =
            chosen.get(&(section.to_owned(), vec![key.to_owned()])).map_or(Place::Default, |(_, place)| place.clone());
        Mistake { place, key: format!("{section}.{key}"), sentence }
    });
    located.filter(|found| known.iter().all(|said| said.key != found.key)).collect()
}

#[cfg(test)]
mod tests;
