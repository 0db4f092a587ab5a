//! The data directory is the gateway's alone: 0700, and every file of the database 0600.
//!
//! Modes are set, and never left to the umask. SQLite gives `-wal` and `-shm` the mode of the database file, so that file is
//! made here, before SQLite opens it. A directory that is open to others is tightened if it holds nothing but a database of
//! ours: `--data /tmp` must not lock everyone out of `/tmp`.

use super::OpenError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// The files of a database.
pub(super) struct Files {
    directory: PathBuf,
    database: PathBuf,
}

impl Files {
    /// Of the database `name` in a data directory.
    pub(super) fn new(directory: &Path, name: &str) -> Files {
        Files { directory: directory.to_owned(), database: directory.join(name) }
    }

    /// The database itself.
    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// How it is called where it is spoken of.
    pub(super) fn place(&self) -> String {
        self.database.display().to_string()
    }

    /// The log of what is committed and not yet in the database file.
    pub(super) fn wal(&self) -> PathBuf {
        self.beside("-wal")
    }

    /// Opens the database file as it is; `None` if it is not there. Changes nothing. No connection of this process may be open:
    /// closing the file would end its locks.
    pub(super) fn look(&self) -> Result<Option<File>, OpenError> {
        match File::open(&self.database) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.file_error(&self.database, source)),
        }
    }

    /// Makes what is not there, and takes the rights of others away.
    pub(super) fn claim(&self) -> Result<(), OpenError> {
        self.claim_directory()?;
        for file in [self.database.clone(), self.wal(), self.beside("-shm")] {
            tighten_file(&file).map_err(|source| self.file_error(&file, source))?;
        }
        let made = OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(&self.database);
        let moded = made.and_then(|file| file.set_permissions(Permissions::from_mode(FILE_MODE)));
        moded.map_err(|source| self.file_error(&self.database, source))
    }

    /// Makes the directory if it is not there, and takes the rights of others away.
    pub(super) fn claim_directory(&self) -> Result<(), OpenError> {
        let error = |source| OpenError::Directory { path: self.directory.clone(), source };
        let mode = match fs::metadata(&self.directory) {
            Ok(metadata) => metadata.permissions().mode() & 0o7777,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.directory).map_err(error)?;
                return fs::set_permissions(&self.directory, Permissions::from_mode(DIRECTORY_MODE)).map_err(error);
            }
            Err(other) => return Err(error(other)),
        };
        if mode & OTHERS == 0 {
            return Ok(());
        }
        if !self.holds_nothing_else().map_err(error)? {
            return Err(OpenError::OpenToOthers { path: self.directory.clone(), mode });
        }
        fs::set_permissions(&self.directory, Permissions::from_mode(DIRECTORY_MODE)).map_err(error)
    }

    fn holds_nothing_else(&self) -> io::Result<bool> {
        let is_empty = fs::read_dir(&self.directory)?.next().is_none();
        Ok(is_empty || self.database.exists())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    fn file_error(&self, path: &Path, source: io::Error) -> OpenError {
        OpenError::File { path: path.to_owned(), source }
    }
}

/// Takes the rights of others away from a file, if it is there: another process may end and take its log away meanwhile.
fn tighten_file(path: &Path) -> io::Result<()> {
    let tightened = fs::metadata(path).and_then(|metadata| match metadata.permissions().mode() & OTHERS {
        0 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(FILE_MODE)),
    });
    match tightened {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
