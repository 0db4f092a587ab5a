//! Whose message it is, by the topic that it came on, and whether it is this worker's.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::config::Part;
use crate::ingest::DeviceId;

/// What devices publish their envelopes on.
const TELEMETRY: &str = "devices/+/telemetry/#";

const PROBE: &str = "sealgate/probe/";

/// Characters that are kept of a name that no device can have.
const FOREIGN_CHARS_MAX: usize = 63;

/// The filter that a worker subscribes to. `#` matches the level above it too [MQTT-4.7.1-2].
pub(super) fn filter(group: Option<&str>) -> String {
    match group {
        Some(group) => format!("$share/{group}/{TELEMETRY}"),
        None => TELEMETRY.to_owned(),
    }
}

/// A filter and a topic by which a worker finds out whether the broker knows shared subscriptions: one that takes `$share` for a name like
/// any other grants it, and nothing ever comes.
pub(super) fn probe(client_id: &str) -> (String, String) {
    let topic = format!("{PROBE}{client_id}");
    (format!("$share/{client_id}/{topic}"), topic)
}

/// Whether a message is such a one, whenever it comes.
pub(super) fn is_probe(topic: &[u8]) -> bool {
    topic.starts_with(PROBE.as_bytes())
}

/// Who is named in `devices/{id}/telemetry` or `devices/{id}/telemetry/{stream}`. The broker lets anything through that its rules do not
/// forbid: what is no device's name becomes one that no device can have, and is refused, counted and kept like any unknown device's.
pub(super) fn sender(topic: &[u8]) -> Arc<str> {
    let text = String::from_utf8_lossy(topic);
    let id = text.strip_prefix("devices/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if id.parse::<DeviceId>().is_ok() {
        return id.into();
    }
    let kept = id.chars().filter(|c| !c.is_control()).take(FOREIGN_CHARS_MAX);
    std::iter::once('?').chain(kept).collect::<String>().into()
}

/// Whether a device is this worker's, where they split devices among themselves: first the processes by `part`, then the workers of each. All
/// agree, whichever machine they run on, and however many workers another process has.
pub(super) fn is_of(part: Part, worker: Part, device_id: &str) -> bool {
    let hash = Sha256::digest(device_id);
    let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (of, workers) = (u64::from(part.of), u64::from(worker.of));
    number % of == u64::from(part.number - 1) && (number / of) % workers == u64::from(worker.number - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_the_level_after_devices() {
        for topic in ["devices/pump-7/telemetry", "devices/pump-7/telemetry/fast", "devices/pump-7/telemetry/a/b"] {
            assert_eq!(&*sender(topic.as_bytes()), "pump-7");
        }
    }

    #[test]
    fn what_is_no_devices_name_becomes_one_that_no_device_can_have() {
        let long = "x".repeat(65);
        for id in ["", "a b", "pümp", "a\u{7f}b", &long] {
            let named = sender(format!("devices/{id}/telemetry").as_bytes());
            assert!(
                named.starts_with('?') && named.parse::<DeviceId>().is_err() && named.chars().count() <= 64,
                "{named}"
            );
            assert!(!named.contains(char::is_control));
        }
        assert_eq!(&*sender(b"devices/\xff/telemetry"), "?\u{fffd}");
        assert_eq!(&*sender(b"elsewhere"), "?");
    }

    fn all(of: u32) -> impl Iterator<Item = Part> {
        (1..=of).map(move |number| Part { number, of })
    }

    #[test]
    fn each_device_is_of_one_worker_and_none_has_much_more_than_another() {
        // Processes need not have as many workers as each other.
        for workers in [&[1, 1][..], &[2, 3], &[4], &[1, 2, 3]] {
            let of = u32::try_from(workers.len()).unwrap();
            let mut devices = vec![0; workers.iter().sum::<u32>() as usize];
            for device in 0..7000 {
                let id = format!("device-{device}");
                let everyone =
                    all(of).flat_map(|part| all(workers[part.number as usize - 1]).map(move |worker| (part, worker)));
                let its: Vec<usize> = everyone
                    .enumerate()
                    .filter(|(_, (part, worker))| is_of(*part, *worker, &id))
                    .map(|(place, _)| place)
                    .collect();
                assert_eq!(its.len(), 1, "{id}");
                devices[its[0]] += 1;
            }
            let mut place = 0;
            for count in workers {
                let even = 7000 / of / count;
                for _ in 0..*count {
                    assert!((even * 8 / 10..=even * 12 / 10).contains(&devices[place]), "{workers:?} {devices:?}");
                    place += 1;
                }
            }
        }
    }

    /// What runs on two machines has to agree, also after an update of one of them.
    #[test]
    fn the_split_is_the_same_for_ever() {
        let alone = Part { number: 1, of: 1 };
        let of = |id| all(5).find(|part| is_of(*part, alone, id)).unwrap().number;
        assert_eq!(["pump-1", "pump-2", "van.7", "0"].map(of), [2, 5, 5, 1]);
        let worker = |id| all(3).find(|worker| is_of(alone, *worker, id)).unwrap().number;
        assert_eq!(["pump-1", "pump-2", "van.7", "0"].map(worker), [3, 3, 2, 1]);
    }
}
