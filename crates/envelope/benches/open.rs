//! Opening a frame of 200 bytes against HMAC-SHA-256 alone over the same bytes, both with the key's state kept.
//!
//! The HMAC is what cannot be left out; the rest (CRC, header, context, comparison) should cost at most half of it again.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use hmac::{Hmac, KeyInit, Mac};
use sealgate_envelope::{
    Algorithm, DeviceId, DeviceKey, Direction, Key, MasterKey, Message, Policy, Sealed, frame_bytes, seal_frame,
};
use sha2::Sha256;

const FRAME_BYTES: usize = 200;
const RATIO_GOAL: f64 = 1.5;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().warm_up_time(Duration::from_secs(1));
    let device: DeviceId = "plant-7.pump:12".parse().expect("it is an id");
    let device_key = MasterKey::from([7; 32]).device_key(&device);
    let frame = frame(&device_key, &device);
    criterion.bench_function("hmac_alone", |bencher| {
        let keyed = Hmac::<Sha256>::new_from_slice(device_key.as_bytes()).expect("HMAC takes a key of any length");
        bencher.iter(|| keyed.clone().chain_update(black_box(&frame)).finalize().into_bytes());
    });
    criterion.bench_function("open_frame", |bencher| {
        let key = Key::new(&device_key);
        let policy = Policy::default();
        bencher.iter(|| {
            let sealed = Sealed::parse(black_box(&frame), &policy).expect("it is whole");
            sealed.open(&key, &device, Direction::FromDevice).expect("it is genuine").len()
        });
    });
    criterion.final_summary();
}

fn frame(key: &DeviceKey, device: &DeviceId) -> Vec<u8> {
    let payload = vec![b'x'; FRAME_BYTES - frame_bytes(0, Algorithm::HmacSha256)];
    let message = Message {
        algorithm: Algorithm::HmacSha256,
        key_version: 1,
        content_format: 110,
        counter: 1,
        time_ms: Some(1_790_000_000_250),
        payload: &payload,
    };
    let mut frame = vec![0; FRAME_BYTES];
    seal_frame(&mut frame, &message, &Key::new(key), device, Direction::FromDevice).expect("it fits");
    frame
}
