-- Which version of its seal key a device has fetched, and when it did so last.
CREATE TABLE key_fetches (
    device_id   TEXT NOT NULL,
    key_version INTEGER NOT NULL,
    fetched_at  INTEGER NOT NULL,
    PRIMARY KEY (device_id, key_version)
) STRICT, WITHOUT ROWID;

-- A secret that makes way is good until a time beside the one that takes its place.
ALTER TABLE clients ADD COLUMN old_secret_sha256 BLOB CHECK (length(old_secret_sha256) = 32);
ALTER TABLE clients ADD COLUMN old_secret_until INTEGER;
