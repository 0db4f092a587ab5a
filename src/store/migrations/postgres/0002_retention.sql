-- What retention has dropped. `meta.horizon` (Unix ms, the start of a day): what arrived before it may be gone.
INSERT INTO meta (key, number) VALUES ('horizon', 0);

-- Up to here the counters of a key are forgotten, and count as used. In seen, envelope 0: the envelope was dropped, but one with a lower
-- counter is still there.
CREATE TABLE seen_floor (
    counter     bigint NOT NULL,
    device      integer NOT NULL,
    key_version smallint NOT NULL,
    PRIMARY KEY (device, key_version)
);

-- Where readings are of a later day than that of their arrival: they go with their envelope, and not by their time.
CREATE TABLE reading_ahead (
    time     timestamptz NOT NULL,
    envelope bigint NOT NULL,
    device   integer NOT NULL
);
CREATE INDEX ON reading_ahead (device);
INSERT INTO reading_ahead
SELECT DISTINCT r.time, r.envelope, r.device FROM reading r JOIN envelope e ON e.id = r.envelope AND e.device = r.device
WHERE r.time >= date_trunc('day', e.received_at, 'UTC') + interval '1 day';
