-- How many messages of a device were refused, by the hour of UTC in which they came and by reason: all of them, also those that the
-- quarantine had no room for.
CREATE TABLE refusals (
    device_id text COLLATE "C" NOT NULL,
    hour      timestamptz NOT NULL,
    reason    text NOT NULL,
    messages  bigint NOT NULL,
    PRIMARY KEY (device_id, hour, reason)
) WITH (fillfactor = 50);
CREATE INDEX refusals_by_hour ON refusals (hour);
