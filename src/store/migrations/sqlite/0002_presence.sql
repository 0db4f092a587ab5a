-- Whether each device was there when that changed last. While a gateway runs, what it tells is newer.
CREATE TABLE presence (
    device_id TEXT PRIMARY KEY,
    state     TEXT NOT NULL CHECK (state IN ('online', 'offline')),
    since     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    address   TEXT NOT NULL,
    version   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER device_takes_its_presence_along AFTER DELETE ON devices BEGIN
    DELETE FROM presence WHERE device_id = OLD.device_id;
END;
