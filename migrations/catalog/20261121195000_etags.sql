-- What changed last, for whoever changes it next: the revision at which a row was changed, and when. 0: before this was
-- noted.
ALTER TABLE models ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN updated_at_unix_ms BIGINT NOT NULL DEFAULT 0;

-- In a table of its own, as an earlier version reads every column of `providers`, and none may join them while it runs.
CREATE TABLE provider_details (
    provider_id TEXT PRIMARY KEY REFERENCES providers (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    updated_at_unix_ms BIGINT NOT NULL,
    -- The models it offers, a JSON array of strings.
    models TEXT NOT NULL
);
