#!/usr/bin/python3
"""The acceptance test of the gateway, from outside: paho and our own reading of the specification against its sockets.

One run is one device at one version of MQTT. Every case of `cases.py` is published in each encoding at QoS 1 and at QoS 2, and
held against four witnesses: the answer, the row, the quarantine row and the counts. Nobody else may publish meanwhile.

Reads one line of JSON from stdin:

    {"mqtt": "127.0.0.1:1883", "public": "http://127.0.0.1:8080", "admin": "http://127.0.0.1:8081", "data_dir": "sealgate-data",
     "version": "3.1.1" | "5",
     "device": {…}, "stranger": {…},     two devices, as `sealgate device add ID --format json` prints them
     "service": {"name", "client_id", "client_secret"},      a client with the scope `sub:readings/#`
     "stale_after_secs": null,           the policy on age, if the gateway has one
     "duplicate_origin": "retry",        "replay" if the gateway's window for retries is shorter than this test
     "receipts": false}                  true if the gateway sends receipts

and writes one line of JSON for each case to stdout. Exit code 0: all is as it should be; 1: it is not, and a table on stderr says what.

A device that is disabled or unknown has no connection here; what becomes of its messages by way of another broker is tested elsewhere.
"""

import json
import sys
import time
from contextlib import closing
from dataclasses import asdict

import cases
import evidence
from cases import Device, Reading
from evidence import Gateway, breaks_the_law, difference
from paho_client import Client, eventually, fetch_token
from sealing import ENCODINGS, Sealer, digest_of

# What is not forwarded cannot be waited for; only that nothing came within this time can be seen.
SILENCE_SECS = 0.5

NOT_AUTHORIZED = {"3.1.1": 0x80, "5": 0x87}


class Acceptance:
    """One run."""

    def __init__(self, settings):
        self.settings = settings
        self.version = settings["version"]
        self.gateway = Gateway(settings["admin"], settings["data_dir"])
        self.device, self.stranger = device_of(settings["device"]), device_of(settings["stranger"])
        self.device_id = self.device.sealer.device_id
        self.results = []
        self.receipts = {}

    def run(self):
        service, credentials = self.settings["service"], self.settings["device"]
        with closing(self.log_in(service["name"], f"{service['name']}-acceptance", service, "body")) as self.service:
            with closing(self.log_in(self.device_id, self.device_id, credentials, "header")) as self.client:
                self.listen()
                self.enabled()
                self.topics()

    def log_in(self, user_name, client_id, credentials, credentials_in):
        token = fetch_token(self.settings["public"], credentials["client_id"], credentials["client_secret"], credentials_in)
        return Client(self.version, self.settings["mqtt"], client_id, user_name, token)

    def listen(self):
        self.check("the service hears readings/#", 1, self.service.listen("readings/#"))
        self.check("the device hears its commands", 1, self.client.listen(f"devices/{self.device_id}/commands/#"))
        self.check("the device hears its receipts", 1, self.client.listen(f"devices/{self.device_id}/receipts"))

    def enabled(self):
        for qos in (1, 2):
            for encoding in ENCODINGS:
                for case in cases.enabled(self.device, self.stranger, encoding, self.settings.get("stale_after_secs")):
                    self.report(self.attempt(case, qos))
            for case in cases.unknown_encoding():
                self.report(self.attempt(case, qos))

    def attempt(self, case, qos):
        """Publishes one case and calls the witnesses."""
        before = self.gateway.snapshot()
        heard = len(self.service.messages)
        # The same message may have been sent before, and told of.
        self.receipts.clear()
        try:
            mid, answer = self.client.send(f"devices/{self.device_id}/telemetry", case.message, qos)
        except TimeoutError as error:
            raise TimeoutError(f"{case.name}, {case.encoding}, QoS {qos}: {error}") from error
        after = self.gateway.snapshot()
        wrong = [
            *self.wrong_answer(case, answer),
            *self.wrong_counts(case, difference(before, after), after.counts),
            *self.wrong_envelope(case),
            *self.wrong_readings(case, heard),
            *self.wrong_quarantine(case),
            *self.wrong_receipt(case),
        ]
        return {
            "case": case.name, "encoding": case.encoding, "qos": qos, "version": self.version, "mid": mid,
            "expected": case.outcome, "code": answer.code, "reason": answer.reason, "detail": answer.detail,
            "ok": not wrong, "wrong": wrong,
        }

    def wrong_answer(self, case, answer):
        if self.version != "5":
            return
        if answer.code != cases.CODES[case.outcome]:
            yield f"answer: {cases.CODES[case.outcome]:#04x} expected, {answer.code:#04x} came"
        expected = None if case.outcome in ("stored", "duplicate") else case.outcome
        if answer.reason != expected:
            yield f"reason string: {expected} expected, {answer.reason} came"

    def wrong_counts(self, case, change, counts):
        series = {
            "stored": ("stored_total",),
            "duplicate": ("duplicate_total", self.settings.get("duplicate_origin", "retry")),
        }.get(case.outcome, ("rejected_total", case.encoding, case.outcome))
        yield from differs("counts", {("received_total",): 1, series: 1}, change.counts)
        if broken := breaks_the_law(counts):
            yield f"law of counts: {broken[0]} received, {broken[1]} accounted for"
        is_stored = case.outcome == "stored"
        yield from differs("new envelopes", int(is_stored), change.envelopes)
        yield from differs("new readings", len(case.readings) if is_stored else 0, change.readings)
        is_refused = case.outcome not in ("stored", "duplicate")
        rows = {(self.device_id, case.outcome, case.encoding): 1} if is_refused else {}
        yield from differs("new quarantine rows", rows, change.quarantine)

    def wrong_envelope(self, case):
        if case.facts is None:
            return
        rows = self.gateway.envelopes(self.device_id, case.facts.key_version, case.facts.counter)
        yield from differs("envelopes with this counter", 1, len(rows))
        for row in rows:
            yield from differs("encoding", case.encoding, row["encoding"])
            yield from differs("content format", case.facts.content_format, row["content_format"])
            yield from differs("device time", case.facts.time_ms, row["device_time"])
            if row["bytes"] != case.message:
                yield "the bytes in the row are not those that were sent"
            yield from sets_differ("readings", arrived(case.readings, row["received_at"]), self.stored_readings(row["envelope"]))

    def stored_readings(self, envelope):
        return {
            Reading(row["name"], row["time"], row["unit"], row["value"], row["text"], row["sum"])
            for row in self.gateway.readings(envelope)
        }

    def wrong_readings(self, case, heard):
        """A verified reading is published once, after its commit; nothing else is."""
        news = lambda: [message for message in self.service.messages[heard:] if message.payload != b"[]"]
        is_published = case.outcome == "stored" and case.readings
        if is_published:
            eventually(news)
        yield from differs("published", [f"readings/{self.device_id}"] * bool(is_published), [each.topic for each in news()])
        rows = self.gateway.envelopes(self.device_id, case.facts.key_version, case.facts.counter) if is_published else []
        for row, message in zip(rows, news()):
            yield from sets_differ("published", arrived(case.readings, row["received_at"]), published(message.payload))

    def wrong_quarantine(self, case):
        if case.outcome in ("stored", "duplicate"):
            return
        row = self.gateway.quarantined(self.device_id)
        if row is None or row["bytes"] != case.message:
            yield "the newest row in quarantine has not the bytes that were sent"

    def wrong_receipt(self, case):
        """A receipt says of each message what became of it, once."""
        if not self.settings.get("receipts"):
            return
        digest = digest_of(case.message)
        eventually(lambda: digest in self.read_receipts())
        yield from differs("receipt", case.outcome, self.receipts.get(digest))

    def read_receipts(self):
        while self.client.messages:
            message = self.client.messages.pop(0)
            if message.topic == f"devices/{self.device_id}/receipts":
                self.receipts.update(self.device.sealer.open_receipt(message.payload))
        return self.receipts

    def topics(self):
        """A device neither hears nor speaks for another."""
        other = self.stranger.sealer.device_id
        for topic_filter in (
            "#", "+/+/+", "devices/#", "devices/+/commands/#", f"devices/{other}/commands/#", f"devices/{other}/receipts",
            f"devices/{other}/telemetry", f"devices/{self.device_id}/#", "readings/#", f"readings/{self.device_id}", "$SYS/#",
        ):
            self.check(f"subscribes to {topic_filter}", NOT_AUTHORIZED[self.version], self.client.listen(topic_filter))
        # A gateway without shared subscriptions says 0x9e.
        shared = self.client.listen(f"$share/group/devices/{other}/commands/#")
        self.check("is refused a shared subscription to another's commands", True, shared >= 0x80)
        for qos in (1, 2):
            for topic in (
                f"devices/{other}/telemetry", f"devices/{other}/telemetry/a", f"devices/{other}/commands/a",
                f"devices/{self.device_id}/commands/a", f"devices/{self.device_id}/telemetry/a/b",
                f"devices/{self.device_id}/receipts", f"readings/{self.device_id}", f"readings/{other}", f"commands/{other}/a",
                "anything",
            ):
                self.speaks_for_another(topic, qos)

    def speaks_for_another(self, topic, qos):
        before, heard, own = self.gateway.snapshot(), len(self.service.messages), len(self.client.messages)
        message = cases.seal(self.stranger, "frame")
        _mid, answer = self.client.send(topic, message, qos)
        time.sleep(SILENCE_SECS)
        came = [message.topic for message in self.service.messages[heard:] + self.client.messages[own:]]
        after = self.gateway.snapshot()
        wrong = [
            *differs("answer", NOT_AUTHORIZED["5"] if self.version == "5" else None, answer.code),
            *differs("came", [], came),
            *differs("change", evidence.Difference(), difference(before, after)),
        ]
        self.report({"case": f"publishes to {topic}", "qos": qos, "version": self.version, "ok": not wrong, "wrong": wrong})

    def check(self, name, expected, got):
        wrong = list(differs("code", expected, got))
        self.report({"case": name, "version": self.version, "ok": not wrong, "wrong": wrong})

    def report(self, result):
        self.results.append(result)
        print(json.dumps(result), flush=True)


def device_of(printed):
    sealer = Sealer(printed["device_id"], bytes.fromhex(printed["seal_key"]))
    # As a device without storage does it: boot count and messages since.
    return Device(sealer, printed["key_version"], int(time.time()) << 20)


def arrived(readings, received_at_ms):
    """The readings as a set, those without a time at that of their arrival."""
    return {Reading(**{**asdict(reading), "time_ms": reading.time_ms or received_at_ms}) for reading in readings}


def published(payload):
    """The readings of resolved SenML+JSON."""
    return {reading_of(record) for record in json.loads(payload)}


def reading_of(record):
    text = record.get("vs", record.get("vd"))
    if "vb" in record:
        text = str(record["vb"]).lower()
    time_ms = round(record["t"] * 1000) if "t" in record else None
    return Reading(record["n"], time_ms, record.get("u"), record.get("v"), text, record.get("s"))


def differs(what, expected, got):
    if expected != got:
        yield f"{what}: {expected} expected, {got} found"


def sets_differ(what, expected, got):
    for reading in expected - got:
        yield f"{what}: {reading} is missing"
    for reading in got - expected:
        yield f"{what}: {reading} was not expected"


def table(results):
    """The failures, for people."""
    rows = [("case", "encoding", "qos", "wrong")]
    for result in results:
        for wrong in result["wrong"]:
            rows.append((result["case"], result.get("encoding", ""), str(result.get("qos", "")), wrong))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[3]]) for row in rows)


def main():
    acceptance = Acceptance(json.loads(sys.stdin.readline()))
    try:
        acceptance.run()
    except (OSError, EOFError) as error:
        acceptance.report({"case": "the run ended early", "ok": False, "wrong": [f"{type(error).__name__}: {error}"]})
    failed = [result for result in acceptance.results if not result["ok"]]
    if failed:
        print(f"{len(failed)} of {len(acceptance.results)} are wrong:\n{table(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
