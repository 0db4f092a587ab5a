-- Which version of its seal key a device has fetched, and when it did so last.
CREATE TABLE key_fetches (
    device_id   text COLLATE "C" NOT NULL,
    key_version smallint NOT NULL,
    fetched_at  timestamptz NOT NULL,
    PRIMARY KEY (device_id, key_version)
);

-- A secret that makes way is good until a time beside the one that takes its place.
ALTER TABLE clients ADD COLUMN old_secret_sha256 bytea CHECK (length(old_secret_sha256) = 32);
ALTER TABLE clients ADD COLUMN old_secret_until timestamptz;
