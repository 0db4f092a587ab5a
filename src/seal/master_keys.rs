//! The master keys: 32 random bytes a version, a line each: version, space, hex.
//!
//! A version that was destroyed keeps its line, so that its number is never given to another key. The first version also bears what rests on it
//! beside the devices' keys: the key under which secrets are stored, the one that signs checkpoints, and what the database knows these keys by.
//! These stay when it is destroyed, in its line; no device's key can be computed from them.
//!
//! Where the text comes from is told in [`source`].

pub(super) mod source;

use std::fmt::Write as _;

use sealgate_envelope::{DeviceId, DeviceKey, MasterKey};
use zeroize::{Zeroize, Zeroizing};

use super::ProofKey;
pub use source::{MasterKeySource, MasterKeysError};

const KEY_BYTES: usize = 32;

/// Every version of the master key that this gateway holds.
pub struct MasterKeys {
    /// Ascending by version, never empty.
    versions: Vec<(u8, Option<Master>)>,
    roots: Roots,
}

/// A key, and its bytes for whoever writes the text again.
struct Master {
    key: MasterKey,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// What rests on the first version.
struct Roots {
    storage: Zeroizing<[u8; KEY_BYTES]>,
    fingerprint: [u8; KEY_BYTES],
    checkpoint: Zeroizing<[u8; KEY_BYTES]>,
}

/// How a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// There is a key.
    Held,
    /// There was one.
    Destroyed,
}

/// Why a version is not added or destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// 255 versions are all that an envelope can name.
    #[error("there are 255 versions already, and an envelope can name no more")]
    Full,
    /// No such version.
    #[error("there is no master key of version {0}")]
    Unknown(u8),
    /// New devices get it.
    #[error("version {0} is the newest, which new devices get: add another first")]
    Newest(u8),
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

impl MasterKeys {
    /// The version that new devices get.
    pub fn newest(&self) -> u8 {
        self.held().last().map_or(0, |(version, _)| version)
    }

    /// Whether there is a key of this version.
    pub fn holds(&self, version: u8) -> bool {
        self.held().any(|(known, _)| known == version)
    }

    /// Every version, ascending.
    pub fn versions(&self) -> Vec<(u8, VersionState)> {
        let state =
            |master: &Option<Master>| if master.is_some() { VersionState::Held } else { VersionState::Destroyed };
        self.versions.iter().map(|(version, master)| (*version, state(master))).collect()
    }

    /// Every version from `lowest` on, with the device's key under it.
    pub fn device_keys(&self, device: &DeviceId, lowest: u8) -> Vec<(u8, DeviceKey)> {
        let valid = self.held().filter(|(version, _)| *version >= lowest);
        valid.map(|(version, master)| (version, master.key.device_key(device))).collect()
    }

    /// The device's key under `version`, if there is such a version.
    pub fn device_key(&self, version: u8, device: &DeviceId) -> Option<DeviceKey> {
        let found = self.held().find(|(known, _)| *known == version)?;
        Some(found.1.key.device_key(device))
    }

    /// The key under which secrets rest in the database.
    pub fn storage_key(&self) -> Zeroizing<[u8; 32]> {
        self.roots.storage.clone()
    }

    /// The key that checkpoints are signed with.
    pub fn proof_key(&self) -> ProofKey {
        ProofKey::of(&self.roots.checkpoint)
    }

    /// What the database remembers these keys by; it gives nothing of them away.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.roots.fingerprint
    }

    /// The same keys and one more version, and which that is.
    pub fn with_another(&self) -> Result<(Zeroizing<String>, u8), VersionError> {
        let last = self.versions.last().map_or(0, |(version, _)| *version);
        let next = last.checked_add(1).ok_or(VersionError::Full)?;
        let line = new_line(next).map_err(|_| VersionError::NoRandomness)?;
        Ok((Zeroizing::new(format!("{}{}", *self.text(None), *line)), next))
    }

    /// The same keys without that of `version`, whose line says so.
    pub fn without(&self, version: u8) -> Result<Zeroizing<String>, VersionError> {
        if !self.holds(version) {
            return Err(VersionError::Unknown(version));
        }
        if version == self.newest() {
            return Err(VersionError::Newest(version));
        }
        Ok(self.text(Some(version)))
    }

    /// Without a file, for tests; versions ascend.
    #[cfg(test)]
    pub(crate) fn of(versions: impl IntoIterator<Item = (u8, [u8; KEY_BYTES])>) -> Self {
        let lines = versions.into_iter().map(|(version, key)| format!("{version} {}\n", hex::encode(key)));
        parse(lines.collect::<String>().as_bytes()).unwrap()
    }

    fn held(&self) -> impl Iterator<Item = (u8, &Master)> {
        self.versions.iter().filter_map(|(version, master)| Some((*version, master.as_ref()?)))
    }

    /// As [`parse`] reads it, with one version destroyed that was not yet.
    fn text(&self, destroyed: Option<u8>) -> Zeroizing<String> {
        // Room for all of it from the start: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(self.versions.len() * LINE_BYTES_MAX));
        for (place, (version, master)) in self.versions.iter().enumerate() {
            let master = master.as_ref().filter(|_| destroyed != Some(*version));
            let digits = match (master, place) {
                (Some(master), _) => Zeroizing::new(hex::encode(master.bytes.as_slice())),
                (None, 0) => self.roots.text(),
                (None, _) => Zeroizing::new(DESTROYED.to_owned()),
            };
            writeln!(text, "{version} {}", *digits).expect("a String takes everything");
        }
        text
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Roots {
    fn of(master: &MasterKey) -> Roots {
        let fingerprint = *master.derive(b"sealgate/1 fingerprint");
        let checkpoint = ProofKey::scalar(|info| master.derive(info));
        Roots { storage: master.derive(b"sealgate/1 storage"), fingerprint, checkpoint }
    }

    fn text(&self) -> Zeroizing<String> {
        let parts =
            [&*self.storage, &self.fingerprint, &*self.checkpoint].map(|part| Zeroizing::new(hex::encode(part)));
        Zeroizing::new(format!("{DESTROYED} {} {} {}", *parts[0], *parts[1], *parts[2]))
    }
}

/// In the place of the digits.
const DESTROYED: &str = "destroyed";
/// The version, the word, three keys in hex, blanks and the end of the line.
const LINE_BYTES_MAX: usize = 4 + 10 + 3 * (2 * KEY_BYTES + 1);

/// What a text says wrongly, and in which line, from 1. It shows nothing of a key.
type Problem = (usize, &'static str);

fn parse(bytes: &[u8]) -> Result<MasterKeys, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| (1, "it is not text"))?;
    let (mut versions, mut roots): (Vec<(u8, Option<Master>)>, _) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        let (version, rest) = version_of(line).map_err(|problem| (index + 1, problem))?;
        if versions.last().is_some_and(|(last, _)| *last >= version) {
            return Err((index + 1, "versions must ascend"));
        }
        let (master, own) = match rest.strip_prefix(DESTROYED) {
            Some(rest) => (None, roots_of(rest).map_err(|problem| (index + 1, problem))?),
            None => (Some(master_of(rest).map_err(|problem| (index + 1, problem))?), None),
        };
        if index == 0 {
            roots = own.or_else(|| master.as_ref().map(|master| Roots::of(&master.key)));
        }
        versions.push((version, master));
    }
    let end = text.lines().count().max(1);
    // A half-written file must mean refusal, never a new key.
    if versions.is_empty() || !text.ends_with('\n') {
        return Err((end, "it is empty or cut short"));
    }
    if versions.last().is_none_or(|(_, master)| master.is_none()) {
        return Err((end, "the newest version is destroyed: there is no key for new devices"));
    }
    let roots = roots.ok_or((1, "the first version is destroyed, and what rests on it is missing"))?;
    Ok(MasterKeys { versions, roots })
}

fn version_of(line: &str) -> Result<(u8, &str), &'static str> {
    let (version, rest) = line.split_once(' ').ok_or("expected a version, a space and 64 hex digits")?;
    let version = version.parse().ok().filter(|version| *version > 0);
    Ok((version.ok_or("the version is not a number of 1 to 255")?, rest))
}

fn master_of(digits: &str) -> Result<Master, &'static str> {
    let bytes = key_of(digits)?;
    Ok(Master { key: MasterKey::from(*bytes), bytes })
}

/// What stands behind the word in the first line; nothing in others.
fn roots_of(rest: &str) -> Result<Option<Roots>, &'static str> {
    let parts: Vec<&str> = rest.split(' ').skip(1).collect();
    match parts.as_slice() {
        [] => Ok(None),
        [storage, fingerprint, checkpoint] => {
            let (storage, fingerprint, checkpoint) = (key_of(storage)?, *key_of(fingerprint)?, key_of(checkpoint)?);
            if !ProofKey::fits(&checkpoint) {
                return Err("the third key behind the word signs nothing");
            }
            Ok(Some(Roots { storage, fingerprint, checkpoint }))
        }
        _ => Err("a destroyed first version has three keys behind the word"),
    }
}

fn key_of(digits: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, &'static str> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    hex::decode_to_slice(digits, &mut *key).map_err(|_| "the key is not 64 hex digits")?;
    Ok(key)
}

/// A new key as a line.
fn new_line(version: u8) -> Result<Zeroizing<String>, getrandom::Error> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *key)?;
    let digits = Zeroizing::new(hex::encode(key.as_slice()));
    Ok(Zeroizing::new(format!("{version} {}\n", *digits)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::source::{FILE_BYTES_MAX, FILE_NAME, make, write_new};
    use super::*;

    fn file(directory: &Path) -> MasterKeySource {
        MasterKeySource::File { path: directory.join(FILE_NAME) }
    }

    fn empty_directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sealgate-master-keys-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn keys_are_made_once_and_read_again() {
        let directory = empty_directory("once");
        assert!(matches!(file(&directory).open(), Err(MasterKeysError::Missing(_))));
        let made = file(&directory).open_or_make().unwrap();
        let again = file(&directory).open_or_make().unwrap();
        assert_eq!(made.newest(), 1);
        assert_eq!(made.fingerprint(), again.fingerprint());
        let mode = std::fs::metadata(directory.join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = empty_directory("exposed");
        file(&directory).open_or_make().unwrap();
        let path = directory.join(FILE_NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(file(&directory).open_or_make(), Err(MasterKeysError::Exposed(_))));
    }

    #[test]
    fn an_empty_missing_or_half_written_file_is_refused_and_kept() {
        let good = format!("1 {}\n", "0f".repeat(32));
        for (name, text) in [
            ("empty", String::new()),
            ("cut", good[..40].to_owned()),
            ("no end", good.trim_end().to_owned()),
            ("version 0", good.replacen('1', "0", 1)),
            ("not hex", good.replacen('f', "g", 1)),
            ("twice", format!("{good}{good}")),
        ] {
            let directory = empty_directory(name);
            write_new(&directory.join(FILE_NAME), text.as_bytes()).unwrap();
            let result = file(&directory).open_or_make();
            assert!(matches!(result, Err(MasterKeysError::Malformed { .. })), "{name}");
            assert_eq!(std::fs::read_to_string(directory.join(FILE_NAME)).unwrap(), text, "{name}");
        }
    }

    #[test]
    fn a_file_of_every_version_is_read_and_a_longer_one_is_not() {
        let directory = empty_directory("long");
        let text: String = (1..=255).map(|version| format!("{version} {}\n", "0f".repeat(32))).collect();
        write_new(&directory.join(FILE_NAME), text.as_bytes()).unwrap();
        assert_eq!(file(&directory).open().unwrap().newest(), 255);
        std::fs::write(directory.join(FILE_NAME), vec![b'1'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(file(&directory).open_or_make(), Err(MasterKeysError::Io { .. })));
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let directory = empty_directory("there");
        let path = directory.join(FILE_NAME);
        write_new(&path, b"mine").unwrap();
        assert_eq!(write_new(&path, b"yours").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        make(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_device_gets_the_versions_from_its_lowest_on() {
        let text = format!("1 {}\n3 {}\n", "01".repeat(32), "03".repeat(32));
        let keys = parse(text.as_bytes()).unwrap();
        let device: DeviceId = "pump".parse().unwrap();
        let versions = |lowest| keys.device_keys(&device, lowest).into_iter().map(|(version, _)| version).collect();
        let (all, newer): (Vec<u8>, Vec<u8>) = (versions(1), versions(2));
        assert_eq!((all, newer), (vec![1, 3], vec![3]));
        assert!(keys.device_key(2, &device).is_none());
    }

    #[test]
    fn a_version_is_added_and_one_destroyed_and_what_rests_on_the_first_stays() {
        let one = MasterKeys::of([(1, [1; 32])]);
        let (text, version) = one.with_another().unwrap();
        let two = parse(text.as_bytes()).unwrap();
        assert_eq!((version, two.newest()), (2, 2));
        let device: DeviceId = "pump".parse().unwrap();
        let same = |a: &MasterKeys, b: &MasterKeys| {
            (a.fingerprint(), &*a.storage_key(), a.proof_key().sign(b"a"))
                == (b.fingerprint(), &*b.storage_key(), b.proof_key().sign(b"a"))
        };
        assert!(same(&one, &two));
        assert_eq!(two.without(2), Err(VersionError::Newest(2)));
        assert_eq!(two.without(3), Err(VersionError::Unknown(3)));

        let destroyed = parse(two.without(1).unwrap().as_bytes()).unwrap();
        assert!(same(&one, &destroyed), "the database goes on with it");
        assert_eq!(destroyed.versions(), [(1, VersionState::Destroyed), (2, VersionState::Held)]);
        assert!(destroyed.device_key(1, &device).is_none() && destroyed.device_key(2, &device).is_some());
        assert!(!destroyed.text(None).contains(&hex::encode([1; 32])));
        // Its number is never another's, and neither is that of a later one that is destroyed.
        let three = parse(destroyed.with_another().unwrap().0.as_bytes()).unwrap();
        let gone = parse(three.without(2).unwrap().as_bytes()).unwrap();
        assert_eq!(gone.with_another().unwrap().1, 4);
        assert!(same(&one, &gone));
        assert_eq!(MasterKeys::of([(255, [1; 32])]).with_another().err(), Some(VersionError::Full));
    }

    #[test]
    fn a_text_that_is_destroyed_in_the_wrong_place_is_refused() {
        let key = "0f".repeat(32);
        for text in [
            "1 destroyed\n".to_owned(),
            format!("1 destroyed\n2 {key}\n"),
            format!("1 destroyed {key}\n2 {key}\n"),
            format!("1 {key}\n2 destroyed\n"),
            format!("1 destroyed {key} {key} {key}\n"),
            format!("1 destroyed {key} {key} x\n2 {key}\n"),
            format!("1 destroyed {key} {key} {}\n2 {key}\n", "00".repeat(32)),
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
