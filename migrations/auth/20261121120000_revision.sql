-- What several replicas need to learn of each other's changes.

-- One row. The revision rises in the transaction of every change, which therefore come one after the other, and never
-- goes back.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    -- Tells whether a pepper is the one under which secrets were hashed, and nothing else of it. NULL: none were.
    pepper_check TEXT
);
INSERT INTO meta (id, revision) VALUES (1, 0);

-- The change that last touched a row.
ALTER TABLE tenants ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tenants_by_revision ON tenants (revision);
CREATE INDEX api_keys_by_revision ON api_keys (revision);
