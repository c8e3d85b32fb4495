-- What runs a model, and what chat requests get that do not say so themselves: a RequestDefaults, encoded as protobuf.
ALTER TABLE models ADD COLUMN engine TEXT NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN request_defaults BYTEA;
