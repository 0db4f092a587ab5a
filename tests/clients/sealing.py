#!/usr/bin/python3
"""Seals and opens envelopes as a device does, in Python, from the text of the specification.

It shares no line with the gateway: the cryptography is hashlib's, the CBOR is cbor2's. It exists so that the gateway is tested
against a second reading of the specification; it is no library for devices, and it does not judge what it opens beyond the seal.

    sealing.py --vectors envelope-vectors.json    seals the good golden vectors again, byte for byte
"""

import argparse
import base64
import hashlib
import hmac
import json
import struct
import sys
from dataclasses import dataclass

import cbor2

FROM_DEVICE = b"sealgate/1"
COMMAND = b"sealgate/1 down"
RECEIPT = b"sealgate/1 receipt"

ENCODINGS = ("frame", "cose", "jws")

# The list of reasons; a verdict of a receipt is 3 + the place in it.
REASONS = (
    "malformed", "too_large", "corrupt", "unknown_device", "device_disabled", "unknown_key", "bad_seal", "stale", "future",
    "bad_payload", "replayed",
)
VERDICTS = ("stored", "duplicate", "spooled") + REASONS

MEDIA_TYPES = {
    42: "application/octet-stream",
    50: "application/json",
    60: "application/cbor",
    110: "application/senml+json",
    112: "application/senml+cbor",
}


@dataclass(frozen=True)
class Facts:
    """What an envelope says beside its payload."""

    counter: int
    content_format: int
    key_version: int = 1
    time_ms: int | None = None


@dataclass(frozen=True)
class Sealer:
    """A device, as far as sealing is concerned."""

    device_id: str
    key: bytes

    def seal(self, encoding, payload, facts):
        seal = {"frame": self.frame, "cose": self.cose, "jws": self.jws}[encoding]
        return seal(payload, facts)

    def frame(self, payload, facts, label=FROM_DEVICE, tag_bytes=32):
        algorithm = {32: 5, 8: 4}[tag_bytes]
        header = struct.pack(
            ">2sBBBBHQq", b"SG", 1, algorithm, facts.key_version, 0, facts.content_format, facts.counter, facts.time_ms or 0
        )
        tag = self.mac(context(label, self.device_id) + header + payload)[:tag_bytes]
        return with_crc(header + payload + tag)

    def cose(self, payload, facts, tag_bytes=32, unlisted=()):
        """COSE_Mac0 (RFC 9052 section 6.2): the context is the external AAD."""
        header = {
            1: {32: 5, 8: 4}[tag_bytes],
            3: facts.content_format,
            4: bytes([facts.key_version]),
            6: facts.counter.to_bytes((facts.counter.bit_length() + 7) // 8, "big"),
        }
        if facts.time_ms is not None:
            header[15] = {6: facts.time_ms / 1000}
        header.update(unlisted)
        protected = cbor2.dumps(header)
        to_mac = cbor2.dumps(["MAC0", protected, context(FROM_DEVICE, self.device_id), payload])
        return cbor2.dumps(cbor2.CBORTag(17, [protected, {}, payload, self.mac(to_mac)[:tag_bytes]]))

    def jws(self, payload, facts, unlisted=()):
        """JWS compact serialization (RFC 7515 section 7.1)."""
        header = {"alg": "HS256", "kid": str(facts.key_version), "sub": self.device_id, "ctr": facts.counter}
        if facts.time_ms is not None:
            header["ts"] = facts.time_ms
        header["cty"] = MEDIA_TYPES[facts.content_format]
        header.update(unlisted)
        signed = base64url(json.dumps(header, separators=(",", ":")).encode()) + b"." + base64url(payload)
        return signed + b"." + base64url(self.mac(signed))

    def open(self, frame, label):
        """The facts and the payload of a frame to the device; ValueError if the seal is not good."""
        if len(frame) < 24 + 32 + 4 or with_crc(frame[:-4]) != frame:
            raise ValueError("the frame is cut or damaged")
        magic, version, algorithm, key_version, flags, content_format, counter, time_ms = struct.unpack(
            ">2sBBBBHQq", frame[:24]
        )
        if (magic, version, algorithm, flags) != (b"SG", 1, 5, 0):
            raise ValueError("the header is not that of a frame")
        if not hmac.compare_digest(self.mac(context(label, self.device_id) + frame[:-36]), frame[-36:-4]):
            raise ValueError("the tag is not the device's")
        return Facts(counter, content_format, key_version, time_ms or None), frame[24:-36]

    def open_receipt(self, frame):
        """A dict from the first 8 bytes of a message's SHA-256 to its verdict."""
        facts, payload = self.open(frame, RECEIPT)
        if facts.content_format != 60:
            raise ValueError("a receipt is CBOR")
        return {digest: VERDICTS[verdict] for _counter, digest, verdict in cbor2.loads(payload)}

    def mac(self, data):
        return hmac.new(self.key, data, hashlib.sha256).digest()


def context(label, device_id):
    name = device_id.encode("ascii")
    return label + b"\0" + bytes([len(name)]) + name


def with_crc(data):
    return data + struct.pack(">I", crc32c(data))


def digest_of(message):
    """How a receipt names a message."""
    return hashlib.sha256(message).digest()[:8]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def derived_key(master, device_id):
    """HKDF-SHA-256 (RFC 5869) with an empty salt; 32 bytes are one block of it."""
    extracted = hmac.new(bytes(32), master, hashlib.sha256).digest()
    info = b"sealgate/1 device\0" + device_id.encode("ascii")
    return hmac.new(extracted, info + b"\1", hashlib.sha256).digest()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


# What the facts of a vector do not tell, by the vector's name.
PECULIAR = {
    "COSE, an unlisted header parameter": {"unlisted": {-65537: "note"}},
    "JWS, an unlisted member": {"unlisted": {"typ": "sealgate+jws"}},
    "JWS, cty without application/": {"unlisted": {"cty": "senml+json"}},
}
LABELS = {None: FROM_DEVICE, "down": COMMAND, "receipt": RECEIPT}


def seal_again(vector, masters):
    """The bytes of a good vector, made anew from what it says."""
    opened = vector["open"]
    facts = Facts(opened["counter"], opened["content_format"], opened["key_version"], opened["time_ms"] or None)
    sealer = Sealer(vector["device"], derived_key(masters[opened["key_version"]], vector["device"]))
    more = dict(PECULIAR.get(vector["name"], {}))
    if vector.get("allow_truncated_tag"):
        more["tag_bytes"] = 8
    first = bytes.fromhex(vector["bytes"])[0]
    payload = bytes.fromhex(opened["payload"])
    if first == 0xD1:
        return sealer.cose(payload, facts, **more)
    if first == ord("e"):
        return sealer.jws(payload, facts, **more)
    return sealer.frame(payload, facts, label=LABELS[vector.get("direction")], **more)


def opens(vector, masters):
    """Whether a frame with a whole tag opens to what its vector says, and not under another label."""
    frame, opened = bytes.fromhex(vector["bytes"]), vector["open"]
    sealer = Sealer(vector["device"], derived_key(masters[opened["key_version"]], vector["device"]))
    label = LABELS[vector.get("direction")]
    for other in set(LABELS.values()) - {label}:
        try:
            sealer.open(frame, other)
            return False
        except ValueError:
            pass
    facts, payload = sealer.open(frame, label)
    said = (facts.counter, facts.time_ms or 0, facts.content_format, facts.key_version, payload.hex())
    return said == tuple(opened[name] for name in ("counter", "time_ms", "content_format", "key_version", "payload"))


def check_vectors(path):
    """The names of the vectors that fail, and how many were tried."""
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    masters = {int(version): bytes.fromhex(key) for version, key in golden["masters"].items()}
    failed = [
        f"key of {name}"
        for name, key in golden["device_keys"].items()
        if derived_key(masters[int(name[-1])], name[:-3]).hex() != key
    ]
    good = [vector for vector in golden["vectors"] if "open" in vector]
    for vector in good:
        whole_frame = vector["bytes"].startswith("5347") and not vector.get("allow_truncated_tag")
        if seal_again(vector, masters).hex() != vector["bytes"] or (whole_frame and not opens(vector, masters)):
            failed.append(vector["name"])
    return failed, len(good) + len(golden["device_keys"])


def main():
    parser = argparse.ArgumentParser(description="Seals the good golden vectors again, byte for byte.")
    parser.add_argument("--vectors", required=True, metavar="PATH", help="envelope-vectors.json")
    failed, tried = check_vectors(parser.parse_args().vectors)
    for name in failed:
        print(f"differs: {name}", file=sys.stderr)
    print(f"{tried - len(failed)} of {tried} are the same, byte for byte")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
