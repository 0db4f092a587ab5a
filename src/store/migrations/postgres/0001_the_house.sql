-- Tables in the plural and the views are for whoever asks with SQL; tables in the singular are how it is kept: numbers inside, names
-- at the edge. The tables that each message writes bear no foreign keys: each costs a look-up per row, and nothing is ever
-- deleted from what they name. Names are compared byte by byte, COLLATE "C", as everywhere else in Sealgate.

CREATE TABLE meta (
    key    text COLLATE "C" PRIMARY KEY,
    number bigint,
    bytes  bytea
);
INSERT INTO meta (key, number) VALUES ('registry_version', 0);

CREATE FUNCTION from_ms(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN timestamptz '1970-01-01 00:00:00+00' + ms * interval '1 millisecond';
CREATE FUNCTION to_ms(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN floor(extract(epoch FROM at) * 1000)::bigint;

-- A name outlives its device: what the device sent stays readable under it, and a device of the same name finds its counters
-- used.
CREATE TABLE device_name (
    id   integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE devices (
    device_id       text COLLATE "C" PRIMARY KEY REFERENCES device_name (name),
    state           text NOT NULL CHECK (state IN ('enabled', 'disabled')),
    key_version_min smallint NOT NULL CHECK (key_version_min BETWEEN 1 AND 255),
    created_at      timestamptz NOT NULL
);

CREATE TABLE services (
    name       text COLLATE "C" PRIMARY KEY,
    scopes     text NOT NULL,
    state      text NOT NULL CHECK (state IN ('enabled', 'disabled')),
    created_at timestamptz NOT NULL
);

CREATE TABLE clients (
    client_id     text COLLATE "C" PRIMARY KEY,
    device_id     text COLLATE "C" UNIQUE REFERENCES devices (device_id) ON DELETE CASCADE,
    service       text COLLATE "C" UNIQUE REFERENCES services (name) ON DELETE CASCADE,
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    CHECK ((device_id IS NULL) <> (service IS NULL))
);

CREATE FUNCTION device_is_not_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a device cannot be renamed: its name is in its key and under its seals';
END $$;
CREATE TRIGGER device_is_not_renamed BEFORE UPDATE OF device_id ON devices FOR EACH ROW
    WHEN (NEW.device_id IS DISTINCT FROM OLD.device_id) EXECUTE FUNCTION device_is_not_renamed();

-- A device that is added by hand needs no more than its own row.
CREATE FUNCTION device_has_a_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A sequence counts each try, and so the name is looked for first.
    IF NOT EXISTS (SELECT FROM device_name WHERE name = NEW.device_id) THEN
        INSERT INTO device_name (name) VALUES (NEW.device_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER device_has_a_name BEFORE INSERT ON devices FOR EACH ROW EXECUTE FUNCTION device_has_a_name();

CREATE FUNCTION registry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE meta SET number = number + 1 WHERE key = 'registry_version';
    RETURN NULL;
END $$;
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON devices
    FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON services
    FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON clients
    FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();

CREATE TABLE signing_key (
    kid        text COLLATE "C" PRIMARY KEY,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL
);

-- The words that come again and again: names of readings, units, encodings.
CREATE TABLE label (
    id   integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    text text COLLATE "C" NOT NULL UNIQUE
);

-- The counters that are used up: what is new, a duplicate or a replay is decided here, whenever it came.
CREATE TABLE seen (
    envelope    bigint NOT NULL,
    counter     bigint NOT NULL,
    device      integer NOT NULL,
    key_version smallint NOT NULL,
    tag         bytea NOT NULL,
    PRIMARY KEY (device, key_version, counter)
);

-- A number is never given twice. Whoever commits takes a range of them at a time.
CREATE SEQUENCE envelope_range;

-- One partition for each day on which envelopes arrived.
CREATE TABLE envelope (
    received_at    timestamptz NOT NULL,
    id             bigint NOT NULL,
    counter        bigint NOT NULL,
    device_time    timestamptz,
    device         integer NOT NULL,
    encoding       integer NOT NULL,
    content_format integer NOT NULL,
    key_version    smallint NOT NULL,
    bytes          bytea NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX ON envelope (device, received_at);
CREATE TABLE envelope_other PARTITION OF envelope DEFAULT;

-- One partition for each day that readings are of, and one for days that none was made for: a clock that is wrong says any.
CREATE TABLE reading (
    time     timestamptz NOT NULL,
    envelope bigint NOT NULL,
    value    double precision,
    sum      double precision,
    device   integer NOT NULL,
    name     integer NOT NULL,
    unit     integer,
    place    smallint NOT NULL,
    text     text
) PARTITION BY RANGE (time);
CREATE INDEX ON reading (device, time);
CREATE TABLE reading_other PARTITION OF reading DEFAULT;

CREATE TABLE quarantine (
    id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    device_id   text COLLATE "C" NOT NULL CHECK (device_id <> ''),
    received_at timestamptz NOT NULL,
    reason      text NOT NULL,
    encoding    text NOT NULL,
    bytes       bytea NOT NULL
);
CREATE INDEX quarantine_by_device ON quarantine (device_id, received_at);

-- What the quarantine holds, by device, and under '' in all. Kept by triggers, so that it is right whoever adds or deletes. The row
-- of all is changed first: two who change the same rows wait there for each other, and nowhere else.
CREATE TABLE quarantine_usage (
    device_id  text COLLATE "C" PRIMARY KEY,
    row_count  bigint NOT NULL,
    byte_count bigint NOT NULL
);
INSERT INTO quarantine_usage VALUES ('', 0, 0);
CREATE FUNCTION quarantine_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE quarantine_usage SET row_count = row_count + (SELECT count(*) FROM added),
        byte_count = byte_count + (SELECT coalesce(sum(length(bytes)), 0) FROM added) WHERE device_id = '';
    INSERT INTO quarantine_usage SELECT device_id, count(*), sum(length(bytes)) FROM added GROUP BY device_id
        ON CONFLICT (device_id) DO UPDATE SET row_count = quarantine_usage.row_count + excluded.row_count,
            byte_count = quarantine_usage.byte_count + excluded.byte_count;
    RETURN NULL;
END $$;
CREATE TRIGGER quarantine_grows AFTER INSERT ON quarantine REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION quarantine_grows();
CREATE FUNCTION quarantine_shrinks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE quarantine_usage SET row_count = row_count - (SELECT count(*) FROM removed),
        byte_count = byte_count - (SELECT coalesce(sum(length(bytes)), 0) FROM removed) WHERE device_id = '';
    UPDATE quarantine_usage u SET row_count = u.row_count - r.row_count, byte_count = u.byte_count - r.byte_count
        FROM (SELECT device_id, count(*) AS row_count, sum(length(bytes)) AS byte_count FROM removed GROUP BY device_id) r
        WHERE u.device_id = r.device_id;
    DELETE FROM quarantine_usage u USING (SELECT DISTINCT device_id FROM removed) r
        WHERE u.device_id = r.device_id AND u.row_count = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER quarantine_shrinks AFTER DELETE ON quarantine REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION quarantine_shrinks();
CREATE FUNCTION quarantine_is_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE quarantine_usage SET row_count = 0, byte_count = 0 WHERE device_id = '';
    DELETE FROM quarantine_usage WHERE device_id <> '';
    RETURN NULL;
END $$;
CREATE TRIGGER quarantine_is_emptied AFTER TRUNCATE ON quarantine
    FOR EACH STATEMENT EXECUTE FUNCTION quarantine_is_emptied();
CREATE FUNCTION quarantine_is_evidence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is in quarantine is kept as it came; it can be deleted, not changed';
END $$;
CREATE TRIGGER quarantine_is_evidence BEFORE UPDATE OF device_id, bytes ON quarantine
    FOR EACH ROW EXECUTE FUNCTION quarantine_is_evidence();

-- Whether each device was there when that changed last. While a gateway runs, what it tells is newer.
CREATE TABLE presence (
    device_id text COLLATE "C" PRIMARY KEY REFERENCES devices (device_id) ON DELETE CASCADE,
    state     text NOT NULL CHECK (state IN ('online', 'offline')),
    since     timestamptz NOT NULL,
    reason    text NOT NULL,
    address   text NOT NULL,
    version   text NOT NULL
);

CREATE VIEW envelopes AS
SELECT n.name AS device_id, e.key_version, e.counter, e.device_time, e.received_at, l.text AS encoding, e.content_format, e.bytes,
    e.id AS envelope
FROM envelope e
JOIN device_name n ON n.id = e.device
JOIN label l ON l.id = e.encoding;

CREATE VIEW readings AS
SELECT n.name AS device_id, r.time, l.text AS name, u.text AS unit, r.value, r.text, r.sum, r.envelope
FROM reading r
JOIN device_name n ON n.id = r.device
JOIN label l ON l.id = r.name
LEFT JOIN label u ON u.id = r.unit;
