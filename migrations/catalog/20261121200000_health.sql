-- How providers are, as probes and operators say. None: never probed, and healthy. Times are milliseconds since
-- 1970-01-01 UTC, 0 means never.
CREATE TABLE provider_health (
    provider_id TEXT PRIMARY KEY REFERENCES providers (id) ON DELETE CASCADE,
    -- As the contract says it: online, degraded, timeout, unreachable, error. Empty: never probed.
    status TEXT NOT NULL,
    latency_ms BIGINT NOT NULL,
    tested_at_unix_ms BIGINT NOT NULL,
    consecutive_failures BIGINT NOT NULL,
    is_healthy BOOLEAN NOT NULL
);

-- Rises with every change of health, which is no change of the catalog: prices are what a revision stands for.
ALTER TABLE meta ADD COLUMN health_revision BIGINT NOT NULL DEFAULT 0;
-- When a replica last began to probe all providers: one of them does it.
ALTER TABLE meta ADD COLUMN probed_at_unix_ms BIGINT NOT NULL DEFAULT 0;
