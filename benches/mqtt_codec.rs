//! What one packet costs on the hot paths: a message in, its acknowledgement out, a message out.

use std::hint::black_box;
use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sealgate::mqtt::{Ack, Connect, Decoder, Packet, Publish, QoS, ReasonCode, Text, Topic, Version, encode};

const PACKETS_PER_READ: usize = 64;

/// A PUBLISH at QoS 1 of 200 bytes in all.
fn publish(version: Version) -> Packet {
    let topic = Topic::new("devices/plant-7:pump-12/telemetry").expect("the topic is valid");
    let mut publish = Publish::new(topic, Bytes::new());
    (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, NonZeroU16::new(7));
    let empty_bytes = Packet::Publish(publish.clone()).size(version);
    publish.payload = Bytes::from(vec![0x53; 200 - empty_bytes - 1]);
    Packet::Publish(publish)
}

fn encoded(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    bytes
}

fn decoder(version: Version) -> Decoder {
    let mut decoder = Decoder::new(1 << 20);
    let connect = Packet::Connect(Box::new(Connect::new(version, Text::from_static("c"))));
    decoder.decode(&mut encoded(&connect, version)).expect("the CONNECT is valid");
    decoder
}

/// As a driver has it: a read brings many packets, and each is dropped when it is dealt with.
fn decode(c: &mut Criterion, name: &str, packet: &Packet, version: Version) {
    let bytes = encoded(packet, version).repeat(PACKETS_PER_READ);
    let mut decoder = decoder(version);
    let mut group = c.benchmark_group("mqtt_codec");
    group.throughput(criterion::Throughput::Elements(PACKETS_PER_READ as u64));
    group.bench_function(name, |b| {
        let read = || BytesMut::from(&bytes[..]);
        b.iter_batched_ref(
            read,
            |buffer| {
                while let Ok(Some(packet)) = decoder.decode(buffer) {
                    black_box(packet);
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn write(c: &mut Criterion, name: &str, packet: &Packet, version: Version) {
    let mut out = BytesMut::with_capacity(1 << 16);
    c.bench_function(name, |b| {
        b.iter(|| {
            if out.len() > 60_000 {
                out.clear();
            }
            encode(black_box(packet), version, &mut out);
        });
    });
}

fn benchmarks(c: &mut Criterion) {
    let puback = Packet::PubAck(Ack::new(NonZeroU16::MAX, ReasonCode::Success));
    for (version, name) in [(Version::V311, "3.1.1"), (Version::V5, "5.0")] {
        decode(c, &format!("decode 64 PUBLISH of 200 bytes, {name}"), &publish(version), version);
        decode(c, &format!("decode 64 PUBACK, {name}"), &puback, version);
        write(c, &format!("encode PUBACK, {name}"), &puback, version);
        write(c, &format!("encode PUBLISH of 200 bytes, {name}"), &publish(version), version);
    }
}

criterion_group!(codec, benchmarks);
criterion_main!(codec);
