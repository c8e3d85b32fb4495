-- Tenants and their API keys. Times are milliseconds since 1970-01-01 UTC.

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'archived')),
    created_at_unix_ms BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    -- The public part, between `sk-` and the dot.
    prefix TEXT NOT NULL UNIQUE,
    -- HMAC-SHA-256 of the secret part under the pepper, in hexadecimal. The secret itself is nowhere.
    secret_hmac TEXT NOT NULL,
    -- Operations, separated by commas. Empty means all.
    scopes TEXT NOT NULL,
    -- NULL means never.
    expires_at_unix_ms BIGINT,
    -- NULL means not revoked.
    revoked_at_unix_ms BIGINT,
    created_at_unix_ms BIGINT NOT NULL
);
