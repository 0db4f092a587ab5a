-- Which devices one policy is for. Null: a device of no group.
ALTER TABLE devices ADD COLUMN device_group TEXT
    CHECK (device_group <> '' AND length(device_group) <= 64 AND device_group NOT GLOB '*[^A-Za-z0-9_-]*');
