//! The plan of the house, kept true: who may import whom, where SQL and HTTP may stand, how long a file may get.
//!
//! Read as text, not compiled: a line of a table here is a line of the plan. Whoever needs another import changes the table
//! first, and says why.

mod code;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use code::{SourceFile, house, import_room, is_part_of_tests, relative, root, rust_files, without_tests};

/// What every room may use: it counts, and its `config.rs` speaks of settings.
const EVERYONE: &[&str] = &["limit", "metrics", "setting"];

/// Which rooms a room may import from, top floor first; `mqtt::topic` is that module alone.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    // `ingest` for `reopen` alone: what is released from the quarantine is judged and decoded as what comes in.
    (
        "cli",
        &[
            "gateway",
            "provision",
            "config",
            "shutdown",
            "auth",
            "proof",
            "ingest::reopen",
            "store",
            "seal",
            "mqtt",
            "envelope",
        ],
    ),
    (
        "gateway",
        &[
            "config", "edge", "source", "public", "admin", "broker", "proof", "ingest", "seal", "auth", "store",
            "http", "fetch", "tls", "proxy", "ready", "shutdown",
        ],
    ),
    // The `config.rs` of each area, which `config_imports_settings_alone` checks.
    (
        "config",
        &["edge", "source", "public", "admin", "broker", "proof", "ingest", "seal", "auth", "store", "shutdown"],
    ),
    // `mqtt::topic`, since other brokers ask about topics in words.
    // `seal`, since a device fetches its own key there.
    ("public", &["auth", "edge", "seal", "mqtt::topic", "http", "proxy", "shutdown"]),
    ("admin", &["provision", "broker", "auth", "ingest", "seal", "store", "http", "proxy", "ready", "shutdown"]),
    ("provision", &["auth", "seal", "store"]),
    ("edge", &["broker", "auth", "mqtt", "tls", "proxy", "shutdown"]),
    ("source", &["ingest", "auth", "mqtt", "fetch", "tls", "ready", "shutdown"]),
    ("broker", &["ingest", "auth", "mqtt", "store", "shutdown"]),
    ("proof", &["ingest", "seal", "store", "shutdown"]),
    ("ingest", &["seal", "store", "ready", "shutdown"]),
    ("seal", &["store", "envelope"]),
    // `fetch` and `tls`, since the keys of other issuers are asked for; `ready`, since without them their tokens are refused.
    ("auth", &["store", "mqtt::topic", "fetch", "tls", "ready"]),
    ("http", &["tls", "proxy"]),
    ("fetch", &["tls"]),
    ("tls", &[]),
    ("proxy", &[]),
    ("store", &[]),
    ("mqtt", &[]),
    ("metrics", &[]),
    ("setting", &[]),
    ("limit", &[]),
    ("ready", &[]),
    ("shutdown", &[]),
];

/// Crates that may be named in some rooms alone.
const KEPT_TO_ROOMS: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("axum", &["public", "admin", "http"]),
    ("hyper", &["public", "admin", "http", "fetch", "auth"]),
    ("hyper_util", &["public", "admin", "http", "fetch"]),
    ("hyper_rustls", &["fetch"]),
    ("oauth2", &["source"]),
    ("rumqttc", &["source"]),
    ("rumqttd", &["source"]),
    ("tokio_rustls", &["tls"]),
    ("x509_parser", &["tls"]),
    ("ppp", &["proxy"]),
    ("sealgate_envelope", &["seal", "cli"]),
    ("firmware_sim", &["cli"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("csv", &["cli"]),
    ("indicatif", &["cli"]),
    ("anyhow", &["cli"]),
];

/// Crates that would bring a C build, a code generator or a TLS library of the system's; SQLite and the allocator are all the C there is.
const NEVER_BUILT: &[&str] = &["aws-lc-sys", "prost-build", "bindgen", "cmake", "openssl-sys"];

/// Hosts of package registries, in two pieces each so that they do not stand here. Where packages come from is whoever builds'
/// to set.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("proxy.golang", ".org"),
    ("rubygems", ".org"),
    ("repo.maven", ".apache.org"),
    ("deb.debian", ".org"),
];

/// They name where each package came from.
const LOCK_FILES: &[&str] = &["Cargo.lock"];

/// The lines of a file, without its tests.
const FILE_LINES_MAX: usize = 400;
/// Files that may be longer: a table may be long, a decision may not.
const LONG_FILES: &[&str] = &[];

#[test]
fn imports_follow_the_table() {
    let mut wrong = Vec::new();
    for file in house() {
        let allowed = row(&file.room);
        for import in file.imports() {
            let fits = |entry: &&str| import == **entry || import.starts_with(&format!("{entry}::"));
            if import_room(&import) != file.room && !allowed.iter().chain(EVERYONE).any(fits) {
                wrong.push(format!("{} imports {import}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table of imports:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_a_row_for_each_room() {
    let rooms: BTreeSet<String> = house().into_iter().map(|file| file.room).filter(|room| room != "lib").collect();
    let rows: BTreeSet<String> = MAY_IMPORT.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, rows);
}

#[test]
fn the_table_has_no_circle() {
    // `config` and `setting` stand beside the floors: the areas define their settings, `config` gathers them.
    for (floor, (room, imports)) in MAY_IMPORT.iter().enumerate() {
        for import in *imports {
            let below = MAY_IMPORT.iter().position(|(other, _)| import_room(import) == *other);
            assert!(below.is_none_or(|below| below > floor), "{room} imports {import}, which is not below it");
        }
    }
}

#[test]
fn config_imports_settings_alone() {
    for file in house().iter().filter(|file| file.room == "config") {
        for import in file.imports() {
            let (_, item) = import.split_once("::").unwrap_or((&import, ""));
            let own = import_room(&import) == "config" || import_room(&import) == "setting";
            assert!(own || item.ends_with("Config"), "{} imports {import}", file.path.display());
        }
    }
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for file in house() {
        for (name, rooms) in KEPT_TO_ROOMS {
            if !rooms.contains(&&*file.room) && file.names(&format!("{name}::")) {
                wrong.push(format!("{} uses {name}, which only {rooms:?} may", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_printed_but_by_the_command_line() {
    for file in house() {
        for print in ["println!", "print!", "io::stdout", "io::stderr"] {
            let allowed = file.room == "cli";
            assert!(allowed || !file.names(print), "{} has {print}", file.path.display());
        }
    }
}

#[test]
fn lib_is_a_map() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let maps = |line: &str| ["//", "#!", "pub mod ", "pub use "].iter().any(|start| line.starts_with(start));
    for line in lib.lines().filter(|line| !line.is_empty()) {
        assert!(maps(line), "src/lib.rs defines something: {line}");
    }
}

#[test]
fn no_file_is_a_hall() {
    let folders = ["src", "crates", "firmware-sim", "tests", "benches"].map(|folder| root().join(folder));
    let mut long = BTreeSet::new();
    for path in folders.iter().flat_map(|folder| rust_files(folder)) {
        let text = fs::read_to_string(&path).unwrap();
        if without_tests(&text).lines().count() > FILE_LINES_MAX {
            long.insert(relative(&path));
        }
    }
    let listed: BTreeSet<String> = LONG_FILES.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(long, listed, "left: files over {FILE_LINES_MAX} lines; right: those that may be");
}

#[test]
fn every_file_says_why_it_exists() {
    let folders = ["src", "crates", "firmware-sim", "tests"].map(|folder| root().join(folder));
    let mut mute = Vec::new();
    for path in folders.iter().flat_map(|folder| rust_files(folder)).filter(|path| !is_part_of_tests(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().find(|line| line.starts_with("//!")).unwrap_or_default();
        if first.len() < 20 {
            mute.push(format!("{}: {first}", relative(&path)));
        }
    }
    assert!(mute.is_empty(), "{}", mute.join("\n"));
}

#[test]
fn readme_names_every_folder() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for entry in fs::read_dir(root()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let ours = !name.starts_with('.') && !["target", "sealgate-data"].contains(&&*name);
        if ours && entry.file_type().unwrap().is_dir() {
            assert!(readme.contains(&format!("`{name}/")), "README.md does not say what is in {name}/");
        }
    }
}

#[test]
fn nothing_is_built_that_needs_another_compiler() {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 100, "{} packages are too few to be all", packages.len());
    let names = packages.iter().map(|package| package["name"].as_str().unwrap());
    let found: Vec<&str> = names.filter(|name| NEVER_BUILT.contains(name)).collect();
    assert!(found.is_empty(), "Cargo.lock names {found:?}");
}

#[test]
fn no_file_names_a_package_registry() {
    // A copy of the sources without their history has nothing to ask.
    let Some(files) = tracked_files() else { return };
    assert!(files.iter().any(|file| file.ends_with("README.md")), "{files:?}");
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !LOCK_FILES.iter().any(|lock| file.ends_with(lock))) {
        // One that is deleted and not committed yet names nothing.
        let Ok(bytes) = fs::read(file) else { continue };
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let hosts = REGISTRIES.iter().map(|(name, rest)| format!("{name}{rest}"));
        found.extend(hosts.filter(|host| text.contains(host)).map(|host| format!("{}: {host}", relative(file))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden_in_every_member() {
    let workspace = manifest(root());
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        let inherits = manifest(&root().join(member)).get("lints").and_then(|lints| lints["workspace"].as_bool());
        assert_eq!(inherits, Some(true), "{member} has lints of its own");
    }
}

fn manifest(folder: &Path) -> toml::Table {
    fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// What git knows of; none without a checkout, or without git.
fn tracked_files() -> Option<Vec<PathBuf>> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok()?;
    let names = String::from_utf8(listed.stdout).unwrap();
    let files = names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect();
    (listed.status.success() && !names.is_empty()).then_some(files)
}

fn row(room: &str) -> &'static [&'static str] {
    MAY_IMPORT.iter().find(|(name, _)| *name == room).map_or(&[], |(_, imports)| imports)
}

#[test]
fn imports_are_found_however_they_are_written() {
    let found = |code: &str| {
        let file = SourceFile { path: root().join("src/edge/x.rs"), room: "edge".to_owned(), code: code.to_owned() };
        file.imports().into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found("use crate::store::Store;"), "store::Store");
    assert_eq!(found("use crate::{admin, edge::{A, B}, store::sqlite::X};"), "admin edge store::sqlite");
    assert_eq!(found("fn f(x: crate::auth::Grant) -> crate::mqtt::topic::Topic {"), "auth::Grant mqtt::topic");
    assert_eq!(found("use sealgate_envelope::Key;"), "envelope");
    assert_eq!(found("use super::Config;"), "");
    assert_eq!(found("use super::super::store;"), "super::super");
}
