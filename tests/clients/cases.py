"""The messages of the acceptance test: what a device sends, and what has to become of it.

A case is made when it is sent, so that its counter and its time are new. It knows nothing of sockets.
"""

import json
import time
from dataclasses import dataclass, replace

import cbor2

import sealing
from sealing import Facts, Sealer

ENVELOPE_BYTES_MAX = 65_536
HOUR_MS = 3_600_000
STRANGERS_KEY = b"k" * 32
# Neither a master key's version nor an imported one.
UNKNOWN_KEY_VERSION = 200

# MQTT 5, by the specification's table "Answers".
CODES = {
    "stored": 0x00, "duplicate": 0x00,
    "malformed": 0x99, "corrupt": 0x99, "bad_seal": 0x99, "bad_payload": 0x99,
    "unknown_device": 0x87, "device_disabled": 0x87, "unknown_key": 0x87,
    "too_large": 0x97,
    "replayed": 0x83, "stale": 0x83, "future": 0x83,
}


@dataclass(frozen=True)
class Reading:
    """A reading; `time_ms` None: the moment of its arrival."""

    name: str
    time_ms: int | None
    unit: str | None = None
    value: float | None = None
    text: str | None = None
    sum: float | None = None


@dataclass(frozen=True)
class Case:
    """One message."""

    name: str
    encoding: str
    message: bytes
    # "stored", "duplicate" or a reason
    outcome: str
    # Of a message that is stored, now or before.
    facts: Facts | None = None
    readings: tuple = ()


@dataclass
class Device:
    """What a device remembers."""

    sealer: Sealer
    key_version: int
    counter: int = 0

    def facts(self, content_format=110, time_ms=None, clock=True):
        self.counter += 1
        time_ms = (time_ms or now_ms()) if clock else None
        return Facts(self.counter, content_format, self.key_version, time_ms)


def now_ms():
    return time.time_ns() // 1_000_000


def enabled(device, stranger, encoding, stale_after_secs=None):
    """The cases of a device in good standing, in an order that matters: the second sends the first again."""
    good = stored(device, encoding, "good", 110)
    yield good
    yield replace(good, name="good again", outcome="duplicate")
    for content_format in (42, 50, 60, 112):
        yield stored(device, encoding, f"good, format {content_format}", content_format)
    yield stored(device, encoding, "good, no clock", 110, clock=False)
    yield from malformed(device, encoding)
    yield refused(encoding, "too_large", exactly(device, encoding, ENVELOPE_BYTES_MAX + 1))
    if encoding == "frame":
        yield refused(encoding, "corrupt", flipped(seal(device, encoding), 30))
    yield refused(encoding, "unknown_key", seal(device, encoding, replace(device.facts(), key_version=UNKNOWN_KEY_VERSION)))
    yield refused(encoding, "bad_seal", Sealer(device.sealer.device_id, STRANGERS_KEY).seal(encoding, PAYLOAD, device.facts()))
    yield refused(encoding, "bad_seal", seal(stranger, encoding), name="sealed by another device")
    if stale_after_secs:
        yield refused(encoding, "stale", seal(device, encoding, device.facts(time_ms=now_ms() - 1000 * (stale_after_secs + 60))))
    yield refused(encoding, "future", seal(device, encoding, device.facts(time_ms=now_ms() + HOUR_MS)))
    yield refused(encoding, "bad_payload", device.sealer.seal(encoding, b'[{"n":"a","v":1,"v":2}]', device.facts()))
    yield refused(encoding, "replayed", device.sealer.seal(encoding, b'[{"n":"b","v":1}]', good.facts))


def unknown_encoding():
    """What bears the first byte of no encoding."""
    yield refused("unknown", "malformed", b'{"temperature":21.5}', name="plain JSON")
    yield refused("unknown", "malformed", b"", name="nothing")
    yield refused("unknown", "too_large", b"x" * (ENVELOPE_BYTES_MAX + 1))


def malformed(device, encoding):
    if encoding == "frame":
        frame = bytearray(seal(device, encoding)[:-4])
        frame[2] = 2
        yield refused(encoding, "malformed", sealing.with_crc(bytes(frame)), name="a frame of version 2")
        yield refused(encoding, "malformed", device.sealer.frame(PAYLOAD, device.facts(), tag_bytes=8), name="a short tag")
    elif encoding == "cose":
        yield refused(encoding, "malformed", seal(device, encoding) + b"\0", name="a byte after the end")
        yield refused(encoding, "malformed", device.sealer.cose(PAYLOAD, device.facts(), unlisted={2: [6]}), name="crit")
    else:
        yield refused(encoding, "malformed", seal(device, encoding) + b"=", name="padding")
        yield refused(encoding, "malformed", device.sealer.jws(PAYLOAD, device.facts(), unlisted={"crit": ["ctr"]}), name="crit")


def stored(device, encoding, name, content_format, clock=True):
    facts = device.facts(content_format, clock=clock)
    payload, readings = CONTENT[content_format](facts.time_ms)
    return Case(name, encoding, device.sealer.seal(encoding, payload, facts), "stored", facts, tuple(readings))


def refused(encoding, reason, message, name=None):
    return Case(name or reason, encoding, message, reason)


def seal(device, encoding, facts=None):
    return device.sealer.seal(encoding, PAYLOAD, facts or device.facts())


def flipped(message, at):
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]


def exactly(device, encoding, length):
    """An envelope of so many bytes. The length of a JWS grows in steps, which a member that is not listed evens out."""
    facts = device.facts(content_format=42)
    for pad in range(4):
        unlisted = {"unlisted": {"x": "x" * pad}} if encoding == "jws" else {}
        make = getattr(device.sealer, encoding)
        spare = length - len(make(bytes(length // 2), facts, **unlisted))
        per_byte = 4 / 3 if encoding == "jws" else 1
        for payload_bytes in range(length // 2 + int(spare / per_byte) - 2, length // 2 + int(spare / per_byte) + 3):
            if len(message := make(bytes(payload_bytes), facts, **unlisted)) == length:
                return message
    raise AssertionError(f"no {encoding} has {length} bytes")


PAYLOAD = b'[{"n":"temperature","u":"Cel","v":21.5}]'


def nothing(_time_ms):
    return b"\0\xff", ()


def pack(time_ms):
    """The records of a SenML pack with a value of each type, and the readings that they are."""
    base_time = {} if time_ms is None else {"bt": time_ms / 1000 - 60}
    at = (lambda seconds: None) if time_ms is None else (lambda seconds: time_ms - 1000 * seconds)
    later = 0 if time_ms is None else 60
    records = [
        {"bn": "pump12/", **base_time, "n": "temperature", "u": "Cel", "t": later, "v": 21.5},
        {"n": "pressure", "u": "Pa", "bv": 100_000, "t": later, "v": 1325},
        {"n": "state", "t": later, "vs": "läuft"},
        {"n": "open", "t": later, "vb": False},
        {"n": "raw", "t": later, "vd": b"\0\xff"},
        {"n": "energy", "u": "J", "t": later - 1 if base_time else later, "s": 7.25},
    ]
    readings = (
        Reading("pump12/temperature", at(0), "Cel", 21.5),
        Reading("pump12/pressure", at(0), "Pa", 101_325.0),
        Reading("pump12/state", at(0), text="läuft"),
        Reading("pump12/open", at(0), text="false"),
        Reading("pump12/raw", at(0), text="AP8"),
        Reading("pump12/energy", at(1), "J", sum=7.25),
    )
    return records, readings


LABELS = {
    "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}


def senml_json(time_ms):
    records, readings = pack(time_ms)
    in_text = lambda value: sealing.base64url(value).decode() if isinstance(value, bytes) else value
    return json.dumps([{label: in_text(value) for label, value in record.items()} for record in records]).encode(), readings


def senml_cbor(time_ms):
    records, readings = pack(time_ms)
    return cbor2.dumps([{LABELS[label]: value for label, value in record.items()} for record in records]), readings


DOCUMENT = {"motor": {"rpm": [1480, 1475.5]}, "on": True, "label": "north/east", "a/b": None}


def by_path(time_ms):
    return (
        Reading("motor/rpm/0", time_ms, value=1480.0),
        Reading("motor/rpm/1", time_ms, value=1475.5),
        Reading("on", time_ms, text="true"),
        Reading("label", time_ms, text="north/east"),
    )


CONTENT = {
    42: nothing,
    50: lambda time_ms: (json.dumps(DOCUMENT).encode(), by_path(time_ms)),
    60: lambda time_ms: (cbor2.dumps(DOCUMENT), by_path(time_ms)),
    110: senml_json,
    112: senml_cbor,
}
