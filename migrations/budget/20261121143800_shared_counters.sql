-- Grows with every change of a sum, so that a copy of it elsewhere can tell which of two is newer.
ALTER TABLE spend ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

-- Tenants whose live counters were ever kept in Redis: one that is not found there, but here, was lost there.
CREATE TABLE counted_tenants (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    since_unix_ms BIGINT NOT NULL
);

-- Grows with every change of limits and budgets, so that other replicas see that there is one. Has one row.
CREATE TABLE policy_revision (
    id BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);
INSERT INTO policy_revision (id, revision) VALUES (1, 0);
