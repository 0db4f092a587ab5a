-- What envelopes there are, said by a signed chain. `uncovered`: the leaves of each batch that no checkpoint has taken in yet.
CREATE TABLE uncovered (
    id     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    leaves bytea NOT NULL
);
-- Most of it are tags, which do not get smaller.
ALTER TABLE uncovered ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- `leaves` is null when retention has dropped all that they speak of.
CREATE TABLE checkpoint (
    number           bigint PRIMARY KEY,
    last_received_at bigint NOT NULL,
    horizon          bigint NOT NULL,
    statement        text NOT NULL,
    leaves           bytea
);
ALTER TABLE checkpoint ALTER COLUMN leaves SET STORAGE EXTERNAL;
