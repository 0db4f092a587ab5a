"""What a gateway did, from where an operator would look: its metrics and its database. Nothing is asked of the gateway's code."""

import sqlite3
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

INGEST = "sealgate_ingest_"
# The sum of these is the sum of the others.
CAME = ("received_total", "recovered_total")
ACCOUNTED = ("stored_total", "duplicate_total", "rejected_total", "dropped_total", "in_flight")


@dataclass
class Snapshot:
    """Both, at one moment."""

    counts: Counter
    envelopes: int
    readings: int
    quarantine: Counter


@dataclass
class Difference:
    """What has happened between two snapshots."""

    counts: dict = field(default_factory=dict)
    envelopes: int = 0
    readings: int = 0
    quarantine: dict = field(default_factory=dict)


class Gateway:
    """The evidence of one gateway."""

    def __init__(self, admin_url, data_dir):
        self.metrics_url = f"{admin_url}/metrics"
        path = Path(data_dir).resolve() / "sealgate.db"
        self.database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        self.database.row_factory = sqlite3.Row

    def snapshot(self):
        quarantine = self.rows("SELECT device_id, reason, encoding, count(*) AS count FROM quarantine GROUP BY 1, 2, 3")
        return Snapshot(
            counts=self.counts(),
            envelopes=self.rows("SELECT count(*) AS count FROM envelopes")[0]["count"],
            readings=self.rows("SELECT count(*) AS count FROM readings")[0]["count"],
            quarantine=Counter({(row["device_id"], row["reason"], row["encoding"]): row["count"] for row in quarantine}),
        )

    def counts(self):
        """The series of the law of counts, as {(name, label value, …): count}."""
        with urllib.request.urlopen(self.metrics_url, timeout=15) as response:
            text = response.read().decode()
        return Counter(dict(series for line in text.splitlines() if (series := parse(line))))

    def envelopes(self, device_id, key_version, counter):
        return self.rows(
            "SELECT * FROM envelopes WHERE device_id = ? AND key_version = ? AND counter = ?", device_id, key_version, counter
        )

    def readings(self, envelope):
        return self.rows("SELECT * FROM readings WHERE envelope = ?", envelope)

    def quarantined(self, device_id):
        """The newest row."""
        rows = self.rows("SELECT * FROM quarantine WHERE device_id = ? ORDER BY id DESC LIMIT 1", device_id)
        return rows[0] if rows else None

    def rows(self, sql, *values):
        return self.database.execute(sql, values).fetchall()


def parse(line):
    """A sample in the text format of Prometheus, if the law speaks of it; labels are put in the order of their names."""
    series, _, value = line.rpartition(" ")
    name, _, labels = series.removeprefix(INGEST).partition("{")
    if not series.startswith(INGEST) or name not in (*CAME, *ACCOUNTED):
        return None
    pairs = sorted(pair.partition("=")[::2] for pair in labels.rstrip("}").split(",") if pair)
    return (name, *(value.strip('"') for _, value in pairs)), int(float(value))


def difference(before, after):
    return Difference(
        counts=changes(before.counts, after.counts),
        envelopes=after.envelopes - before.envelopes,
        readings=after.readings - before.readings,
        quarantine=changes(before.quarantine, after.quarantine),
    )


def changes(before, after):
    return {key: after[key] - before[key] for key in before.keys() | after.keys() if after[key] != before[key]}


def breaks_the_law(counts):
    """Gives what was received and what is accounted for, if they differ."""
    received = sum(counts[(name,)] for name in CAME)
    accounted = sum(count for (name, *_), count in counts.items() if name in ACCOUNTED)
    return None if received == accounted else (received, accounted)
