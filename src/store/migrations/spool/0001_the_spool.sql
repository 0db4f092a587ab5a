-- What waits on a gateway's disk for a database that is away.

-- Which spool this is: under this name the database remembers how far it was drained.
CREATE TABLE spool (id BLOB NOT NULL) STRICT;

-- A message, in the order in which they came. No number is given twice, so that "drained up to this one" stays true.
CREATE TABLE spooled (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id      TEXT NOT NULL,
    received_at    INTEGER NOT NULL,
    origin         TEXT NOT NULL,
    encoding       TEXT NOT NULL,
    -- Why it was refused; null: it was not, and all that follows but the time is there.
    reason         TEXT,
    device         INTEGER,
    key_version    INTEGER,
    counter        INTEGER,
    tag            BLOB,
    device_time    INTEGER,
    content_format INTEGER,
    readings       BLOB,
    bytes          BLOB NOT NULL
) STRICT;
