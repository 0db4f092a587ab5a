-- How many messages of a device were refused, by the hour of UTC in which they came (Unix ms) and by reason: all of them, also those that
-- the quarantine had no room for.
CREATE TABLE refusals (
    device_id TEXT NOT NULL,
    hour      INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    messages  INTEGER NOT NULL,
    PRIMARY KEY (device_id, hour, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX refusals_by_hour ON refusals (hour);
