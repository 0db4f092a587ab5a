"""Fleet: what an operator keeps open. What came in, what became of it, what was refused and why, and what a deploy changed."""

from board import ABOVE_ZERO, BAD, GATEWAYS, GOOD, WARNING, bars, column, custom_variable, dashboard, heading, lines, mark, query
from board import stat, table
from promql import first_seen, increase, last_seen, of_version, quantile, rate, series, share, total
from waits import ACKNOWLEDGED, WAIT_STEPS, waits

RECEIVED, STORED, REJECTED = "ingest_received_total", "ingest_stored_total", "ingest_rejected_total"
NOT_ACCEPTED = 'result!="accepted"'
SHARE_STEPS = (GOOD, (0.001, WARNING), (0.01, BAD))
NONE_STEPS = (GOOD, (ABOVE_ZERO, BAD))
BALANCED = (BAD, (0, GOOD), (0.5, BAD))

# The terms of the law, each with the sign that it has.
TERMS = [
    (1, RECEIVED),
    (1, "ingest_recovered_total"),
    (-1, STORED),
    (-1, "ingest_duplicate_total"),
    (-1, REJECTED),
    (-1, "ingest_dropped_total"),
    (-1, "ingest_in_flight"),
]
LAW = "".join(f"{' + ' if sign > 0 else ' - '}{total(name, 'instance')}" for sign, name in TERMS).removeprefix(" + ")
REFUSED_SHARE = share(rate(REJECTED), rate(RECEIVED))
DEVICES_OF_REASON = ("Who sends these", "/d/sealgate-device?var-reason=${__data.fields.Reason}&${__url_time_range}")

AT_A_GLANCE = [
    stat(
        1,
        "Received",
        "Messages to telemetry topics that the gateway took on, per second. Each of them ends under one of the other headings.",
        [query(rate(RECEIVED), "received")],
        "mps",
    ),
    stat(
        2,
        "Stored",
        "Messages that were verified and committed, per second. Only these are rows in the database.",
        [query(rate(STORED), "stored")],
        "mps",
    ),
    stat(
        16,
        "Refused",
        "Messages that were refused, for whatever reason, per second. They are in the quarantine as far as there is room in it.",
        [query(rate(REJECTED), "refused")],
        "mps",
    ),
    stat(
        3,
        "Share of refused",
        "The part of the received messages that was refused. Empty while nothing is received.",
        [query(REFUSED_SHARE, "refused")],
        "percentunit",
        steps=SHARE_STEPS,
        decimals=2,
        empty="idle",
    ),
    stat(
        5,
        "Law of the counts",
        "Received and recovered less stored, duplicate, rejected, dropped and in flight, for each gateway. It is 0 at every scrape; "
        "anything else means that the gateway lost track of a message.",
        [query(LAW, "{{instance}}")],
        "short",
        steps=BALANCED,
        decimals=0,
    ),
    stat(
        4,
        "In flight",
        "Messages whose receipt has not settled: being verified, waiting for a commit, or held because the database is away. It goes up "
        "and down with the load, and never only up.",
        [query(total("ingest_in_flight"), "in flight")],
        "short",
        decimals=0,
    ),
    stat(
        17,
        "Logins refused",
        "MQTT logins that were refused, for whatever reason, per second. Above 0 for long is a device with a wrong token, or somebody who "
        "guesses.",
        [query(rate("auth_logins_total", where=NOT_ACCEPTED), "refused")],
        "reqps",
        steps=(GOOD, (0.1, WARNING), (10, BAD)),
        decimals=2,
    ),
    stat(
        18,
        "Acknowledgement, p99",
        "The time from a message's packet to its settled receipt, within which 99 of 100 lie. Empty while nothing is received.",
        [query(quantile(0.99, ACKNOWLEDGED), "p99")],
        "s",
        steps=WAIT_STEPS,
        empty="idle",
    ),
]

MESSAGES = [
    heading(101, "Messages"),
    lines(
        6,
        "What became of the messages",
        "Every message that came in, by what became of it, per second. Together they are what was received, but for what is in flight. "
        "Dropped are those that were never acknowledged: lost is a fault of the gateway, shutdown an end before the database was back.",
        [
            query(rate(STORED), "stored"),
            query(rate("ingest_duplicate_total"), "duplicate"),
            query(rate(REJECTED), "refused"),
            query(rate("ingest_dropped_total", "cause"), "dropped: {{cause}}"),
        ],
        "mps",
        width=12,
        height=9,
        stacked=True,
        least=0,
    ),
    lines(
        7,
        "Refused, by reason",
        "Refused messages per second, under the same words that stand in the quarantine and in the answer to the device. All reasons are "
        "there, those that never came with 0.",
        [query(rate(REJECTED, "reason"), "{{reason}}")],
        "mps",
        width=12,
        height=9,
        least=0,
    ),
    lines(
        8,
        "Damage (CRC) and forgery (HMAC)",
        "A CRC that does not fit is damage on the way, and only frames carry one. An HMAC that does not fit is a wrong key or a forger, if "
        "it is a frame; with COSE and JWS it may be damage too. Alerts on tampering should therefore look at frames.",
        [
            query(rate(REJECTED, where='reason="corrupt", encoding="frame"'), "CRC: frame"),
            query(rate(REJECTED, "encoding", 'reason="bad_seal", encoding!="unknown"'), "HMAC: {{encoding}}"),
        ],
        "mps",
        least=0,
    ),
    lines(
        19,
        "Share of refused, over time",
        "The part of the received messages that was refused. The dashed lines are at 0.1 % and 1 %.",
        [query(REFUSED_SHARE, "refused")],
        "percentunit",
        steps=SHARE_STEPS,
        least=0,
    ),
    lines(
        9,
        "Refused, by encoding",
        "Refused messages per second by the encoding that their first byte claims; unknown are those that begin like none.",
        [query(rate(REJECTED, "encoding"), "{{encoding}}")],
        "mps",
        least=0,
    ),
    table(
        20,
        "Refused: how many, first and last seen",
        "Each reason that came in the time range: how many messages, and when the first and the last one was seen, to within the rate "
        "interval. The link leads to the devices that sent them.",
        [
            query(f"{increase(REJECTED, 'reason', over='$__range')} > 0", "", instant=True),
            query(first_seen(f"({increase(REJECTED, 'reason')} > 0)"), "", instant=True),
            query(last_seen(f"({increase(REJECTED, 'reason')} > 0)"), "", instant=True),
        ],
        [
            ("reason", "Reason", column(link=DEVICES_OF_REASON)),
            ("Value #A", "Messages", column("locale", decimals=0)),
            ("Value #B", "First seen", column("dateTimeAsIso")),
            ("Value #C", "Last seen", column("dateTimeAsIso")),
        ],
        empty="none was refused",
        order="Messages",
    ),
    table(
        21,
        "Law of the counts, term by term",
        "What each gateway has counted since it started: received + recovered = stored + duplicate + rejected + dropped + in flight. The "
        "difference of the two sides is 0 at every scrape.",
        [*(query(total(name, "instance"), "", instant=True) for _, name in TERMS), query(LAW, "", instant=True)],
        [
            ("instance", "Gateway", None),
            ("Value #A", "Received", column("locale", decimals=0)),
            ("Value #B", "Recovered", column("locale", decimals=0)),
            ("Value #C", "Stored", column("locale", decimals=0)),
            ("Value #D", "Duplicate", column("locale", decimals=0)),
            ("Value #E", "Rejected", column("locale", decimals=0)),
            ("Value #F", "Dropped", column("locale", decimals=0)),
            ("Value #G", "In flight", column("locale", decimals=0)),
            ("Value #H", "Difference", column("locale", decimals=0, steps=BALANCED)),
        ],
    ),
    lines(
        10,
        "Duplicates, by origin",
        "Messages that were stored before, per second; they change nothing. A retry is a device that had no answer. A replay is anything "
        "else: a device with a fault, or a captured message that is played back.",
        [query(rate("ingest_duplicate_total", "origin"), "{{origin}}")],
        "mps",
        least=0,
    ),
    lines(
        11,
        "Quarantine",
        "Refused messages per second by whether their bytes were kept. Those over the bound are counted and not kept: one device, or all "
        "together, sent more refused messages than the quarantine may hold.",
        [query(rate("ingest_quarantined_total", "kept"), "kept: {{kept}}")],
        "mps",
        least=0,
    ),
    lines(
        12,
        "In flight, by gateway",
        "Messages whose receipt has not settled, for each gateway. A line that stays high and flat is a database that does not commit.",
        [query(total("ingest_in_flight", "instance"), "{{instance}}")],
        "short",
        least=0,
        decimals=0,
    ),
]

LOGINS = [
    heading(102, "Logins and acknowledgements"),
    lines(
        22,
        "Logins refused, by result",
        "MQTT logins that were refused, per second, by what was wrong with the token. After a change of keys or clocks wrong_signature, "
        "unknown_key or expired rise for many devices at once.",
        [query(rate("auth_logins_total", "result", NOT_ACCEPTED), "{{result}}")],
        "reqps",
        least=0,
    ),
    lines(
        23,
        "Logins accepted, and devices online",
        "Logins that were accepted, per second, on the left; devices that are told to be online, on the right. A crowd of logins while the "
        "number stays is a fleet that comes and goes.",
        [query(rate("auth_logins_total", where='result="accepted"'), "accepted"), query(total("broker_presence_online"), "online")],
        "reqps",
        least=0,
    ),
    waits(
        25,
        "Acknowledgement latency",
        "The time from a message's packet to its settled receipt: the mean, and within which 50, 90 and 99 of 100 lie. What a device "
        "waits for is the commit. What takes longer than 10 s counts as 10 s, but for the mean.",
        ACKNOWLEDGED,
    ),
]
# Logins a second and devices do not share an axis.
LOGINS[2]["fieldConfig"]["overrides"] = [
    {
        "matcher": {"id": "byName", "options": "online"},
        "properties": [{"id": "unit", "value": "short"}, {"id": "custom.axisPlacement", "value": "right"}],
    }
]

BUILD = series("build_info")
DEPLOYED = [
    heading(103, "Since the deploy"),
    table(
        27,
        "What runs, first and last seen",
        "Each gateway's versions in the time range. The first time that a version was seen is its deploy; a version that was seen last "
        "some time ago has gone.",
        [
            query(first_seen(BUILD), "", instant=True),
            query(last_seen(BUILD), "", instant=True),
        ],
        [
            ("instance", "Gateway", None),
            ("version", "Version", None),
            ("profile", "Profile", None),
            ("arch", "Processor", None),
            ("Value #A", "First seen", column("dateTimeAsIso")),
            ("Value #B", "Last seen", column("dateTimeAsIso")),
        ],
        order="First seen",
    ),
    table(
        29,
        "Refused, before and since",
        "The share of each reason in what was received, in the time that is chosen above as Deployed, and in as long a time before it. "
        "Choose how long ago the deploy was: the marks in the charts show it.",
        [
            query(f"{increase(REJECTED, 'reason', over='$deployed', before='$deployed')} / on () group_left () "
                  f"({increase(RECEIVED, over='$deployed', before='$deployed')} > 0)", "", instant=True),
            query(f"{increase(REJECTED, 'reason', over='$deployed')} / on () group_left () "
                  f"({increase(RECEIVED, over='$deployed')} > 0)", "", instant=True),
        ],
        [
            ("reason", "Reason", column(link=DEVICES_OF_REASON)),
            ("Value #A", "Before", column("percentunit", decimals=3)),
            ("Value #B", "Since", column("percentunit", decimals=3, steps=SHARE_STEPS)),
        ],
        empty="nothing was received",
        order="Since",
    ),
    lines(
        28,
        "Share of refused, by version",
        "The part of the received messages that was refused, by the version that received them. While a new version is rolled out, both "
        "stand beside each other.",
        [query(share(of_version(rate(REJECTED, "instance")), of_version(rate(RECEIVED, "instance"))), "{{version}}")],
        "percentunit",
        width=12,
        steps=SHARE_STEPS,
        least=0,
    ),
    lines(
        30,
        "Acknowledgement, mean, by version",
        "The mean time from a message's packet to its settled receipt, by the version that gave it.",
        [
            query(
                share(of_version(rate(ACKNOWLEDGED + "_sum", "instance")), of_version(rate(ACKNOWLEDGED + "_count", "instance"))),
                "{{version}}",
            )
        ],
        "s",
        width=12,
        least=0,
    ),
]

SPOOL = [
    heading(104, "Spool"),
    lines(
        13,
        "Spool, messages",
        "Messages that were acknowledged from a gateway's disk while the database was away, and are not in the database yet. They are in "
        'flight, also after a restart. Only with store.on_outage = "spool".',
        [query(total("ingest_spool_messages", "instance"), "{{instance}}")],
        "short",
        least=0,
        decimals=0,
    ),
    lines(
        14,
        "Spool, bytes",
        "Bytes of these messages, and how many there may be. At the bound messages are held, and none is acknowledged.",
        [
            query(total("ingest_spool_bytes", "instance"), "{{instance}}"),
            query(total("ingest_spool_bytes_max", "instance"), "{{instance}}, at most"),
        ],
        "bytes",
        least=0,
        decimals=0,
    ),
    bars(
        15,
        "Spool, alarms",
        "Batches that the spool did not take, because it or its disk was full; and messages that were acknowledged from it and turned out "
        "to be refused by the database, by reason. Anything above 0 asks for an operator.",
        [
            query(increase("ingest_spool_failures_total", "instance"), "{{instance}}, not taken"),
            query(increase("ingest_spool_undone_total", "reason"), "{{reason}}"),
        ],
        "short",
        steps=NONE_STEPS,
        least=0,
        decimals=0,
    ),
]

MARKS = [
    # What was not there a minute ago, nor in the hour before that: not a scrape that was missed.
    mark("Deploys", "blue", f"{BUILD} unless max_over_time({BUILD}[1h] offset 1m)", "{{version}} runs"),
    # A gateway that had counted and counts from 0.
    mark("Restarts", "orange", f"resets({series(RECEIVED)}[1m]) > 0", "restarted"),
]

DASHBOARD = dashboard(
    "sealgate-fleet",
    "Sealgate: Fleet",
    "What came in, what became of it, what was refused and why, and what a deploy changed.",
    [*GATEWAYS, custom_variable("deployed", "Deployed", ["1h", "5m", "15m", "6h", "1d", "7d"])],
    [*AT_A_GLANCE, *MESSAGES, *LOGINS, *DEPLOYED, *SPOOL],
    MARKS,
)
