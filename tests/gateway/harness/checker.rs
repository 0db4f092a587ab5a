//! Holds a ledger of acknowledgements against the rows of a database.
//!
//! What was acknowledged must be stored; each row must be there once; and each must be sealed by the device that it names, which is
//! found out here from the specification's words and two hash functions, without the crate that gateway and devices share.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};
use firmware_sim::host::Acknowledged;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::gateway::Gateway;

/// Rows that are looked at together.
const PAGE: usize = 20_000;

/// Device, key version and counter: what is unique.
type Place = (String, u8, u64);

/// What was found in the database.
pub(crate) struct Rows(HashMap<Place, String>);

impl Rows {
    /// Reads all rows of frames, each verified under its device's key; panics at the first that is there twice, is not sealed, or
    /// has no reading.
    pub(crate) fn verified(gateway: &Gateway, keys: &HashMap<String, [u8; 32]>) -> Self {
        let mut rows = HashMap::new();
        let mut last = 0;
        loop {
            let page = gateway.sql(&format!(
                "SELECT envelope, device_id, key_version, counter, {} AS bytes FROM envelopes
                 WHERE envelope > {last} ORDER BY envelope LIMIT {PAGE}",
                gateway.hex("bytes")
            ));
            let Some(newest) = page.last() else { break };
            last = newest["envelope"].as_i64().unwrap();
            for row in &page {
                let place = place(row);
                let bytes = hex::decode(row["bytes"].as_str().unwrap()).unwrap();
                assert_sealed(&bytes, &place, &keys[&place.0]);
                let twice = rows.insert(place, hex::encode(Sha256::digest(&bytes)));
                assert_eq!(twice, None, "there twice: {row}");
            }
        }
        assert_eq!(number(gateway, "SELECT count(*) AS n FROM envelopes"), rows.len() as u64);
        for (these, those) in [("envelopes", "readings"), ("readings", "envelopes")] {
            let alone = format!(
                "SELECT count(*) AS n FROM (SELECT envelope FROM {these} EXCEPT SELECT envelope FROM {those}) AS alone"
            );
            assert_eq!(number(gateway, &alone), 0, "envelopes that are in {these} and not in {those}");
        }
        Rows(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this counter of a device is there, under the first version of its key.
    pub(crate) fn has(&self, device: &str, counter: u64) -> bool {
        self.0.contains_key(&(device.to_owned(), 1, counter))
    }

    /// Whether everything that a ledger says was acknowledged is here, byte for byte. Gives the number of its lines.
    pub(crate) fn assert_hold(&self, ledger: &Path) -> usize {
        let lines = acknowledged(ledger);
        for line in &lines {
            assert!(self.has_line(line), "acknowledged and not stored: {line:?}");
        }
        lines.len()
    }

    /// How much of it is not here.
    pub(crate) fn missing(&self, ledger: &Path) -> usize {
        acknowledged(ledger).iter().filter(|line| !self.has_line(line)).count()
    }

    fn has_line(&self, line: &Acknowledged) -> bool {
        self.0.get(&(line.device.clone(), line.key_version, line.counter)) == Some(&line.sha256)
    }
}

fn acknowledged(ledger: &Path) -> Vec<Acknowledged> {
    fs::read_to_string(ledger).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn place(row: &Value) -> Place {
    let device = row["device_id"].as_str().unwrap().to_owned();
    (device, row["key_version"].as_u64().unwrap().try_into().unwrap(), row["counter"].as_u64().unwrap())
}

/// A frame as the specification has it: magic, version, alg 5, key, flags, format, counter, …, tag of 32 bytes, CRC.
fn assert_sealed(frame: &[u8], (device, key_version, counter): &Place, key: &[u8; 32]) {
    let (covered, crc) = frame.split_at(frame.len() - 4);
    assert_eq!(Crc::<u32>::new(&CRC_32_ISCSI).checksum(covered).to_be_bytes(), crc, "the CRC of {device} {counter}");
    let (sealed, tag) = covered.split_at(covered.len() - 32);
    assert_eq!(&sealed[..6], [0x53, 0x47, 1, 5, *key_version, 0], "the header of {device} {counter}");
    assert_eq!(sealed[8..16], counter.to_be_bytes(), "the counter of {device}");
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    hmac.update(b"sealgate/1\0");
    hmac.update(&[device.len() as u8]);
    hmac.update(device.as_bytes());
    hmac.update(sealed);
    hmac.verify_slice(tag).unwrap_or_else(|_| panic!("the seal of {device} {counter} is broken"));
}

fn number(gateway: &Gateway, query: &str) -> u64 {
    gateway.sql(query)[0]["n"].as_u64().unwrap()
}
