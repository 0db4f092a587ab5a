//! The reader of the corpus: `tests/corpus/README.md` says how a seed is written. Unit tests and `tests/gateway/` share it.

use std::fs;
use std::path::Path;

/// One seed: what it is, what is expected of it, and its lines.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    /// Its file and its first comment.
    pub(crate) name: String,
    /// What follows `=`, one for each such line.
    pub(crate) expected: Vec<String>,
    /// The rest, without comments.
    pub(crate) lines: Vec<String>,
}

impl Seed {
    /// All lines as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| bytes(line).unwrap_or_else(|| panic!("{}: {line}", self.name))).collect()
    }

    /// The one line of what is expected.
    pub(crate) fn expected(&self) -> &str {
        let [expected] = &self.expected[..] else { panic!("{}: one line begins with =", self.name) };
        expected
    }
}

/// All seeds of one folder, in the order of their files.
pub(crate) fn seeds(folder: &str) -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &Path| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        read(&file, &fs::read_to_string(path).unwrap())
    };
    let seeds: Vec<Seed> = paths.iter().flat_map(|path| read(path)).collect();
    assert!(!seeds.is_empty(), "there is no seed in {}", folder.display());
    seeds
}

/// The seeds of a file: paragraphs, of which each begins with a comment. One that is nothing but comments is for the reader.
fn read(file: &str, text: &str) -> Vec<Seed> {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let seeds = paragraphs.map(|paragraph| {
        let first = paragraph.lines().next().and_then(|line| line.strip_prefix('#'));
        let what = first.unwrap_or_else(|| panic!("{file}: a seed begins with a comment: {paragraph}"));
        let mut seed = Seed { name: format!("{file}:{what}"), expected: Vec::new(), lines: Vec::new() };
        for line in paragraph.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            match line.strip_prefix('=') {
                Some(expected) => seed.expected.push(expected.trim().to_owned()),
                None => seed.lines.push(line.to_owned()),
            }
        }
        seed
    });
    seeds.filter(|seed| !seed.lines.is_empty()).collect()
}

/// Bytes as they are written: hexadecimal digits, `"text"`, `(…)`, and `{N}` behind a byte, a text or a group for N of them.
pub(crate) fn bytes(mut rest: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(next) = rest.chars().next() {
        let (item, after) = match next {
            ' ' => (Vec::new(), &rest[1..]),
            '"' => rest[1..].split_once('"').map(|(text, after)| (text.as_bytes().to_vec(), after))?,
            '(' => rest[1..].split_once(')').and_then(|(group, after)| Some((self::bytes(group)?, after)))?,
            _ => (vec![u8::from_str_radix(rest.get(..2)?, 16).ok()?], &rest[2..]),
        };
        let (times, after) = repeated(after)?;
        bytes.extend(item.repeat(times));
        rest = after;
    }
    Some(bytes)
}

/// A word of text, with `{N}` behind it for N of them and `\0` for U+0000.
pub(crate) fn text(word: &str) -> String {
    let (word, times) = match word.split_once('{') {
        Some((word, count)) => (word, count.trim_end_matches('}').parse().unwrap()),
        None => (word, 1),
    };
    word.replace("\\0", "\0").repeat(times)
}

fn repeated(after: &str) -> Option<(usize, &str)> {
    let Some(counted) = after.strip_prefix('{') else { return Some((1, after)) };
    let (count, after) = counted.split_once('}')?;
    Some((count.parse().ok()?, after))
}
