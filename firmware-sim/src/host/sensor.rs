//! Readings that look like some: three sensors whose values wander, written as SenML (RFC 8428).

use fastrand::Rng;
use minicbor::Encoder;

use super::settings::Content;

/// The sensors of one device.
pub(super) struct Sensors {
    temperature: f64,
    humidity: f64,
    battery: f64,
}

/// One record: name, unit, value.
type Record = (&'static str, &'static str, f64);

impl Sensors {
    /// Somewhere in the middle of what they measure.
    pub(super) fn new(rng: &mut Rng) -> Self {
        Sensors {
            temperature: 10.0 + 15.0 * rng.f64(),
            humidity: 40.0 + 20.0 * rng.f64(),
            battery: 50.0 + 50.0 * rng.f64(),
        }
    }

    /// A pack of about `bytes`: as many of the sensors as fit, one at least, and a note that fills the rest.
    pub(super) fn measure(&mut self, now_ms: i64, content: Content, bytes: usize, rng: &mut Rng) -> Vec<u8> {
        self.temperature = wander(self.temperature, 0.2, -40.0..=85.0, rng);
        self.humidity = wander(self.humidity, 0.5, 0.0..=100.0, rng);
        self.battery = wander(self.battery, 0.05, 0.0..=100.0, rng);
        let records = [
            ("temperature", "Cel", self.temperature),
            ("humidity", "%RH", self.humidity),
            ("battery", "%EL", self.battery),
        ];
        let write = |records: &[Record], note: usize| match content {
            Content::SenmlJson => json(now_ms, records, note),
            Content::SenmlCbor => cbor(now_ms, records, note),
        };
        let fitting = (1..=records.len()).rev().map(|count| &records[..count]);
        let fitting = fitting.clone().find(|records| write(records, 0).len() <= bytes).unwrap_or(&records[..1]);
        let with_an_empty_note = write(fitting, 1).len() - 1;
        match bytes.checked_sub(with_an_empty_note) {
            Some(note) if note > 0 => write(fitting, note),
            _ => write(fitting, 0),
        }
    }
}

/// Two decimals, as a sensor gives them.
fn wander(value: f64, step: f64, range: std::ops::RangeInclusive<f64>, rng: &mut Rng) -> f64 {
    let moved = value + step * (2.0 * rng.f64() - 1.0);
    (moved.clamp(*range.start(), *range.end()) * 100.0).round() / 100.0
}

fn json(now_ms: i64, records: &[Record], note: usize) -> Vec<u8> {
    let mut text = format!(r#"[{{"bt":{},"#, seconds(now_ms));
    for (place, (name, unit, value)) in records.iter().enumerate() {
        let opening = if place == 0 { "" } else { ",{" };
        text.push_str(&format!(r#"{opening}"n":"{name}","u":"{unit}","v":{value}}}"#));
    }
    if note > 0 {
        text.push_str(&format!(r#",{{"n":"note","vs":"{}"}}"#, "x".repeat(note)));
    }
    text.push(']');
    text.into_bytes()
}

/// The labels of RFC 8428 section 6: bt = -3, n = 0, u = 1, v = 2, vs = 3.
fn cbor(now_ms: i64, records: &[Record], note: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write_cbor(&mut encoder, now_ms, records, note).expect("a vector takes all that is written");
    encoder.into_writer()
}

fn write_cbor(
    encoder: &mut Encoder<Vec<u8>>,
    now_ms: i64,
    records: &[Record],
    note: usize,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    encoder.array(records.len() as u64 + u64::from(note > 0))?;
    for (place, (name, unit, value)) in records.iter().enumerate() {
        encoder.map(3 + u64::from(place == 0))?;
        if place == 0 {
            encoder.i8(-3)?.f64(seconds(now_ms))?;
        }
        encoder.u8(0)?.str(name)?.u8(1)?.str(unit)?.u8(2)?.f64(*value)?;
    }
    if note > 0 {
        encoder.map(2)?.u8(0)?.str("note")?.u8(3)?.str(&"x".repeat(note))?;
    }
    Ok(())
}

fn seconds(now_ms: i64) -> f64 {
    now_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_json_of_the_length_that_was_asked_for() {
        let mut rng = Rng::with_seed(1);
        let mut sensors = Sensors::new(&mut rng);
        for bytes in [0, 60, 100, 200, 1_000, 20_000] {
            let pack = sensors.measure(1_790_000_000_250, Content::SenmlJson, bytes, &mut rng);
            let records: Vec<serde_json::Value> = serde_json::from_slice(&pack).unwrap();
            assert_eq!(records[0]["bt"], 1_790_000_000.25);
            assert_eq!(records[0]["n"], "temperature");
            assert!(bytes < 200 || pack.len() == bytes, "{} of {bytes}", pack.len());
        }
    }

    #[test]
    fn a_pack_is_cbor_of_about_the_length_that_was_asked_for() {
        let mut rng = Rng::with_seed(1);
        let mut sensors = Sensors::new(&mut rng);
        for bytes in [0, 60, 100, 200, 1_000, 20_000] {
            let pack = sensors.measure(1_790_000_000_250, Content::SenmlCbor, bytes, &mut rng);
            let mut decoder = minicbor::Decoder::new(&pack);
            decoder.skip().unwrap();
            assert_eq!(decoder.position(), pack.len());
            assert!(bytes < 200 || pack.len().abs_diff(bytes) <= 4, "{} of {bytes}", pack.len());
        }
    }
}
