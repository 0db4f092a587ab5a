//! What a device logs in and seals with, as `sealgate device add --format json` prints it, one object a line.

use std::collections::HashSet;

use sealgate_envelope::{DeviceId, DeviceKey, Key};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// One device's credentials. They print nothing of themselves.
#[derive(Clone)]
pub struct Credentials {
    /// Who it is.
    pub device_id: DeviceId,
    /// What it fetches tokens as.
    pub client_id: String,
    /// With this secret.
    pub client_secret: Zeroizing<String>,
    /// What it seals with.
    pub key: Key,
    /// Which version of its key that is.
    pub key_version: u8,
}

/// A line that is no device's credentials.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("line {line} of the credentials: {what}")]
pub struct BadCredentials {
    /// Counted from 1.
    pub line: usize,
    /// Nothing of the line itself: it may hold a secret.
    pub what: &'static str,
}

#[derive(Deserialize)]
struct Line {
    device_id: String,
    client_id: String,
    client_secret: Zeroizing<String>,
    seal_key: Zeroizing<String>,
    key_version: u8,
}

impl Credentials {
    /// Reads JSON objects, one a line; empty lines are passed over.
    pub fn read(text: &str) -> Result<Vec<Credentials>, BadCredentials> {
        let mut known = HashSet::new();
        let mut read = |line: &str| {
            let credentials = Self::read_line(line)?;
            // Two connections of one device would end each other's, and use its counters twice.
            let is_new = known.insert(credentials.device_id.as_str().to_owned());
            is_new.then_some(credentials).ok_or("the device stands on an earlier line already")
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(at, line)| read(line).map_err(|what| BadCredentials { line: at + 1, what })).collect()
    }

    fn read_line(line: &str) -> Result<Credentials, &'static str> {
        let line: Line = serde_json::from_str(line)
            .map_err(|_| "not what `sealgate device add --format json` prints, one object a line")?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(line.seal_key.as_str(), key.as_mut_slice())
            .map_err(|_| "seal_key is not 64 hexadecimal digits")?;
        Ok(Credentials {
            device_id: line.device_id.parse().map_err(|_| "device_id is no device id")?,
            client_id: line.client_id,
            client_secret: line.client_secret,
            key: Key::new(&DeviceKey::from(*key)),
            key_version: line.key_version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seal_key: &str) -> String {
        format!(r#"{{"device_id":"pump","client_id":"c","client_secret":"s","seal_key":"{seal_key}","key_version":1}}"#)
    }

    #[test]
    fn one_object_a_line() {
        let good = line(&"07".repeat(32));
        let other = good.replace("pump", "fan");
        let read = Credentials::read(&format!("{good}\n\n{other}\n")).unwrap();
        assert_eq!(read.iter().map(|device| device.device_id.as_str()).collect::<Vec<_>>(), ["pump", "fan"]);
        let twice = Credentials::read(&format!("{good}\n\n{good}\n")).err().unwrap();
        assert_eq!(twice, BadCredentials { line: 3, what: "the device stands on an earlier line already" });
    }

    #[test]
    fn a_bad_line_is_named_and_not_repeated() {
        for bad in ["{}".to_owned(), line("07"), line(&"0g".repeat(32)), line(&"07".repeat(32)).replace("pump", "p/")] {
            let Err(error) = Credentials::read(&format!("\n{bad}")) else { panic!("{bad}") };
            assert_eq!(error.line, 2);
            assert!(!error.to_string().contains("0707"), "{error}");
        }
    }
}
