//! The code of the house as text: which files there are, and what they import.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the root crate, as far as the plan speaks of it.
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// `edge` for `src/edge/listener.rs`, `shutdown` for `src/shutdown.rs`.
    pub(super) room: String,
    /// Without comments and tests.
    pub(super) code: String,
}

impl SourceFile {
    pub(super) fn read(path: PathBuf) -> Self {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let room = Path::new(inside.components().next().unwrap().as_os_str()).file_stem().unwrap();
        let room = room.to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = without_tests(&text).lines().map(without_comment).collect::<Vec<_>>().join("\n");
        SourceFile { path, room, code }
    }

    /// Each path below `crate::` (in `main.rs`: below `sealgate::`) as far as two levels, `store::Config` for example.
    pub(super) fn imports(&self) -> BTreeSet<String> {
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
    pub(super) fn climbs_out(&self) -> bool {
        let inside = self.path.strip_prefix(root().join("src")).unwrap();
        let is_face = inside.file_name().is_some_and(|name| name == "mod.rs");
        let depth = inside.components().count() - usize::from(is_face);
        self.code.contains(&"super::".repeat(depth.max(1)))
    }

    /// Whether `word` stands in the code, at the beginning of a word.
    pub(super) fn names(&self, word: &str) -> bool {
        let begins = |at: usize| !self.code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        self.code.match_indices(word).any(|(at, _)| begins(at))
    }
}

/// The paths that a text begins with: `store::Config;` is one, `{edge::Config, store}` are two.
pub(super) fn paths(text: &str) -> Vec<String> {
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
pub(super) fn top_level_parts(group: &str) -> Vec<&str> {
    let mut depth = 0;
    group
        .split(move |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == ','
        })
        .collect()
}

/// The first two levels of the path that `text` begins with.
pub(super) fn path(text: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let text = text.trim_start();
    let whole = &text[..text.find(|c| !is_path(c)).unwrap_or(text.len())];
    whole.split("::").filter(|level| !level.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

pub(super) fn import_room(import: &str) -> &str {
    import.split_once("::").map_or(import, |(room, _)| room)
}

/// Tests come last in a file.
pub(super) fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

pub(super) fn without_comment(line: &str) -> &str {
    // A line that holds `://` is cut short; no import stands behind one.
    line.split("//").next().unwrap_or(line)
}

/// The root crate's code, without the files that hold tests alone.
pub(super) fn house() -> Vec<SourceFile> {
    let files = rust_files(&root().join("src")).into_iter();
    files.filter(|path| !is_part_of_tests(path)).map(SourceFile::read).collect()
}

/// `src/store/tests/commit.rs` and `src/config/tests.rs`, but not what stands in the top folder `tests/`.
pub(super) fn is_part_of_tests(path: &Path) -> bool {
    path.strip_prefix(root()).unwrap().iter().skip(1).any(|part| part == "tests" || part == "tests.rs")
}

pub(super) fn rust_files(folder: &Path) -> Vec<PathBuf> {
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

pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
