-- What operators set. An unset limit is NULL and means the configured default.
CREATE TABLE limits (
    scope_kind TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    requests_per_second BIGINT,
    requests_per_minute BIGINT,
    tokens_per_minute BIGINT,
    parallel_requests BIGINT,
    updated_at_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (scope_kind, scope_id)
);

CREATE TABLE budgets (
    scope_kind TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    window_kind TEXT NOT NULL,
    limit_nano_usd BIGINT NOT NULL,
    warning_percent BIGINT NOT NULL,
    updated_at_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (scope_kind, scope_id)
);

-- What each window has cost, whether or not a budget covers the scope. tenant_id tells where a key belongs.
CREATE TABLE spend (
    window_start_unix_ms BIGINT NOT NULL,
    scope_kind TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    spent_nano_usd BIGINT NOT NULL,
    PRIMARY KEY (window_start_unix_ms, scope_kind, scope_id)
);

-- Which leases are counted in spend, so that a record that comes again changes nothing.
CREATE TABLE lease_spend (
    lease_id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    cost_nano_usd BIGINT NOT NULL,
    abandoned BOOLEAN NOT NULL,
    window_start_unix_ms BIGINT NOT NULL,
    at_unix_ms BIGINT NOT NULL
);
CREATE INDEX lease_spend_by_time ON lease_spend (at_unix_ms);

-- Responses to replay.
CREATE TABLE idempotency (
    key_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 BYTEA NOT NULL,
    response BYTEA NOT NULL,
    expires_at_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at_unix_ms);
