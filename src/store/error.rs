//! Why the store did not do what it was asked for.

use super::Outcome;
use std::path::PathBuf;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It can be neither made nor read, or its mode cannot be set.
    #[error("the data directory {} cannot be used: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Tightening a directory that holds other things could harm them.
    #[error(
        "the data directory {} is open to others (mode {mode:04o}) and holds other files; give it a directory of its own, or chmod 700",
        path.display()
    )]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file in the data directory cannot be made, read, written, or given mode 0600.
    #[error("the file {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{place} is not a database of Sealgate")]
    NotOurs {
        /// The file, or the database.
        place: String,
    },
    /// A newer Sealgate wrote it.
    #[error(
        "{place} has schema {found}, and this version of Sealgate knows schemas up to {known}; use a newer version"
    )]
    NewerSchema {
        /// The file, or the database.
        place: String,
        /// The schema's number there.
        found: i64,
        /// The newest number that this version knows.
        known: i64,
    },
    /// The database engine refuses.
    #[error("the database {place} cannot be opened: {source}")]
    Database {
        /// The file, or the database.
        place: String,
        /// What the engine says.
        source: StoreError,
    },
    /// It holds what was acknowledged for another database.
    #[error(
        "{place} holds {messages} messages that were acknowledged and are not in this database, which does not know this spool: \
         start once with the database that they were meant for, or move the file away"
    )]
    ForeignSpool {
        /// The file.
        place: String,
        /// How many.
        messages: i64,
    },
    /// Its server says that a commit is done before it is.
    #[error(
        "the database {place} has {setting} = off: what it has committed may be lost when it crashes, and an acknowledgement would be \
         a lie; switch it on, or set accept_lost_commits = true in [database]"
    )]
    LosesCommits {
        /// The database.
        place: String,
        /// The server's setting.
        setting: &'static str,
    },
}

/// The database did not do what it was asked for. Reading it again, or the write, may succeed later.
#[derive(Debug, thiserror::Error)]
#[error("the database failed: {0}")]
pub struct StoreError(#[from] pub(super) sqlx::Error);

/// Why a batch was not committed, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The connection, the disk or a lock: nothing of the batch is stored, and the same batch may succeed later.
    #[error("the batch cannot be committed now: {0}")]
    Passing(#[from] StoreError),
    /// The answer to the commit was lost on its way.
    #[error("the database did not say whether the batch is committed")]
    Unknown(Doubt),
}

/// A batch that may be committed or not.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// The transaction's number on the server.
    pub(super) transaction: String,
    /// What became of the entries, if it is.
    pub(super) outcomes: Vec<Outcome>,
}
