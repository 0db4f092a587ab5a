-- What envelopes there are, said by a signed chain. `uncovered`: the leaves of each batch that no checkpoint has taken in yet.
CREATE TABLE uncovered (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    leaves BLOB NOT NULL
) STRICT;

-- `leaves` is null when retention has dropped all that they speak of.
CREATE TABLE checkpoint (
    number           INTEGER PRIMARY KEY,
    statement        TEXT NOT NULL,
    leaves           BLOB,
    last_received_at INTEGER NOT NULL,
    horizon          INTEGER NOT NULL
) STRICT;
