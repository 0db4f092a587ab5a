//! Devices and their tokens: added by the command line, fetched from the token endpoint.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::gateway::{Added, House};
use super::process::{PATIENCE, Scratch};

/// A command line has a length.
const ADDED_AT_ONCE: usize = 5_000;
/// Connections to the token endpoint at a time.
const FETCHERS: usize = 4;
/// Where a file system in memory is on Linux. Devices are added one commit each; what is not measured need not wait for a disk.
const IN_MEMORY: &str = "/dev/shm";

/// Adds devices to a data directory that nobody uses yet.
pub(crate) fn add(house: &House, ids: &[String]) -> Result<Vec<Added>> {
    if house.url.is_some() {
        return add_all(house, ids);
    }
    let Ok(memory) = Scratch::within(Path::new(IN_MEMORY), "connections", "devices") else {
        return add_all(house, ids);
    };
    let quick = House::new(&memory)?;
    let added = add_all(&quick, ids)?;
    fs::create_dir_all(&house.data)?;
    for file in fs::read_dir(&quick.data)? {
        let file = file?;
        fs::copy(file.path(), house.data.join(file.file_name()))?;
    }
    Ok(added)
}

fn add_all(house: &House, ids: &[String]) -> Result<Vec<Added>> {
    let mut added = Vec::with_capacity(ids.len());
    for ids in ids.chunks(ADDED_AT_ONCE) {
        added.extend(house.add_devices(ids)?);
    }
    Ok(added)
}

/// A token for each, in their order.
pub(crate) fn fetch(public: SocketAddr, added: &[Added]) -> Result<Vec<String>> {
    thread::scope(|scope| {
        let parts = added.chunks(added.len().div_ceil(FETCHERS).max(1));
        let fetching: Vec<_> = parts.map(|part| scope.spawn(move || fetch_on_one_connection(public, part))).collect();
        let mut tokens = Vec::with_capacity(added.len());
        for part in fetching {
            tokens.extend(part.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??);
        }
        Ok(tokens)
    })
}

fn fetch_on_one_connection(public: SocketAddr, added: &[Added]) -> Result<Vec<String>> {
    let mut stream = TcpStream::connect(public)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    added.iter().map(|added| fetch_one(&mut stream, &mut answers, public, added)).collect()
}

fn fetch_one(
    stream: &mut TcpStream,
    answers: &mut BufReader<TcpStream>,
    public: SocketAddr,
    added: &Added,
) -> Result<String> {
    let (client_id, secret) = (added.text("client_id")?, added.text("client_secret")?);
    let body = format!("grant_type=client_credentials&client_id={client_id}&client_secret={secret}");
    let length = body.len();
    stream.write_all(
        format!(
            "POST /oauth/token HTTP/1.1\r\nhost: {public}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut length = 0;
    for nth in 0.. {
        let mut line = String::new();
        ensure!(answers.read_line(&mut line)? > 0, "the token endpoint closed the connection");
        ensure!(nth > 0 || line.split(' ').nth(1) == Some("200"), "{line}");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(answer["access_token"].as_str().context("no access_token")?.to_owned())
}
