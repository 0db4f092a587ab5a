//! The plan of the house, kept true: who may import whom, where SQL and HTTP may stand, how long a file may get.
//!
//! Read as text, not compiled: a line of a table here is a line of the plan. Whoever needs another import changes the table
//! first, and says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every room may use: it counts, and its `config.rs` speaks of settings.
const EVERYONE: &[&str] = &["limit", "metrics", "setting"];

/// Which rooms a room may import from, top floor first; `mqtt::topic` is that module alone.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    // `ingest` for `reopen` alone: what is released from the quarantine is judged and decoded as what comes in.
    ("cli", &["gateway", "config", "shutdown", "auth", "proof", "ingest::reopen", "store", "seal", "mqtt", "envelope"]),
    (
        "gateway",
        &[
            "config", "edge", "public", "admin", "broker", "proof", "ingest", "seal", "auth", "store", "http", "tls",
            "proxy", "ready", "shutdown",
        ],
    ),
    // The `config.rs` of each area, which `config_imports_settings_alone` checks.
    ("config", &["edge", "public", "admin", "broker", "proof", "ingest", "seal", "auth", "store", "shutdown"]),
    // `mqtt::topic`, since other brokers ask about topics in words.
    ("public", &["auth", "edge", "mqtt::topic", "http", "proxy", "shutdown"]),
    ("admin", &["broker", "auth", "ingest", "store", "http", "proxy", "ready", "shutdown"]),
    ("edge", &["broker", "auth", "mqtt", "tls", "proxy", "shutdown"]),
    ("broker", &["ingest", "auth", "mqtt", "store", "shutdown"]),
    ("proof", &["ingest", "seal", "store", "shutdown"]),
    ("ingest", &["seal", "store", "ready", "shutdown"]),
    ("seal", &["store", "envelope"]),
    ("auth", &["store", "mqtt::topic"]),
    ("http", &["tls", "proxy"]),
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
    ("hyper", &["public", "admin", "http"]),
    ("hyper_util", &["public", "admin", "http"]),
    ("tokio_rustls", &["tls"]),
    ("x509_parser", &["tls"]),
    ("ppp", &["proxy"]),
    ("sealgate_envelope", &["seal", "cli"]),
    ("firmware_sim", &["cli"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("anyhow", &["cli"]),
];

/// Crates that would bring a C build, a code generator or a TLS library of the system's; the C of SQLite and of the allocator is all there is.
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

/// A file of the root crate, as far as the plan speaks of it.
struct SourceFile {
    path: PathBuf,
    /// `edge` for `src/edge/listener.rs`, `shutdown` for `src/shutdown.rs`.
    room: String,
    /// Without comments and tests.
    code: String,
}

impl SourceFile {
    fn read(path: PathBuf) -> Self {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let room = Path::new(inside.components().next().unwrap().as_os_str()).file_stem().unwrap();
        let room = room.to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = without_tests(&text).lines().map(without_comment).collect::<Vec<_>>().join("\n");
        SourceFile { path, room, code }
    }

    /// Each path below `crate::` (in `main.rs`: below `sealgate::`) as far as two levels, `store::Config` for example.
    fn imports(&self) -> BTreeSet<String> {
        let roots = ["crate::", "sealgate::"];
        let after = roots.iter().flat_map(|root| self.code.split(root).skip(1));
        let mut found: BTreeSet<String> = after.flat_map(paths).collect();
        if self.names("sealgate_envelope::") {
            found.insert("envelope".to_owned());
        }
        found.extend(self.climbs_out().then(|| "super::super".to_owned()));
        found
    }

    /// Whether a chain of `super` leaves the room, where the table could not see it.
    fn climbs_out(&self) -> bool {
        let inside = self.path.strip_prefix(root().join("src")).unwrap();
        let is_face = inside.file_name().is_some_and(|name| name == "mod.rs");
        let depth = inside.components().count() - usize::from(is_face);
        self.code.contains(&"super::".repeat(depth.max(1)))
    }

    /// Whether `word` stands in the code, at the beginning of a word.
    fn names(&self, word: &str) -> bool {
        let begins = |at: usize| !self.code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        self.code.match_indices(word).any(|(at, _)| begins(at))
    }
}

/// The paths that a text begins with: `store::Config;` is one, `{edge::Config, store}` are two.
fn paths(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else { return vec![path(text)] };
    let mut depth = 0;
    let end = group.find(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth < 0
    });
    let group = &group[..end.unwrap_or(group.len())];
    top_level_parts(group).into_iter().map(path).filter(|path| !path.is_empty()).collect()
}

/// `{` within `{` belong to one path: `store::{Device, Store}, edge` are two parts.
fn top_level_parts(group: &str) -> Vec<&str> {
    let mut depth = 0;
    group
        .split(move |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == ','
        })
        .collect()
}

/// The first two levels of the path that `text` begins with.
fn path(text: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let text = text.trim_start();
    let whole = &text[..text.find(|c| !is_path(c)).unwrap_or(text.len())];
    whole.split("::").filter(|level| !level.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

fn import_room(import: &str) -> &str {
    import.split_once("::").map_or(import, |(room, _)| room)
}

fn row(room: &str) -> &'static [&'static str] {
    MAY_IMPORT.iter().find(|(name, _)| *name == room).map_or(&[], |(_, imports)| imports)
}

/// Tests come last in a file.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

fn without_comment(line: &str) -> &str {
    // A line that holds `://` is cut short; no import stands behind one.
    line.split("//").next().unwrap_or(line)
}

/// The root crate's code, without the files that hold tests alone.
fn house() -> Vec<SourceFile> {
    let files = rust_files(&root().join("src")).into_iter();
    files.filter(|path| !is_part_of_tests(path)).map(SourceFile::read).collect()
}

/// `src/store/tests/commit.rs` and `src/config/tests.rs`, but not what stands in the top folder `tests/`.
fn is_part_of_tests(path: &Path) -> bool {
    path.strip_prefix(root()).unwrap().iter().skip(1).any(|part| part == "tests" || part == "tests.rs")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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
