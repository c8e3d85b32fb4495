-- Keys that people make for themselves.

ALTER TABLE api_keys ADD COLUMN personal BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether the owner of a personal key is suspended, or less than a member of its tenant.
ALTER TABLE api_keys ADD COLUMN owner_barred BOOLEAN NOT NULL DEFAULT FALSE;
