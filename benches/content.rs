//! What decoding a payload costs: the payload of the golden vectors, in each format that carries readings.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealgate::ingest::content::{decode, to_senml_json};

const TIME_MS: i64 = 1_790_000_000_250;

const SENML_JSON: &[u8] =
    br#"[{"bn":"pump12/","bt":1790000000.25,"n":"temperature","u":"Cel","v":21.5},{"n":"pressure","u":"Pa","v":101325}]"#;

/// The same pack in CBOR: `[{-2: "pump12/", -3: 1790000000.25, 0: "temperature", 1: "Cel", 2: 21.5}, {0: "pressure", 1: "Pa", 2: 101325}]`.
const SENML_CBOR: &[u8] =
    b"\x82\xa5\x21\x67pump12/\x22\xfb\x41\xda\xac\x4e\xe0\x10\x00\x00\x00\x6btemperature\x01\x63Cel\
    \x02\xfb\x40\x35\x80\x00\x00\x00\x00\x00\xa3\x00\x68pressure\x01\x62Pa\x02\x1a\x00\x01\x8b\xcd";

const JSON: &[u8] = br#"{"pump12":{"temperature":21.5,"pressure":101325}}"#;

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("content");
    for (name, format, payload) in
        [("SenML+JSON", 110, SENML_JSON), ("SenML+CBOR", 112, SENML_CBOR), ("JSON", 50, JSON)]
    {
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| decode(Some(format), black_box(payload), TIME_MS)));
    }
    let readings = decode(Some(110), SENML_JSON, TIME_MS).expect("the payload is good");
    group.bench_function("publish", |bencher| bencher.iter(|| to_senml_json(black_box(&readings))));
    group.finish();
}

criterion_group!(benches, content);
criterion_main!(benches);
