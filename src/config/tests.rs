//! What a wrong configuration is told, and that `config/sealgate.toml` is true.

use proptest::prelude::*;

use super::*;

const REFERENCE: &str = include_str!("../../config/sealgate.toml");
/// Ends the line of a key that has no default.
const NOT_SET: &str = "# not set";

fn file(text: &str) -> Sources {
    Sources { file: Some(File { path: "s.toml".into(), text: text.to_owned() }), ..Sources::default() }
}

fn variables(variables: &[(&str, &str)]) -> Sources {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Sources { variables, ..Sources::default() }
}

fn told(sources: &Sources) -> Vec<String> {
    Config::load(sources).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_at_all_is_the_default() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.edge.listen, "127.0.0.1:1883".parse().unwrap());
}

#[test]
fn later_sources_win() {
    let mut sources = file("[edge]\nconnections_max = 1\nreceive_maximum = 1\nkeep_alive_secs_max = 1");
    sources.variables = variables(&[
        ("SEALGATE__EDGE__RECEIVE_MAXIMUM", "2"),
        ("SEALGATE__EDGE__KEEP_ALIVE_SECS_MAX", "2"),
        ("SEALGATE_CONFIG", "not a setting"),
    ])
    .variables;
    sources.flags = vec![Flag {
        name: "--set edge.keep_alive_secs_max".to_owned(),
        section: "edge".to_owned(),
        key: "keep_alive_secs_max".to_owned(),
        value: "3".to_owned(),
    }];
    let edge = Config::load(&sources).unwrap().edge;
    assert_eq!((edge.connections_max, edge.receive_maximum, edge.keep_alive_secs_max), (1, 2, 3));
}

#[test]
fn variables_need_no_quotes() {
    let sources = variables(&[
        ("SEALGATE__EDGE__LISTEN", "127.0.0.1:0"),
        ("SEALGATE__SHUTDOWN__TIMEOUT", "\"3s\""),
        ("SEALGATE__LOG__FORMAT", "json"),
    ]);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.edge.listen.port(), 0);
    assert_eq!(config.shutdown.timeout.as_secs(), 3);
    assert_eq!(config.log.format, log::Format::Json);
}

#[test]
fn all_mistakes_are_told_at_once_with_key_and_line() {
    let mut sources = file(
        "[edge]\nlisen = \"127.0.0.1:1\"\nlisten = \"0.0.0.0:1883\"\nreceive_maximum = \"many\"\n\
         [egde]\nlisten = 1\nplaintext = 2\n[log]\nlevel = \"loud\"\n[shutdown]\ntimeout = 0\n",
    );
    sources.variables = variables(&[
        ("SEALGATE__BROKER__QUEUE_MESSAGES_MAX", "0"),
        ("SEALGATE__SEAL__AGE", "1d"),
        ("SEALGATE__NOWHERE__KEY", "1"),
        ("SEALGATE__EDGE", "1"),
    ])
    .variables;
    let expected = [
        "s.toml:2: edge.lisen: unknown key `lisen`, expected one of `listen`, ",
        "s.toml:3: edge.listen: 0.0.0.0:1883 is not a loopback address",
        "s.toml:4: edge.receive_maximum: invalid type: string \"many\", expected u16",
        "s.toml:5: egde: unknown section `egde`, expected one of `edge`, ",
        "s.toml:9: log.level: unknown value `loud`, expected one of `error`, ",
        "s.toml:11: shutdown.timeout: invalid type: integer `0`, expected a duration",
        "SEALGATE__BROKER__QUEUE_MESSAGES_MAX: broker.queue_messages_max: 0 is not within 1 to 1000000",
        "SEALGATE__EDGE: is not of the form SEALGATE__AREA__KEY",
        "SEALGATE__NOWHERE__KEY: nowhere: unknown section `nowhere`",
        "SEALGATE__SEAL__AGE: seal.age: unknown key `age`",
    ];
    let told = told(&sources);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn a_value_that_cannot_be_right_is_told_in_every_section() {
    let wrong = [
        ("edge.receive_maximum", "0"),
        ("public.listen", "0.0.0.0:0"),
        ("hooks.cache_max_age", "25h"),
        ("auth.token_lifetime", "0s"),
        ("admin.listen", "0.0.0.0:0"),
        ("seal.age_max", "0s"),
        ("ingest.batch_rows_max", "0"),
        ("source.workers", "0"),
        ("rumqttd.connections_max", "0"),
        ("store.data_dir", ""),
        ("database.url", "mysql://localhost"),
        ("proof.checkpoint_interval", "0s"),
        ("broker.sessions_max", "0"),
        ("shutdown.timeout", "0s"),
        ("log.level", "loud"),
    ];
    let names = wrong.map(|(name, _)| format!("SEALGATE__{}", name.to_uppercase().replace('.', "__")));
    let settings: Vec<(&str, &str)> = names.iter().zip(wrong).map(|(name, (_, value))| (&**name, value)).collect();
    let told = told(&variables(&settings));
    assert_eq!(told.len(), wrong.len(), "{told:#?}");
    for (variable, (key, _)) in names.iter().zip(wrong) {
        assert!(told.iter().any(|line| line.starts_with(&format!("{variable}: {key}: "))), "{key}: {told:#?}");
    }
    let sections = names_known(Config::deserialize(Table::from_iter([("?".to_owned(), Value::Integer(0))])));
    for section in sections {
        assert!(wrong.iter().any(|(name, _)| name.split('.').next() == Some(&section)), "{section}: none is tried");
    }
}

/// The longest time that can be written. Added to any moment, or counted in milliseconds, it overflows.
#[test]
fn no_time_is_without_end() {
    let longest = format!("{}s", u64::MAX);
    for key in [
        "edge.connect_timeout",
        "hooks.cache_max_age",
        "auth.token_lifetime",
        "seal.future_tolerance",
        "seal.age_max",
        "store.spool_after",
        "ingest.retry_delay_max",
        "ingest.retry_window",
        "broker.session_expiry_max",
        "shutdown.timeout",
    ] {
        let variable = format!("SEALGATE__{}", key.to_uppercase().replace('.', "__"));
        let told = told(&variables(&[(&variable, &longest)]));
        assert!(told.len() == 1 && told[0].contains("is not within"), "{key}: {told:?}");
    }
}

#[test]
fn a_spool_needs_a_database_that_can_be_away() {
    let spool = "[store]\non_outage = \"spool\"\n";
    assert!(told(&file(spool))[0].starts_with("s.toml:2: store.on_outage: "), "{:?}", told(&file(spool)));
    Config::load(&file(&format!("{spool}[database]\nurl = \"postgres://host/name\""))).unwrap();
}

#[test]
fn a_setting_of_a_group_is_its_own_in_every_source() {
    let mut sources = file(
        "[seal.group.vans]\nage_max = \"1h\"\nfuture_tolerance = \"1s\"\n\
         [seal.group.pumps]\n[seal]\ngroup.boats = { age_max = \"3h\" }",
    );
    sources.variables = variables(&[("SEALGATE__SEAL__GROUP__VANS__AGE_MAX", "none")]).variables;
    sources.flags = vec![Flag {
        name: "--set seal.group.pumps.age_max".to_owned(),
        section: "seal".to_owned(),
        key: "group.pumps.age_max".to_owned(),
        value: "2h".to_owned(),
    }];
    sources.flags.push(Flag {
        name: "--set seal.group".to_owned(),
        section: "seal".to_owned(),
        key: "group".to_owned(),
        value: "{ boats = { age_max = '4h' } }".to_owned(),
    });
    let merged = Config::load(&sources).unwrap().seal;
    let written = "[seal.group]\nvans = { age_max = \"none\", future_tolerance = \"1s\" }\n\
        pumps = { age_max = \"2h\" }\nboats.age_max = \"4h\"";
    assert_eq!(merged, Config::load(&file(written)).unwrap().seal);
    assert_eq!(merged.group.len(), 3);
}

#[test]
fn a_mistake_in_a_group_is_told_with_its_key_and_line() {
    let mut sources = file(
        "[seal.group.vans]\nage_max = \"0s\"\nage = \"1h\"\n[seal.group.\"a b\"]\nage_max = \"1h\"\n\
         [seal.group.pumps]\nage_max.of = 1\n[edge.listen]\nport = 1883",
    );
    sources.variables = variables(&[
        ("SEALGATE__SEAL__GROUP__VANS", "1h"),
        ("SEALGATE__SEAL__GROUP__VANS__FUTURE_TOLERANCE", "none"),
        ("SEALGATE__SEAL__GROUP", "vans"),
    ])
    .variables;
    let expected = [
        "s.toml:2: seal.group.vans.age_max: 0ns is not within 1s to ",
        "s.toml:3: seal.group.vans.age: unknown key `age`, expected `future_tolerance` or `age_max`",
        "s.toml:5: seal.group.a b.age_max: the name of a group is 1 to 64 of A-Z a-z 0-9 _ -",
        "s.toml:7: seal.group.pumps.age_max.of: invalid type: map, expected a string",
        "s.toml:9: edge.listen.port: ",
        "SEALGATE__SEAL__GROUP: seal.group: invalid type: string \"vans\", expected a map",
        "SEALGATE__SEAL__GROUP__VANS: seal.group.vans: invalid type: string \"1h\", expected struct GroupConfig",
        "SEALGATE__SEAL__GROUP__VANS__FUTURE_TOLERANCE: seal.group.vans.future_tolerance: expected number",
    ];
    let told = told(&sources);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn broken_syntax_does_not_hide_other_mistakes() {
    let told = told(&file("[edge]\nlisten = \nconnections_max = -1\n[edge]\n[log]\nlevel = 99999999999999999999"));
    let places: Vec<&str> = told.iter().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["s.toml:2", "s.toml:3", "s.toml:4", "s.toml:6"], "{told:#?}");
    assert!(told.iter().all(|line| !line.contains('\n')), "{told:#?}");
}

#[test]
fn a_section_must_be_one() {
    assert_eq!(told(&file("edge = 1")), ["s.toml:1: edge: is a section: write [edge] and its keys below"]);
}

#[test]
fn plaintext_elsewhere_than_on_loopback_needs_the_operators_word() {
    for section in ["edge", "public", "admin"] {
        let open = format!("[{section}]\nlisten = \"0.0.0.0:0\"\n");
        assert_eq!(told(&file(&open)).len(), 1);
        assert!(told(&file(&format!("{open}plaintext = true")))[1].contains("plaintext"));
        Config::load(&file(&format!("{open}plaintext = \"i-accept\""))).unwrap();
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\[(edge|seal|x)\\]|listen|=|\"|'|\n|[0-9]{1,30}|\\PC|\\.){0,40}") {
        let _ = Config::load(&file(&text));
        let _ = Config::load(&variables(&[("SEALGATE__EDGE__LISTEN", &text)]));
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    assert_eq!(Config::load(&file(REFERENCE)).unwrap(), Config::default(), "as it is");
    let with_defaults = uncommented(|line| !line.ends_with(NOT_SET));
    assert_eq!(Config::load(&file(&with_defaults)).unwrap(), Config::default(), "with every default uncommented");
    Config::load(&file(&uncommented(|_| true))).expect("what is not set is shown with a value that may be set");
}

#[test]
fn the_reference_shows_every_key_once() {
    let shown: Table = uncommented(|_| true).parse().expect("a key that stands twice is an error");
    for section in names_known(Config::deserialize(Table::from_iter([("?".to_owned(), Value::Integer(0))]))) {
        let keys = shown.get(&section).and_then(Value::as_table).unwrap_or_else(|| panic!("[{section}] is missing"));
        let one_unknown = Table::from_iter([("?".to_owned(), Value::Integer(0))]);
        let section_alone = Table::from_iter([(section.clone(), Value::Table(one_unknown))]);
        for key in names_known(Config::deserialize(section_alone)) {
            assert!(keys.contains_key(&key), "{section}.{key} is missing");
        }
    }
}

fn uncommented(which: impl Fn(&str) -> bool) -> String {
    let is_setting =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let lines = REFERENCE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if is_setting(setting) && which(line) => setting,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The names that would have been right: "unknown field `?`, expected one of `a`, `b`".
fn names_known(unknown: Result<Config, toml::de::Error>) -> Vec<String> {
    let error = unknown.unwrap_err();
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}
