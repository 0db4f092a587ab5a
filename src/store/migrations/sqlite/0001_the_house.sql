-- Times are Unix milliseconds, UTC. Tables in the plural and the views are for whoever opens this file with SQL; tables in the singular
-- are how it is kept: numbers inside, names at the edge.
-- The tables that each message writes bear no foreign keys: each costs a look-up per row, and nothing is ever deleted from what they name.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('registry_version', 0);

-- A name outlives its device: what the device sent stays readable under it, and a device of the same name finds its counters used.
CREATE TABLE device_name (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE devices (
    device_id       TEXT PRIMARY KEY REFERENCES device_name (name),
    state           TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    key_version_min INTEGER NOT NULL CHECK (key_version_min BETWEEN 1 AND 255),
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE services (
    name       TEXT PRIMARY KEY,
    scopes     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
    client_id     TEXT PRIMARY KEY,
    device_id     TEXT UNIQUE REFERENCES devices (device_id),
    service       TEXT UNIQUE REFERENCES services (name),
    secret_sha256 BLOB NOT NULL CHECK (length(secret_sha256) = 32),
    CHECK ((device_id IS NULL) <> (service IS NULL))
) STRICT, WITHOUT ROWID;

-- Triggers, and not ON DELETE CASCADE, because a shell opens the file with foreign keys switched off.
CREATE TRIGGER device_takes_its_client_along AFTER DELETE ON devices BEGIN
    DELETE FROM clients WHERE device_id = OLD.device_id;
END;
CREATE TRIGGER service_takes_its_client_along AFTER DELETE ON services BEGIN
    DELETE FROM clients WHERE service = OLD.name;
END;

-- What was sealed names the device; a device that is renamed would be another.
CREATE TRIGGER device_is_not_renamed BEFORE UPDATE OF device_id ON devices WHEN NEW.device_id IS NOT OLD.device_id BEGIN
    SELECT RAISE(ABORT, 'a device cannot be renamed: its name is in its key and under its seals');
END;
-- A device that is added by hand needs no more than its own row.
CREATE TRIGGER device_has_a_name BEFORE INSERT ON devices BEGIN
    INSERT INTO device_name (name) VALUES (NEW.device_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER device_added AFTER INSERT ON devices BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER device_changed AFTER UPDATE ON devices BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER device_removed AFTER DELETE ON devices BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER service_added AFTER INSERT ON services BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER service_changed AFTER UPDATE ON services BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER service_removed AFTER DELETE ON services BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER client_added AFTER INSERT ON clients BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER client_changed AFTER UPDATE ON clients BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;
CREATE TRIGGER client_removed AFTER DELETE ON clients BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'registry_version';
END;

CREATE TABLE signing_key (
    kid        TEXT PRIMARY KEY,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The words that come again and again: names of readings, units, encodings.
CREATE TABLE label (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- The counters that are used up. Apart from the envelopes, so that forgetting an envelope does not let it come again.
CREATE TABLE seen (
    device      INTEGER NOT NULL,
    key_version INTEGER NOT NULL,
    counter     INTEGER NOT NULL,
    tag         BLOB NOT NULL,
    envelope    INTEGER NOT NULL,
    PRIMARY KEY (device, key_version, counter)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number that seen and reading refer to is never given twice.
CREATE TABLE envelope (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    device         INTEGER NOT NULL,
    key_version    INTEGER NOT NULL,
    counter        INTEGER NOT NULL,
    device_time    INTEGER,
    received_at    INTEGER NOT NULL,
    encoding       INTEGER NOT NULL,
    content_format INTEGER NOT NULL,
    bytes          BLOB NOT NULL
) STRICT;

-- The table is its own index by device and time.
CREATE TABLE reading (
    device   INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    envelope INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    name     INTEGER NOT NULL,
    unit     INTEGER,
    value    REAL,
    text     TEXT,
    sum      REAL,
    PRIMARY KEY (device, time, envelope, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id   TEXT NOT NULL CHECK (device_id <> ''),
    received_at INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    encoding    TEXT NOT NULL,
    bytes       BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_by_device ON quarantine (device_id, received_at);

-- What the quarantine holds, by device, and under '' in all. Kept by triggers, so that it is right whoever adds or deletes.
CREATE TABLE quarantine_usage (
    device_id  TEXT PRIMARY KEY,
    row_count  INTEGER NOT NULL,
    byte_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO quarantine_usage VALUES ('', 0, 0);
CREATE TRIGGER quarantine_grows AFTER INSERT ON quarantine BEGIN
    INSERT INTO quarantine_usage VALUES (NEW.device_id, 1, length(NEW.bytes)), ('', 1, length(NEW.bytes))
        ON CONFLICT DO UPDATE SET row_count = row_count + 1, byte_count = byte_count + excluded.byte_count;
END;
CREATE TRIGGER quarantine_shrinks AFTER DELETE ON quarantine BEGIN
    UPDATE quarantine_usage SET row_count = row_count - 1, byte_count = byte_count - length(OLD.bytes)
        WHERE device_id IN (OLD.device_id, '');
    DELETE FROM quarantine_usage WHERE device_id = OLD.device_id AND row_count = 0;
END;
CREATE TRIGGER quarantine_is_evidence BEFORE UPDATE OF device_id, bytes ON quarantine BEGIN
    SELECT RAISE(ABORT, 'what is in quarantine is kept as it came; it can be deleted, not changed');
END;

CREATE VIEW envelopes AS
SELECT n.name AS device_id, e.key_version, e.counter, e.device_time, e.received_at, l.text AS encoding, e.content_format, e.bytes, e.id AS envelope
FROM envelope e
-- By way of seen, whose key leads from a device to its envelopes.
JOIN seen s ON s.device = e.device AND s.key_version = e.key_version AND s.counter = e.counter AND s.envelope = e.id
JOIN device_name n ON n.id = s.device
JOIN label l ON l.id = e.encoding;

CREATE VIEW readings AS
SELECT n.name AS device_id, r.time, l.text AS name, u.text AS unit, r.value, r.text, r.sum, r.envelope
FROM reading r
JOIN device_name n ON n.id = r.device
JOIN label l ON l.id = r.name
LEFT JOIN label u ON u.id = r.unit;
