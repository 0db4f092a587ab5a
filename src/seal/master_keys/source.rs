//! Where the text of the master keys comes from: a file, a variable, or what a command prints (a vault's, a KMS's).
//!
//! The default file is made at the first start and never again: a gateway that finds devices but no keys must not invent new ones, since every
//! device would turn into a forger. Whether keys are due is the caller's to know, so there are two verbs, [`MasterKeySource::open`] and
//! [`MasterKeySource::open_or_make`]. What somebody else keeps is never made here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{MasterKeys, new_line, parse};

/// The name of the default file, in the data directory.
pub(super) const FILE_NAME: &str = "master.keys";
/// 255 versions; a longer text is not one of ours.
pub(super) const FILE_BYTES_MAX: u64 = 64 * 1024;
/// What a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// In a file.
    File {
        /// Its path.
        path: PathBuf,
    },
    /// In a file of somebody else's, which is not made.
    Given {
        /// Its path.
        path: PathBuf,
    },
    /// In a variable of this name.
    Variable(String),
    /// Printed by a command: the program and its arguments, without a shell.
    Command(Vec<String>),
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
    /// The text does not say what it must.
    #[error("{place} line {line}: {problem}")]
    Malformed {
        /// Where it comes from.
        place: String,
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
    /// The variable is not set.
    #[error("seal.master_keys_env: the variable {0} is not set, or is not text")]
    NoVariable(String),
    /// The command gives no keys.
    #[error("seal.master_keys_command: {program}: {problem}")]
    Command {
        /// What was run.
        program: String,
        /// What came of it.
        problem: String,
    },
    /// Somebody else keeps them.
    #[error("the master keys are not kept in a file of the data directory: put this text where they are kept")]
    NotOurs,
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(getrandom::Error),
}

impl MasterKeySource {
    /// The default file of a data directory.
    pub fn of_data_dir(data_dir: &Path) -> Self {
        MasterKeySource::File { path: data_dir.join(FILE_NAME) }
    }

    /// Reads the keys; they must be there.
    pub fn open(&self) -> Result<MasterKeys, MasterKeysError> {
        let text = match self {
            MasterKeySource::File { path } | MasterKeySource::Given { path } => self.read_file(path)?,
            MasterKeySource::Variable(name) => {
                let text = std::env::var(name).map_err(|_| MasterKeysError::NoVariable(name.clone()))?;
                // A variable seldom ends with the end of a line.
                Zeroizing::new(format!("{}\n", text.trim_end_matches('\n')).into_bytes())
            }
            MasterKeySource::Command(command) => run(command)?,
        };
        parse(&text).map_err(|(line, problem)| MasterKeysError::Malformed { place: self.place(), line, problem })
    }

    /// Reads the keys, and makes version 1 where there are none, if that is ours to do.
    pub fn open_or_make(&self) -> Result<MasterKeys, MasterKeysError> {
        match (self.open(), self) {
            (Err(MasterKeysError::Missing(path)), MasterKeySource::File { .. }) => {
                make(&path)?;
                self.open()
            }
            (result, _) => result,
        }
    }

    /// Puts another text in the place of the file's. What is there at any moment is one or the other, whole.
    pub fn replace(&self, text: &str) -> Result<(), MasterKeysError> {
        let MasterKeySource::File { path } = self else { return Err(MasterKeysError::NotOurs) };
        let failed = |source| MasterKeysError::Io { path: path.clone(), source };
        let draft = draft_of(path).map_err(MasterKeysError::NoRandomness)?;
        write_new(&draft, text.as_bytes()).map_err(failed)?;
        let moved = std::fs::rename(&draft, path).or_else(|error| std::fs::remove_file(&draft).and(Err(error)));
        moved.and_then(|()| sync_directory(path)).map_err(failed)
    }

    /// Something that changes when the file does; none: it is not known when they change.
    pub fn stamp(&self) -> Option<(u64, i64, i64)> {
        match self {
            MasterKeySource::File { path } | MasterKeySource::Given { path } => {
                let found = std::fs::metadata(path).ok()?;
                Some((found.ino(), found.mtime(), found.mtime_nsec()))
            }
            MasterKeySource::Variable(_) | MasterKeySource::Command(_) => None,
        }
    }

    /// For messages.
    pub fn place(&self) -> String {
        match self {
            MasterKeySource::File { path } | MasterKeySource::Given { path } => path.display().to_string(),
            MasterKeySource::Variable(name) => format!("the variable {name}"),
            MasterKeySource::Command(command) => {
                format!("what {:?} prints", command.first().map_or("", String::as_str))
            }
        }
    }

    fn read_file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, MasterKeysError> {
        match read(path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MasterKeysError::Missing(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && may_be_read_by_others(path) => {
                Err(MasterKeysError::Exposed(path.to_owned()))
            }
            Err(source) => Err(MasterKeysError::Io { path: path.to_owned(), source }),
        }
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

/// What a command prints, within a time and a length.
fn run(command: &[String]) -> Result<Zeroizing<Vec<u8>>, MasterKeysError> {
    let program = command.first().cloned().unwrap_or_default();
    let failed = |problem: String| MasterKeysError::Command { program: program.clone(), problem };
    let mut started = Command::new(&program);
    started.args(command.iter().skip(1)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = started.spawn().map_err(|error| failed(error.to_string()))?;
    let stdout = child.stdout.take().expect("it was asked for");
    let (sender, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
        let read = stdout.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let read = printed.recv_timeout(COMMAND_TIMEOUT);
    if read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    let bytes = read.map_err(|_| failed(format!("it printed nothing within {COMMAND_TIMEOUT:?}")))?;
    let bytes = bytes.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(format!("it prints more than {FILE_BYTES_MAX} bytes")));
    }
    if status.success() { Ok(bytes) } else { Err(failed(format!("it ended with {status}"))) }
}

/// Makes version 1 under another name and links it into place: of two that start at once, one wins and both read the winner's.
pub(super) fn make(path: &Path) -> Result<(), MasterKeysError> {
    let failed = |source| MasterKeysError::Io { path: path.to_owned(), source };
    let line = new_line(1).map_err(MasterKeysError::NoRandomness)?;
    let draft = draft_of(path).map_err(MasterKeysError::NoRandomness)?;
    write_new(&draft, line.as_bytes()).map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => removed.and_then(|()| sync_directory(path)).map_err(failed),
    }
}

/// A name that nobody can have put something under.
fn draft_of(path: &Path) -> Result<PathBuf, getrandom::Error> {
    let mut name = [0; 8];
    getrandom::fill(&mut name)?;
    Ok(path.with_extension(format!("draft-{}", hex::encode(name))))
}

/// Writes a file that must not be there; if it cannot be written whole, nothing is left of it.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.or_else(|error| std::fs::remove_file(path).and(Err(error)))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(text: &str) -> MasterKeySource {
        MasterKeySource::Command(vec!["printf".to_owned(), "%b".to_owned(), text.to_owned()])
    }

    /// CVE-2018-12550 and CVE-2018-12551: what was empty or could not be read meant that everybody might. Here it means that nobody does.
    #[test]
    fn what_is_empty_missing_or_half_written_is_refused_wherever_it_comes_from() {
        let line = format!("1 {}", "0f".repeat(32));
        let dir = tempfile::tempdir().unwrap();
        let given = MasterKeySource::Given { path: dir.path().join("keys") };
        assert!(matches!(given.open_or_make(), Err(MasterKeysError::Missing(_))), "what others keep is not made");
        assert!(!dir.path().join("keys").exists());
        for (name, text) in [("empty", String::new()), ("cut", line[..40].to_owned()), ("no end", line.clone())] {
            assert!(matches!(prints(&text).open_or_make(), Err(MasterKeysError::Malformed { .. })), "{name}");
        }
        assert_eq!(prints(&format!("{line}\\n")).open().unwrap().newest(), 1);
        let unset = MasterKeySource::Variable("SEALGATE_TEST_NO_SUCH_VARIABLE".to_owned());
        assert!(matches!(unset.open_or_make(), Err(MasterKeysError::NoVariable(_))));
        for command in [vec!["false"], vec!["/nowhere/at/all"], vec![""], vec!["head", "-c", "70000", "/dev/zero"]] {
            let command = MasterKeySource::Command(command.into_iter().map(str::to_owned).collect());
            assert!(matches!(command.open_or_make(), Err(MasterKeysError::Command { .. })), "{command:?}");
        }
    }

    #[test]
    fn another_text_takes_the_place_of_the_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        let source = MasterKeySource::of_data_dir(dir.path());
        let (first, before) = (source.open_or_make().unwrap(), source.stamp());
        let (text, _) = first.with_another().unwrap();
        source.replace(&text).unwrap();
        assert_eq!(source.open().unwrap().newest(), 2);
        assert_ne!(source.stamp(), before, "who looks at the stamp sees it");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
        assert!(matches!(prints("").replace(&text), Err(MasterKeysError::NotOurs)));
    }
}
