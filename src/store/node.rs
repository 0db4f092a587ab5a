//! Which gateway this is, among those that share the database or a broker.

use crate::store::OpenError;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const FILE_NAME: &str = "node.id";
const ID_BYTES: usize = 8;

/// The name that this data directory has: made once, so that a gateway that starts again knows which devices were its own.
pub fn node_id(data_dir: &Path) -> Result<String, OpenError> {
    let path = data_dir.join(FILE_NAME);
    let named = read(&path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => make(&path).and_then(|()| read(&path)),
        _ => Err(error),
    });
    named.map_err(|source| OpenError::File { path, source })
}

fn read(path: &Path) -> io::Result<String> {
    let id = fs::read_to_string(path)?.trim().to_owned();
    let is_id = id.len() == 2 * ID_BYTES && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id.then_some(id).ok_or_else(|| io::Error::other("it is not 16 hex digits; take it away, and another is made"))
}

/// Written under another name and linked, so that of two that start at once both read one.
fn make(path: &Path) -> io::Result<()> {
    let mut id = [0; ID_BYTES];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let id = hex::encode(id);
    let draft = path.with_extension(format!("draft-{id}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{id}\n").as_bytes()).and_then(|()| file.sync_all())?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}
