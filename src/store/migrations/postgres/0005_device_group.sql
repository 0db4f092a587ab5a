-- Which devices one policy is for. Null: a device of no group.
ALTER TABLE devices ADD COLUMN device_group text COLLATE "C" CHECK (device_group ~ '^[A-Za-z0-9_-]{1,64}$');
