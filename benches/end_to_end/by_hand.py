#!/usr/bin/python3
"""The way by hand: a subscriber of a broker that checks each seal and inserts what is genuine into PostgreSQL.

As a good engineer would write it: paho's network thread does nothing but queue; workers take up to 500 messages or what comes within
50 ms, check the HMAC, read the JSON, and write all of it by COPY in one transaction. The key of all devices is 32 times 7.

    by_hand.py HOST PORT URL WORKERS

Prints `ready` when it is subscribed, and goes on until it is killed.
"""

import hashlib
import hmac
import io
import json
import queue
import struct
import sys
import threading
import time

import paho.mqtt.client as mqtt
import psycopg2

BATCH_MAX = 500
BATCH_SECS = 0.05
KEY = bytes([7] * 32)
HEADER = struct.Struct(">HBBBBHQq")

TABLES = """
CREATE TABLE IF NOT EXISTS hand_envelope (device_id text NOT NULL, counter bigint NOT NULL, device_time timestamptz, received_at timestamptz
    NOT NULL, bytes bytea NOT NULL, PRIMARY KEY (device_id, counter));
CREATE TABLE IF NOT EXISTS hand_reading (device_id text NOT NULL, time timestamptz NOT NULL, name text NOT NULL, unit text, value double
    precision);
CREATE INDEX IF NOT EXISTS hand_reading_by_time ON hand_reading (device_id, time);
"""


def main():
    host, port, url, workers = sys.argv[1:]
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
    messages = queue.SimpleQueue()
    for _ in range(int(workers)):
        threading.Thread(target=work, args=(messages, url), daemon=True).start()
    client = mqtt.Client(client_id="by-hand")
    client.max_inflight_messages_set(65535)
    client.on_connect = lambda client, *_: client.subscribe("devices/+/telemetry", qos=1)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_message = lambda _client, _data, message: messages.put((message.topic, message.payload))
    client.connect(host, int(port))
    client.loop_forever()


def work(messages, url):
    connection = psycopg2.connect(url)
    macs = {}
    while True:
        batch = [messages.get()]
        deadline = time.monotonic() + BATCH_SECS
        while len(batch) < BATCH_MAX:
            try:
                batch.append(messages.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        envelopes, readings = io.StringIO(), io.StringIO()
        received_at = stamp(time.time())
        for topic, payload in batch:
            device_id = topic.split("/")[1]
            write(macs, device_id, payload, received_at, envelopes, readings)
        with connection, connection.cursor() as cursor:
            for rows, table in ((envelopes, "hand_envelope"), (readings, "hand_reading")):
                rows.seek(0)
                cursor.copy_expert(f"COPY {table} FROM STDIN", rows)


def write(macs, device_id, frame, received_at, envelopes, readings):
    """A frame that is genuine becomes its rows."""
    sealed, tag = frame[:-36], frame[-36:-4]
    mac = macs.get(device_id)
    if mac is None:
        name = device_id.encode()
        mac = macs[device_id] = hmac.new(KEY, b"sealgate/1\0" + bytes([len(name)]) + name, hashlib.sha256)
    mac = mac.copy()
    mac.update(sealed)
    if not hmac.compare_digest(mac.digest(), tag):
        return
    _, _, _, _, _, _, counter, time_ms = HEADER.unpack_from(sealed)
    envelopes.write(f"{device_id}\t{counter}\t{stamp(time_ms / 1000)}\t{received_at}\t\\\\x{frame.hex()}\n")
    base_name, base_time = "", time_ms / 1000
    for record in json.loads(sealed[24:]):
        base_name, base_time = record.get("bn", base_name), record.get("bt", base_time)
        at = stamp(base_time + record.get("t", 0))
        readings.write(f"{device_id}\t{at}\t{base_name}{record['n']}\t{record.get('u', chr(92) + 'N')}\t{record['v']}\n")


def stamp(seconds):
    whole, rest = divmod(seconds, 1)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole)) + f"{rest:.3f}"[1:] + "+00"


if __name__ == "__main__":
    main()
