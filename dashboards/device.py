"""Device: what the database says of devices, for a label for each device would be more series than a Prometheus holds.

Worst offenders first, then one device: its history, its readings, its gaps in counters, its clock error and its key versions. Times are
taken through Grafana's macros; the device through the format `sqlstring`, which writes a quoted string of SQL whatever is in it.
"""

from board import BAD, GOOD, POSTGRES, WARNING, bars, column, custom_variable, dashboard, datasource_variable, heading, lines
from board import query_variable, sql, stat, table

REASONS = [
    "bad_payload",
    "bad_seal",
    "corrupt",
    "device_disabled",
    "future",
    "malformed",
    "replayed",
    "stale",
    "too_large",
    "unknown_device",
    "unknown_key",
]
# Hours that the time range touches: they begin up to an hour before it.
HOURS = "hour >= date_trunc('hour', $__timeFrom()::timestamptz, 'UTC') AND hour <= $__timeTo()::timestamptz"
DEVICE = "device_id = ${device:sqlstring}"
ITS_ENVELOPES = f"FROM envelopes WHERE {DEVICE} AND $__timeFilter(received_at)"
# As wide as Grafana's interval, which grows with the time range, and no less than a second.
INTERVAL = "make_interval(secs => greatest($__interval_ms, 1000) / 1000.0)"
OPEN = ("Open this device", "/d/sealgate-device?var-device=${__data.fields.Device}&${database:queryparam}&${__url_time_range}")


def bins(time):
    return f"date_bin({INTERVAL}, {time}, timestamptz 'epoch')"


# Counters of a device with a boot count begin anew, 2^32 higher, at each boot: no message is missing there.
GAPS = f"""
SELECT key_version, lag(counter) OVER its AS before, counter AS after, counter - lag(counter) OVER its - 1 AS missing,
    lag(received_at) OVER its AS since, received_at AS until
{ITS_ENVELOPES}
WINDOW its AS (PARTITION BY key_version, counter >> 32 ORDER BY counter)"""

OFFENDERS = [
    heading(101, "Worst offenders"),
    table(
        1,
        "Worst offenders",
        "The devices of which most messages were refused in the time range, for the chosen reasons, with all of these reasons. By whole "
        "hours. The link shows one of them below.",
        [
            sql(f"""
SELECT r.device_id AS device, sum(r.messages)::bigint AS refused, min(r.first) AS first, max(r.last) AS last,
    string_agg(r.reason || ' ' || r.messages, ', ' ORDER BY r.messages DESC) AS reasons, coalesce(d.state, 'unknown') AS state
FROM (
    SELECT device_id, reason, sum(messages)::bigint AS messages, min(hour) AS first, max(hour) AS last
    FROM refusals WHERE {HOURS} AND reason IN (${{reason:sqlstring}}) GROUP BY device_id, reason
) r LEFT JOIN devices d ON d.device_id = r.device_id
GROUP BY r.device_id, d.state ORDER BY refused DESC, device LIMIT 50""")
        ],
        [
            ("device", "Device", column(link=OPEN)),
            ("refused", "Refused", column("locale", decimals=0)),
            ("reasons", "Reasons", column(width=360)),
            ("first", "First hour", column("dateTimeAsIso")),
            ("last", "Last hour", column("dateTimeAsIso")),
            ("state", "State", None),
        ],
        width=14,
        height=10,
        empty="none was refused",
    ),
    table(
        2,
        "Worst offenders, by reason",
        "For each chosen reason the three devices of which most messages were refused in the time range, and their part of all that were "
        "refused for it.",
        [
            sql(f"""
SELECT reason, device_id AS device, messages, share FROM (
    SELECT reason, device_id, sum(messages)::bigint AS messages,
        (sum(messages) / sum(sum(messages)) OVER (PARTITION BY reason))::double precision AS share,
        row_number() OVER (PARTITION BY reason ORDER BY sum(messages) DESC, device_id) AS place
    FROM refusals WHERE {HOURS} AND reason IN (${{reason:sqlstring}}) GROUP BY reason, device_id
) r WHERE place <= 3 ORDER BY reason, place""")
        ],
        [
            ("reason", "Reason", None),
            ("device", "Device", column(link=OPEN)),
            ("messages", "Refused", column("locale", decimals=0)),
            ("share", "Part", column("percentunit", decimals=1)),
        ],
        width=10,
        height=10,
        empty="none was refused",
    ),
    bars(
        3,
        "Refused an hour, by reason, all devices",
        "Refused messages of all devices by the hour of UTC in which they came, for the chosen reasons, also those that the quarantine had "
        "no room for.",
        [
            sql(f"""
SELECT hour AS time, reason AS metric, sum(messages)::bigint AS messages
FROM refusals WHERE {HOURS} AND reason IN (${{reason:sqlstring}}) GROUP BY hour, reason ORDER BY hour""", over_time=True)
        ],
        "short",
        width=24,
        least=0,
        decimals=0,
    ),
]

STATE = [
    heading(102, "Device ${device}"),
    stat(
        10,
        "Registered",
        "Whether the device is registered, and enabled or disabled. What a disabled device sends is refused.",
        [sql(f"SELECT state FROM devices WHERE {DEVICE}")],
        "string",
        graph=False,
        text=True,
        empty="unknown",
    ),
    stat(
        11,
        "Presence",
        "Whether the device was online when that changed last.",
        [sql(f"SELECT state FROM presence WHERE {DEVICE}")],
        "string",
        graph=False,
        text=True,
        empty="never seen",
    ),
    stat(
        12,
        "Last stored",
        "When the last message of the device was received that was stored, in the time range.",
        [sql(f"SELECT max(received_at) AS last {ITS_ENVELOPES}")],
        "dateTimeFromNow",
        graph=False,
        text=True,
        empty="none",
    ),
    stat(
        13,
        "Stored",
        "Messages of the device that were stored in the time range.",
        [sql(f"SELECT count(*) AS stored {ITS_ENVELOPES}")],
        "short",
        graph=False,
        decimals=0,
    ),
    stat(
        14,
        "Refused",
        "Messages of the device that were refused in the time range, for whatever reason, by whole hours.",
        [sql(f"SELECT coalesce(sum(messages), 0)::bigint AS refused FROM refusals WHERE {DEVICE} AND {HOURS}")],
        "short",
        graph=False,
        decimals=0,
        steps=(GOOD, (1, WARNING)),
    ),
    stat(
        15,
        "Counters missing",
        "Counters between stored ones that no stored message bears, in the time range: messages that were refused, are under way, never "
        "came, or came before the range.",
        [sql(f"SELECT coalesce(sum(missing), 0)::bigint AS missing FROM ({GAPS}) g")],
        "short",
        graph=False,
        decimals=0,
        steps=(GOOD, (1, WARNING)),
    ),
    stat(
        16,
        "Clock error, median",
        "Device time less time of receipt, the median in the time range. Below 0 the clock is behind, or messages waited in the device.",
        [
            sql(f"""
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM device_time - received_at)) AS error
{ITS_ENVELOPES} AND device_time IS NOT NULL""")
        ],
        "s",
        graph=False,
        steps=(BAD, (-86400, WARNING), (-60, GOOD), (60, WARNING), (300, BAD)),
        empty="no clock",
    ),
    stat(
        17,
        "Key version, last used",
        "The key version of the message that was stored last, in the time range.",
        [sql(f"SELECT key_version {ITS_ENVELOPES} ORDER BY received_at DESC LIMIT 1")],
        "none",
        graph=False,
        decimals=0,
        empty="none",
    ),
]

HISTORY = [
    lines(
        18,
        "Stored",
        "Messages of the device that were stored, in each interval.",
        [sql(f"SELECT {bins('received_at')} AS time, count(*) AS stored {ITS_ENVELOPES} GROUP BY 1 ORDER BY 1", over_time=True)],
        "short",
        width=12,
        least=0,
        decimals=0,
    ),
    bars(
        19,
        "Refused an hour, by reason",
        "Refused messages of the device by the hour of UTC in which they came, also those that the quarantine had no room for.",
        [
            sql(f"""
SELECT hour AS time, reason AS metric, messages FROM refusals WHERE {DEVICE} AND {HOURS} ORDER BY hour""", over_time=True)
        ],
        "short",
        width=12,
        least=0,
        decimals=0,
    ),
    lines(
        20,
        "Readings",
        "The device's readings that are numbers, by the time that they are of: the mean of each interval. Choose above which.",
        [
            sql(f"""
SELECT {bins('time')} AS time, name || coalesce(' [' || unit || ']', '') AS metric, avg(value) AS value
FROM readings WHERE {DEVICE} AND $__timeFilter(time) AND name IN (${{reading:sqlstring}}) AND value IS NOT NULL
GROUP BY 1, 2 ORDER BY 1""", over_time=True)
        ],
        "short",
        width=12,
    ),
    table(
        21,
        "Readings, the last of each",
        "The last reading of each name in the time range, with its unit.",
        [
            sql(f"""
SELECT DISTINCT ON (name) name, coalesce(value::text, text, sum::text) AS value, unit, time
FROM readings WHERE {DEVICE} AND $__timeFilter(time) AND name IN (${{reading:sqlstring}}) ORDER BY name, time DESC""")
        ],
        [("name", "Name", None), ("value", "Value", None), ("unit", "Unit", None), ("time", "Time", column("dateTimeAsIso"))],
        empty="no readings",
    ),
    table(
        22,
        "Gaps in counters",
        "Where counters are missing between stored messages: after which counter and before which one, how many, and when their neighbours "
        "were received. A message that was refused leaves a gap too, unless its counter was used again.",
        [sql(f"SELECT * FROM ({GAPS}) g WHERE missing > 0 ORDER BY until DESC LIMIT 200")],
        [
            ("key_version", "Key version", column("none")),
            ("before", "After", column("none")),
            ("after", "Before", column("none")),
            ("missing", "Missing", column("locale", decimals=0)),
            ("since", "From", column("dateTimeAsIso")),
            ("until", "To", column("dateTimeAsIso")),
        ],
        empty="no gaps",
    ),
    lines(
        23,
        "Clock error",
        "Device time less time of receipt: the least, the median and the greatest in each interval. Below 0 the clock is behind, or "
        "messages waited in the device; above the tolerance (seal.future_tolerance, 5 minutes) they are refused as future.",
        [
            sql(f"""
SELECT {bins('received_at')} AS time, min(error) AS least, percentile_cont(0.5) WITHIN GROUP (ORDER BY error) AS median,
    max(error) AS greatest
FROM (SELECT received_at, extract(epoch FROM device_time - received_at)::double precision AS error
    {ITS_ENVELOPES} AND device_time IS NOT NULL) e
GROUP BY 1 ORDER BY 1""", over_time=True)
        ],
        "s",
        width=12,
    ),
    table(
        24,
        "Key versions",
        "Which key versions the device has sealed with in the time range: how many messages of each were stored, and when the first and "
        "the last one; and the least version that is taken.",
        [
            sql(f"""
SELECT e.key_version, e.messages, e.counter_last, e.first, e.last, d.key_version_min FROM (
    SELECT key_version, count(*) AS messages, max(counter) AS counter_last, min(received_at) AS first, max(received_at) AS last
    {ITS_ENVELOPES} GROUP BY key_version
) e LEFT JOIN devices d ON d.{DEVICE} ORDER BY e.key_version DESC""")
        ],
        [
            ("key_version", "Key version", column("none")),
            ("messages", "Messages", column("locale", decimals=0)),
            ("counter_last", "Last counter", column("none")),
            ("first", "First", column("dateTimeAsIso")),
            ("last", "Last", column("dateTimeAsIso")),
            ("key_version_min", "Least that is taken", column("none")),
        ],
        empty="none was stored",
    ),
    table(
        25,
        "History",
        "The last 200 messages of the device in the time range, stored ones and those in the quarantine. A refused one says no counter: "
        "what is refused proves nothing.",
        [
            sql(f"""
SELECT * FROM (
    (SELECT received_at, 'stored' AS outcome, counter, key_version, encoding, length(bytes) AS bytes, device_time
    {ITS_ENVELOPES} ORDER BY received_at DESC LIMIT 200)
    UNION ALL
    (SELECT received_at, reason, NULL, NULL, encoding, length(bytes), NULL
    FROM quarantine WHERE {DEVICE} AND $__timeFilter(received_at) ORDER BY received_at DESC LIMIT 200)
) h ORDER BY received_at DESC LIMIT 200""")
        ],
        [
            ("received_at", "Received", column("dateTimeAsIso")),
            ("outcome", "Outcome", None),
            ("counter", "Counter", column("none")),
            ("key_version", "Key version", column("none")),
            ("encoding", "Encoding", None),
            ("bytes", "Size", column("bytes")),
            ("device_time", "Device time", column("dateTimeAsIso")),
        ],
        height=10,
        empty="no messages",
    ),
    table(
        26,
        "In the quarantine",
        "Refused messages of the device whose bytes are kept, the last 200 in the time range, first and last of each reason beside them. "
        "Look at one with `sealgate quarantine show ID`.",
        [
            sql(f"""
SELECT id, received_at, reason, encoding, length(bytes) AS bytes, min(received_at) OVER same AS first, max(received_at) OVER same AS last
FROM quarantine WHERE {DEVICE} AND $__timeFilter(received_at)
WINDOW same AS (PARTITION BY reason) ORDER BY id DESC LIMIT 200""")
        ],
        [
            ("id", "Id", column("none")),
            ("received_at", "Received", column("dateTimeAsIso")),
            ("reason", "Reason", None),
            ("encoding", "Encoding", None),
            ("bytes", "Size", column("bytes")),
            ("first", "Reason first seen", column("dateTimeAsIso")),
            ("last", "Reason last seen", column("dateTimeAsIso")),
        ],
        height=10,
        empty="nothing is kept",
    ),
]

VARIABLES = [
    datasource_variable("database", "PostgreSQL", "postgres"),
    custom_variable("reason", "Reason", REASONS, many=True),
    # Refused devices need not be registered. Who is not among the first ten thousand can be written into the address.
    query_variable(
        "device",
        "Device",
        POSTGRES,
        f"SELECT device_id FROM devices UNION SELECT device_id FROM refusals WHERE {HOURS} ORDER BY 1 LIMIT 10000",
        many=False,
        refresh=2,
    ),
    query_variable(
        "reading",
        "Reading",
        POSTGRES,
        f"SELECT DISTINCT name FROM readings WHERE {DEVICE} AND $__timeFilter(time) ORDER BY 1",
        many=True,
        refresh=2,
    ),
]

DASHBOARD = dashboard(
    "sealgate-device",
    "Sealgate: Device",
    "Who sends what is refused, and one device: its history, its readings, its gaps in counters, its clock and its keys.",
    VARIABLES,
    [*OFFENDERS, *STATE, *HISTORY],
    span="now-24h",
)
