"""How long something takes: one panel for each histogram of seconds, on every dashboard the same."""

from board import BAD, GOOD, WARNING, lines, query
from promql import mean, quantile

ACKNOWLEDGED = "ingest_acknowledgement_seconds"
# An acknowledgement waits for a commit. A device with a window of 32 messages and one second for each still sends 32 a second.
WAIT_STEPS = (GOOD, (1, WARNING), (5, BAD))


def waits(number, title, description, histogram):
    """The mean, and within which 50, 90 and 99 of 100 lie."""
    targets = [query(quantile(q / 100, histogram), f"p{q}") for q in (50, 90, 99)]
    return lines(number, title, description, [*targets, query(mean(histogram), "mean")], "s", steps=WAIT_STEPS, least=0)
