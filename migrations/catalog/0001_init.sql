-- Providers, models, prices and allowlists. Prices are nano-USD (10^-9 USD) per 1,000 tokens, deadlines milliseconds
-- (0: the default), times milliseconds since 1970-01-01 UTC.

-- One row. The revision rises in the transaction of every change and never goes back.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO meta (id, revision) VALUES (1, 0);

CREATE TABLE providers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('openai', 'echo')),
    base_url TEXT NOT NULL,
    -- Sealed with the master key of this id for this provider only. Both NULL: there is none.
    credential_key_id TEXT,
    credential BYTEA,
    enabled BOOLEAN NOT NULL,
    connect_ms BIGINT NOT NULL,
    first_byte_ms BIGINT NOT NULL,
    inter_chunk_ms BIGINT NOT NULL,
    total_ms BIGINT NOT NULL,
    created_at_unix_ms BIGINT NOT NULL
);

CREATE TABLE models (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    enabled BOOLEAN NOT NULL,
    -- 'chat', 'embeddings', separated by commas.
    operations TEXT NOT NULL,
    input_price BIGINT NOT NULL,
    output_price BIGINT NOT NULL,
    -- NULL: the same as the input price.
    cached_input_price BIGINT,
    max_output_tokens BIGINT NOT NULL,
    context_tokens BIGINT NOT NULL,
    created_at_unix_ms BIGINT NOT NULL
);

CREATE TABLE model_targets (
    id TEXT PRIMARY KEY,
    model_id TEXT NOT NULL REFERENCES models (id),
    position BIGINT NOT NULL,
    provider_id TEXT NOT NULL REFERENCES providers (id),
    upstream_model TEXT NOT NULL,
    weight BIGINT NOT NULL,
    -- Input and output NULL: the model's price.
    input_price BIGINT,
    output_price BIGINT,
    cached_input_price BIGINT
);
CREATE INDEX model_targets_by_model ON model_targets (model_id, position);
CREATE INDEX model_targets_by_provider ON model_targets (provider_id);

-- Tenants that may use some models only: those of tenant_models, which may be none.
CREATE TABLE restricted_tenants (
    tenant_id TEXT PRIMARY KEY
);

-- A name may stand here before its model exists, and after.
CREATE TABLE tenant_models (
    tenant_id TEXT NOT NULL REFERENCES restricted_tenants (tenant_id),
    model_name TEXT NOT NULL,
    PRIMARY KEY (tenant_id, model_name)
);
