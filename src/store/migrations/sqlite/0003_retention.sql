-- What retention has dropped. `meta.horizon` (Unix ms, the start of a day): what arrived before it may be gone.
INSERT INTO meta VALUES ('horizon', 0);

-- Up to here the counters of a key are forgotten, and count as used. In seen, envelope 0: the envelope was dropped, but one with a lower
-- counter is still there.
CREATE TABLE seen_floor (
    device      INTEGER NOT NULL,
    key_version INTEGER NOT NULL,
    counter     INTEGER NOT NULL,
    PRIMARY KEY (device, key_version)
) STRICT, WITHOUT ROWID;

-- Where readings are of a later day than that of their arrival: they go with their envelope, and not by their time.
CREATE TABLE reading_ahead (
    envelope INTEGER NOT NULL,
    device   INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    PRIMARY KEY (envelope, device, time)
) STRICT, WITHOUT ROWID;
INSERT INTO reading_ahead
SELECT DISTINCT r.envelope, r.device, r.time FROM reading r JOIN envelope e ON e.id = r.envelope
WHERE r.time >= (e.received_at / 86400000 + 1) * 86400000;
