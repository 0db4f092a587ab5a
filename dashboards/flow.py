"""Flow: the way of a message, edge -> broker -> ingest -> store, queue by queue, and where it is held up."""

from board import ABOVE_ZERO, BAD, GATEWAYS, GOOD, WARNING, bars, column, dashboard, heading, lines, query, stat, table
from doors import DOORS
from fleet import MARKS
from promql import increase, mean, quantile, rate, series, total
from waits import ACKNOWLEDGED, WAIT_STEPS, waits

COMMIT, BATCH = "ingest_commit_seconds", "ingest_batch_messages"
NONE_STEPS = (GOOD, (ABOVE_ZERO, BAD))
RARE_STEPS = (GOOD, (ABOVE_ZERO, WARNING))

AT_A_GLANCE = [
    stat(
        1,
        "Connections",
        "Open MQTT connections of all chosen gateways.",
        [query(total("edge_connections"), "open")],
        "short",
        decimals=0,
    ),
    stat(
        2,
        "Taken on",
        "Messages to telemetry topics that ingest has taken on, per second.",
        [query(rate("ingest_received_total"), "received")],
        "mps",
    ),
    stat(
        3,
        "In flight",
        "Messages between their packet and their settled receipt: the queue before the database, the spool among it.",
        [query(total("ingest_in_flight"), "in flight")],
        "short",
        decimals=0,
    ),
    stat(
        4,
        "Commit, p99",
        "The time within which 99 of 100 commits end. Empty while nothing is committed.",
        [query(quantile(0.99, COMMIT), "p99")],
        "s",
        steps=WAIT_STEPS,
        empty="idle",
    ),
    stat(
        5,
        "Commits that failed",
        "Commits that failed and were tried again, in the time range. The messages wait meanwhile, or are spooled.",
        [query(increase("ingest_commit_failures_total", over="$__range"), "failed")],
        "short",
        steps=RARE_STEPS,
        decimals=0,
    ),
    stat(
        6,
        "Spooling",
        "Gateways whose database is away and whose messages go to the spool at this moment.",
        [query(total("ingest_spooling"), "spooling")],
        "short",
        steps=(GOOD, (1, BAD)),
        decimals=0,
    ),
    stat(
        7,
        "Messages lost",
        "Messages that were neither stored nor refused, and not acknowledged, in the time range. Their devices send them again.",
        [query(increase("ingest_dropped_total", over="$__range"), "lost")],
        "short",
        steps=NONE_STEPS,
        decimals=0,
    ),
    stat(
        8,
        "Doors without TLS",
        "Listeners that stand open beyond this machine without TLS, as their operator accepted.",
        [query(" + ".join(total(f"{door}_plaintext") for door in ("edge", "public", "admin")), "open")],
        "short",
        steps=(GOOD, (1, WARNING)),
        decimals=0,
    ),
    lines(
        9,
        "The way of a message",
        "Messages per second at each step: taken on by ingest, stored by the database, answered from the spool, and put into the queues of "
        "subscribed sessions. Stored stays below taken on by what is a duplicate or refused.",
        [
            query(rate("ingest_received_total"), "taken on"),
            query(rate("ingest_stored_total"), "stored"),
            query(rate("ingest_spooled_total"), "spooled"),
            query(rate("broker_routed_total"), "queued for subscribers"),
        ],
        "mps",
        width=12,
        least=0,
    ),
    lines(
        10,
        "Back pressure",
        "How often somebody was made to wait, per second. A client's socket is not read for a while: its own messages or bytes a second "
        "are used up, or large packets take all the memory that they may. A publisher is held: the queue of a session is full. Nothing is "
        "dropped for either.",
        [
            query(rate("edge_throttled_total", "by"), "not read: {{by}}"),
            query(rate("broker_held_total"), "publisher held"),
        ],
        "ops",
        width=12,
        least=0,
    ),
]

EDGE = [
    heading(101, "Edge: connections"),
    lines(
        11,
        "Open connections",
        "Connections by listener: MQTT (over TCP, TLS and WebSocket), public HTTP and admin HTTP.",
        [
            query(total("edge_connections"), "MQTT"),
            query(total("public_connections"), "public HTTP"),
            query(total("admin_connections"), "admin HTTP"),
        ],
        "short",
        width=12,
        least=0,
        decimals=0,
    ),
    lines(
        12,
        "Accepted and turned away",
        "MQTT connections per second that were accepted, and those that were turned away: as many are open as may be, of all or of one "
        "address, or they come too often from one address.",
        [query(rate("edge_accepted_total"), "accepted"), query(rate("edge_turned_away_total", "cause"), "turned away: {{cause}}")],
        "cps",
        width=12,
        least=0,
    ),
    lines(
        13,
        "Did not come in, by cause",
        "Clients per second that were accepted as connections and did not come in: no whole CONNECT in time, a login that was refused, "
        "TLS that failed, and so on.",
        [query(rate("edge_refused_total", "cause"), "{{cause}}")],
        "cps",
        width=12,
        least=0,
    ),
    lines(
        14,
        "Ended, by cause",
        "Connections per second of clients that had come in, by why they ended. message_lost is a fault of the gateway; not_reading and "
        "silent are clients or their networks.",
        [query(rate("edge_ended_total", "cause"), "{{cause}}")],
        "cps",
        width=12,
        least=0,
    ),
]

BROKER = [
    heading(102, "Broker: sessions and their queues"),
    lines(
        17,
        "Sessions, subscriptions, presence",
        "Sessions that are connected or kept, their subscriptions, and devices that are told to be online.",
        [
            query(total("broker_sessions"), "sessions"),
            query(total("broker_subscriptions"), "subscriptions"),
            query(total("broker_presence_online"), "online"),
        ],
        "short",
        least=0,
        decimals=0,
    ),
    lines(
        18,
        "Presence changes",
        "Devices per second that went online or offline. Many at once are a network or a gateway, not devices.",
        [query(rate("broker_presence_changes_total", "state"), "{{state}}")],
        "ops",
        least=0,
    ),
    lines(
        19,
        "Into the queues of sessions, and not",
        "Messages per second that were put into a session's queue, and those that a subscribed session did not get, by why: it is away, or "
        "its queue or all of them are full, or the message is larger than it takes.",
        [query(rate("broker_routed_total"), "queued"), query(rate("broker_dropped_total", "cause"), "not: {{cause}}")],
        "mps",
        least=0,
    ),
    lines(
        20,
        "Not allowed, and over a bound",
        "Publishes and filters per second that the client's grant does not hold, and those over a bound of the settings.",
        [
            query(rate("broker_denied_total", "action"), "denied: {{action}}"),
            query(rate("broker_over_limit_total", "bound"), "over: {{bound}}"),
        ],
        "ops",
        least=0,
    ),
    lines(
        21,
        "Readings not published",
        "Stored messages per second whose readings were not published, because subscribers fell behind. They are in the database.",
        [query(rate("ingest_unpublished_total"), "not published")],
        "mps",
        steps=RARE_STEPS,
        least=0,
    ),
    lines(
        22,
        "Receipts",
        "Messages per second that a sealed receipt names, and those that none names though their device may have listened.",
        [
            query(rate("ingest_receipts_total"), "named"),
            query(rate("ingest_receipts_left_out_total", "cause"), "left out: {{cause}}"),
        ],
        "mps",
        least=0,
    ),
]

STORE = [
    heading(103, "Ingest and store: batches and commits"),
    waits(
        23,
        "Commit times",
        "How long one commit takes: the mean, and within which 50, 90 and 99 of 100 end. What takes longer than 10 s counts as 10 s, but "
        "for the mean.",
        COMMIT,
    ),
    waits(
        24,
        "Acknowledgement times",
        "From a message's packet to its settled receipt. What it takes longer than a commit is spent in the queue before it.",
        ACKNOWLEDGED,
    ),
    lines(
        25,
        "Commits",
        "Commits per second, and those that failed and were tried again.",
        [query(rate(COMMIT + "_count"), "commits"), query(rate("ingest_commit_failures_total"), "failed")],
        "ops",
        least=0,
    ),
    lines(
        26,
        "Messages in one commit",
        "How many messages a commit holds: the mean, and at most how many 50 and 99 of 100 commits hold. A batch is what came while the "
        "last commit ran, so it grows with the load and with the time of a commit.",
        [query(quantile(0.5, BATCH), "p50"), query(quantile(0.99, BATCH), "p99"), query(mean(BATCH), "mean")],
        "short",
        least=0,
    ),
    lines(
        27,
        "Size of the database",
        "Bytes of the database with all tables and indices, as each gateway sees it, and above how many the alarm is raised (0: none).",
        [query(total("store_bytes", "instance"), "{{instance}}"), query(total("store_bytes_max", "instance"), "{{instance}}, alarm")],
        "bytes",
        least=0,
    ),
    bars(
        28,
        "Dropped by retention",
        "Envelopes and readings that were dropped because they were older than database.retention.",
        [
            query(increase("store_dropped_envelopes_total"), "envelopes"),
            query(increase("store_dropped_readings_total"), "readings"),
        ],
        "short",
        least=0,
        decimals=0,
    ),
]

SPOOL = [
    heading(104, "Spool: while the database is away"),
    lines(
        29,
        "In flight and in the spool",
        "Messages whose receipt has not settled, and those of them that wait on disk for the database.",
        [query(total("ingest_in_flight"), "in flight"), query(total("ingest_spool_messages"), "in the spool")],
        "short",
        least=0,
        decimals=0,
    ),
    lines(
        30,
        "How full the spool is",
        "The part of store.spool_bytes_max that is used, for each gateway with a spool; 0 without one. At 100 % messages are held, and "
        "none is acknowledged.",
        # A gateway without a spool has a bound of 0, and no byte in it.
        [
            query(
                f"{total('ingest_spool_bytes', 'instance')} / clamp_min({total('ingest_spool_bytes_max', 'instance')}, 1)",
                "{{instance}}",
            )
        ],
        "percentunit",
        steps=(GOOD, (0.5, WARNING), (0.9, BAD)),
        least=0,
    ),
    lines(
        31,
        "Into the spool and out of it",
        "Messages per second that were answered from the spool, and those that a process before this one had spooled and this one has "
        "taken over.",
        [query(rate("ingest_spooled_total"), "answered from it"), query(rate("ingest_recovered_total"), "taken over")],
        "mps",
        least=0,
    ),
    bars(
        32,
        "Spool, failures",
        "Batches that the spool did not take, and messages acknowledged from it that the database refused afterwards. Anything above 0 "
        "asks for an operator.",
        [
            query(increase("ingest_spool_failures_total", "instance"), "{{instance}}, not taken"),
            query(increase("ingest_spool_undone_total", "reason"), "undone: {{reason}}"),
        ],
        "short",
        least=0,
        decimals=0,
        steps=NONE_STEPS,
    ),
    table(
        33,
        "Checkpoints",
        "The newest checkpoint of the chain that says what envelopes there are: its number, the first 48 bits of its root, how many were "
        "made in the time range, and how often making one failed.",
        [
            query(total("proof_checkpoint_number", "instance"), "", instant=True),
            query(total("proof_checkpoint_root", "instance"), "", instant=True),
            query(f"sum by (instance) (delta({series('proof_checkpoint_number')}[$__range]))", "", instant=True),
            query(increase("proof_checkpoint_failures_total", "instance", over="$__range"), "", instant=True),
        ],
        [
            ("instance", "Gateway", None),
            ("Value #A", "Number", column("none", decimals=0)),
            ("Value #B", "Root", column("none", decimals=0)),
            ("Value #C", "Made", column("locale", decimals=0)),
            ("Value #D", "Failed", column("locale", decimals=0, steps=NONE_STEPS)),
        ],
        width=16,
    ),
]

DASHBOARD = dashboard(
    "sealgate-flow",
    "Sealgate: Flow",
    "The way of a message, edge to broker to ingest to store, queue by queue, and where it is held up.",
    list(GATEWAYS),
    [*AT_A_GLANCE, *EDGE, *BROKER, *STORE, *SPOOL, *DOORS],
    MARKS,
)
