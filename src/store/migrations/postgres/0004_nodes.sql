-- Gateways that share the database, each with a sign of life; and which of them each device came to last.
CREATE TABLE node (
    id       text COLLATE "C" PRIMARY KEY,
    alive_at timestamptz NOT NULL
);
ALTER TABLE presence ADD COLUMN node text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE presence ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX ON presence (changed_at);
