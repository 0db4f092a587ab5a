//! The master keys: 32 random bytes a version, in `master.keys` of the data directory, a line each: version, space, hex.
//!
//! The first version is made at the first start and never again: a gateway that finds devices but no keys must not invent new
//! ones, since every device would turn into a forger. Whether keys are due is the caller's to know, so there are two verbs,
//! [`MasterKeys::open`] and [`MasterKeys::open_or_make`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sealgate_envelope::{DeviceId, DeviceKey, MasterKey};
use zeroize::Zeroizing;

use super::ProofKey;

const FILE_NAME: &str = "master.keys";
/// 255 versions of 69 bytes at most; a longer file is not one of ours.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const KEY_BYTES: usize = 32;

/// Every version of the master key that this gateway holds.
pub struct MasterKeys {
    /// Ascending by version, never empty.
    versions: Vec<(u8, MasterKey)>,
}

/// Why there are no master keys. None of these shows a byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeysError {
    /// The file is not there although the database belongs to one.
    #[error("{} is missing, and the database was sealed with it: put the file back", .0.display())]
    Missing(PathBuf),
    /// The file may be read by others.
    #[error("{} may be read or written by others: chmod 600 it, and think about who has seen it", .0.display())]
    Exposed(PathBuf),
    /// The file does not say what it must.
    #[error("{} line {line}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file could not be read or made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(getrandom::Error),
}

impl MasterKeys {
    /// Reads the keys; they must be there.
    pub fn open(data_dir: &Path) -> Result<Self, MasterKeysError> {
        let path = data_dir.join(FILE_NAME);
        match read(&path) {
            Ok(bytes) => parse(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MasterKeysError::Missing(path)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && may_be_read_by_others(&path) => {
                Err(MasterKeysError::Exposed(path))
            }
            Err(source) => Err(MasterKeysError::Io { path, source }),
        }
    }

    /// Reads the keys, and makes version 1 where there are none.
    pub fn open_or_make(data_dir: &Path) -> Result<Self, MasterKeysError> {
        match Self::open(data_dir) {
            Err(MasterKeysError::Missing(path)) => {
                make(&path)?;
                Self::open(data_dir)
            }
            result => result,
        }
    }

    /// The version that new devices get.
    pub fn newest(&self) -> u8 {
        self.versions.last().map_or(0, |(version, _)| *version)
    }

    /// Whether there is a key of this version.
    pub fn holds(&self, version: u8) -> bool {
        self.versions.iter().any(|(known, _)| *known == version)
    }

    /// Every version from `lowest` on, with the device's key under it.
    pub fn device_keys(&self, device: &DeviceId, lowest: u8) -> Vec<(u8, DeviceKey)> {
        let valid = self.versions.iter().filter(|(version, _)| *version >= lowest);
        valid.map(|(version, master)| (*version, master.device_key(device))).collect()
    }

    /// The device's key under `version`, if there is such a version.
    pub fn device_key(&self, version: u8, device: &DeviceId) -> Option<DeviceKey> {
        let found = self.versions.iter().find(|(known, _)| *known == version)?;
        Some(found.1.device_key(device))
    }

    /// The key under which secrets rest in the database.
    pub fn storage_key(&self) -> Zeroizing<[u8; 32]> {
        self.first().derive(b"sealgate/1 storage")
    }

    /// The key that checkpoints are signed with.
    pub fn proof_key(&self) -> ProofKey {
        ProofKey::of(self)
    }

    pub(super) fn derived(&self, info: &[u8]) -> Zeroizing<[u8; 32]> {
        self.first().derive(info)
    }

    /// What the database remembers these keys by; it gives nothing of them away.
    pub fn fingerprint(&self) -> [u8; 32] {
        *self.first().derive(b"sealgate/1 fingerprint")
    }

    /// Without a file, for tests; versions ascend.
    #[cfg(test)]
    pub(crate) fn of(versions: impl IntoIterator<Item = (u8, [u8; KEY_BYTES])>) -> Self {
        MasterKeys { versions: versions.into_iter().map(|(version, key)| (version, MasterKey::from(key))).collect() }
    }

    fn first(&self) -> &MasterKey {
        &self.versions.first().expect("parse() refuses a file without a key").1
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Of the file's length from the start: a buffer that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(vec![0; metadata.len() as usize]);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn may_be_read_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<MasterKeys, MasterKeysError> {
    let malformed = |line, problem| MasterKeysError::Malformed { path: path.to_owned(), line, problem };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(1, "the file is not text"))?;
    let mut versions: Vec<(u8, MasterKey)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (version, key) = parse_line(line).map_err(|problem| malformed(index + 1, problem))?;
        if versions.last().is_some_and(|(last, _)| *last >= version) {
            return Err(malformed(index + 1, "versions must ascend"));
        }
        versions.push((version, key));
    }
    // A half-written file must mean refusal, never a new key.
    if versions.is_empty() || !text.ends_with('\n') {
        return Err(malformed(text.lines().count().max(1), "the file is empty or cut short"));
    }
    Ok(MasterKeys { versions })
}

fn parse_line(line: &str) -> Result<(u8, MasterKey), &'static str> {
    let (version, digits) = line.split_once(' ').ok_or("expected a version, a space and 64 hex digits")?;
    let version: u8 = version.parse().map_err(|_| "the version is not a number of 1 to 255")?;
    if version == 0 {
        return Err("the version is not a number of 1 to 255");
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    hex::decode_to_slice(digits, &mut *key).map_err(|_| "the key is not 64 hex digits")?;
    Ok((version, MasterKey::from(*key)))
}

/// Makes version 1 under another name and links it into place: of two that start at once, one wins and both read the winner's.
fn make(path: &Path) -> Result<(), MasterKeysError> {
    let failed = |source| MasterKeysError::Io { path: path.to_owned(), source };
    let line = first_line().map_err(MasterKeysError::NoRandomness)?;
    let draft = draft_of(path).map_err(MasterKeysError::NoRandomness)?;
    write_new(&draft, &line).map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => removed.and_then(|()| sync_directory(path)).map_err(failed),
    }
}

/// A new key as version 1.
fn first_line() -> Result<Zeroizing<Vec<u8>>, getrandom::Error> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *key)?;
    let mut line = Zeroizing::new(vec![b'\n'; LINE_BYTES]);
    line[..2].copy_from_slice(b"1 ");
    hex::encode_to_slice(key.as_slice(), &mut line[2..LINE_BYTES - 1]).expect("LINE_BYTES has room for the digits");
    Ok(line)
}

/// `1`, a space, the digits, the end of the line.
const LINE_BYTES: usize = 2 + 2 * KEY_BYTES + 1;

/// A name that nobody can have put something under.
fn draft_of(path: &Path) -> Result<PathBuf, getrandom::Error> {
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    Ok(path.with_extension(format!("draft-{}", hex::encode(name))))
}

/// Writes a file that must not be there; if it cannot be written whole, nothing is left of it.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.or_else(|error| std::fs::remove_file(path).and(Err(error)))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn empty_directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sealgate-master-keys-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn keys_are_made_once_and_read_again() {
        let directory = empty_directory("once");
        assert!(matches!(MasterKeys::open(&directory), Err(MasterKeysError::Missing(_))));
        let made = MasterKeys::open_or_make(&directory).unwrap();
        let again = MasterKeys::open_or_make(&directory).unwrap();
        assert_eq!(made.newest(), 1);
        assert_eq!(made.fingerprint(), again.fingerprint());
        let mode = std::fs::metadata(directory.join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = empty_directory("exposed");
        MasterKeys::open_or_make(&directory).unwrap();
        let path = directory.join(FILE_NAME);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKeys::open_or_make(&directory), Err(MasterKeysError::Exposed(_))));
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
            let result = MasterKeys::open_or_make(&directory);
            assert!(matches!(result, Err(MasterKeysError::Malformed { .. })), "{name}");
            assert_eq!(std::fs::read_to_string(directory.join(FILE_NAME)).unwrap(), text, "{name}");
        }
    }

    #[test]
    fn a_file_of_every_version_is_read_and_a_longer_one_is_not() {
        let directory = empty_directory("long");
        let text: String = (1..=255).map(|version| format!("{version} {}\n", "0f".repeat(32))).collect();
        write_new(&directory.join(FILE_NAME), text.as_bytes()).unwrap();
        assert_eq!(MasterKeys::open(&directory).unwrap().newest(), 255);
        std::fs::write(directory.join(FILE_NAME), vec![b'1'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(MasterKeys::open_or_make(&directory), Err(MasterKeysError::Io { .. })));
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let directory = empty_directory("there");
        let path = directory.join(FILE_NAME);
        write_new(&path, b"mine").unwrap();
        assert_eq!(write_new(&path, b"yours").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        make(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_device_gets_the_versions_from_its_lowest_on() {
        let text = format!("1 {}\n3 {}\n", "01".repeat(32), "03".repeat(32));
        let keys = parse(Path::new("master.keys"), text.as_bytes()).unwrap();
        let device: DeviceId = "pump".parse().unwrap();
        let versions = |lowest| keys.device_keys(&device, lowest).into_iter().map(|(version, _)| version).collect();
        let (all, newer): (Vec<u8>, Vec<u8>) = (versions(1), versions(2));
        assert_eq!((all, newer), (vec![1, 3], vec![3]));
        assert!(keys.device_key(2, &device).is_none());
    }
}
