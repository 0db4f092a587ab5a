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
use zeroize::{Zeroize, Zeroizing};

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
            Ok(text) => parse(&path, &text),
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

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut text = Zeroizing::new(String::with_capacity(4096));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn may_be_read_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0)
}

fn parse(path: &Path, text: &str) -> Result<MasterKeys, MasterKeysError> {
    let malformed = |line, problem| MasterKeysError::Malformed { path: path.to_owned(), line, problem };
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
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *key).map_err(MasterKeysError::NoRandomness)?;
    let mut line = format!("1 {}\n", hex::encode(*key));
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let linked = write_new(&draft, &line).and_then(|()| std::fs::hard_link(&draft, path));
    line.zeroize();
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => removed.and_then(|()| sync_directory(path)).map_err(failed),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
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
            write_new(&directory.join(FILE_NAME), &text).unwrap();
            let result = MasterKeys::open_or_make(&directory);
            assert!(matches!(result, Err(MasterKeysError::Malformed { .. })), "{name}");
            assert_eq!(std::fs::read_to_string(directory.join(FILE_NAME)).unwrap(), text, "{name}");
        }
    }

    #[test]
    fn a_device_gets_the_versions_from_its_lowest_on() {
        let text = format!("1 {}\n3 {}\n", "01".repeat(32), "03".repeat(32));
        let keys = parse(Path::new("master.keys"), &text).unwrap();
        let device: DeviceId = "pump".parse().unwrap();
        let versions = |lowest| keys.device_keys(&device, lowest).into_iter().map(|(version, _)| version).collect();
        let (all, newer): (Vec<u8>, Vec<u8>) = (versions(1), versions(2));
        assert_eq!((all, newer), (vec![1, 3], vec![3]));
        assert!(keys.device_key(2, &device).is_none());
    }
}
