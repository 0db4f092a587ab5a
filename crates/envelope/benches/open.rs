//! Opening a frame of 200 bytes against HMAC-SHA-256 alone over the same bytes, both with the key's state kept.
//!
//! The HMAC is what cannot be left out; the rest (CRC, header, context, comparison) should cost at most half of it again.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use hmac::{Hmac, KeyInit, Mac};
use sealgate_envelope::{
    Algorithm, DeviceId, DeviceKey, Direction, Key, MasterKey, Message, Policy, Sealed, frame_bytes, seal_frame,
};
use sha2::Sha256;

const FRAME_BYTES: usize = 200;
const RATIO_GOAL: f64 = 1.5;
const TURNS: u32 = 5_000;
const CALLS: u32 = 200;

fn main() {
    let device: DeviceId = "plant-7.pump:12".parse().expect("it is an id");
    let device_key = MasterKey::from([7; 32]).device_key(&device);
    let frame = frame(&device_key, &device);
    let (keyed, key) = (Hmac::<Sha256>::new_from_slice(device_key.as_bytes()), Key::new(&device_key));
    let keyed = keyed.expect("HMAC takes a key of any length");
    let policy = Policy::default();
    let hmac_alone = || {
        black_box(keyed.clone().chain_update(black_box(&frame)).finalize().into_bytes());
    };
    let open_frame = || {
        let sealed = Sealed::parse(black_box(&frame), &policy).expect("it is whole");
        black_box(sealed.open(&key, &device, Direction::FromDevice).expect("it is genuine"));
    };

    let mut criterion = Criterion::default().configure_from_args().warm_up_time(Duration::from_secs(1));
    criterion.bench_function("hmac_alone", |bencher| bencher.iter(hmac_alone));
    criterion.bench_function("open_frame", |bencher| bencher.iter(open_frame));
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--bench") {
        print_ratio(hmac_alone, open_frame);
    }
}

/// The two take turns, and the ratio is the median over the turns, so that another load on the machine falls on both.
#[allow(clippy::print_stdout, reason = "the ratio is what the benchmark is for")]
fn print_ratio(hmac_alone: impl Fn(), open_frame: impl Fn()) {
    let turn = |_| {
        let hmac_ns = nanoseconds(&hmac_alone);
        let open_ns = nanoseconds(&open_frame);
        (open_ns / hmac_ns, open_ns, hmac_ns)
    };
    let mut turns: Vec<_> = (0..TURNS).map(turn).collect();
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, open_ns, hmac_ns) = turns[turns.len() / 2];
    println!("open_frame {open_ns:.0} ns / hmac_alone {hmac_ns:.0} ns = {ratio:.2} (goal: at most {RATIO_GOAL})");
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn nanoseconds(work: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
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
