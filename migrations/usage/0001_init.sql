-- The ledger: one row for every admitted request, the columns of headgate.record.v1.UsageRecord.
-- Enums are stored as their proto numbers, times as milliseconds since 1970-01-01 UTC, money as nano-USD.
CREATE TABLE usage_records (
    lease_id           TEXT    NOT NULL PRIMARY KEY,
    request_id         TEXT    NOT NULL,
    tenant_id          TEXT    NOT NULL,
    key_id             TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    operation          INTEGER NOT NULL, -- headgate.catalog.v1.Operation
    provider_id        TEXT    NOT NULL,
    target_id          TEXT    NOT NULL,
    upstream_model     TEXT    NOT NULL,
    prompt_tokens      BIGINT  NOT NULL,
    completion_tokens  BIGINT  NOT NULL,
    cached_tokens      BIGINT  NOT NULL,
    reasoning_tokens   BIGINT  NOT NULL,
    estimated          BOOLEAN NOT NULL,
    cost_nano_usd      BIGINT  NOT NULL,
    overrun_nano_usd   BIGINT  NOT NULL,
    price_revision     BIGINT  NOT NULL,
    outcome            INTEGER NOT NULL, -- headgate.record.v1.Outcome
    error_reason       INTEGER NOT NULL, -- headgate.common.v1.ErrorReason
    status_code        INTEGER NOT NULL,
    streamed           BOOLEAN NOT NULL,
    started_at         BIGINT  NOT NULL,
    latency_ms         BIGINT  NOT NULL,
    ttft_ms            BIGINT,           -- NULL when there was no content or the answer was not streamed
    attempts           BYTEA   NOT NULL  -- a UsageRecord that has nothing but its attempts, encoded as protobuf
);

-- Every index is paid for on the hot path, so there are only these two. A filter by key, model or request id reads the
-- rows of its tenant or its time range; give one with it.
CREATE INDEX usage_records_started_at ON usage_records (started_at);
CREATE INDEX usage_records_tenant_started_at ON usage_records (tenant_id, started_at);

-- Records that could not be understood, kept as they came so that none is lost. One that is delivered twice may stand
-- here twice.
CREATE TABLE rejected_records (
    id          TEXT   NOT NULL PRIMARY KEY,
    rejected_at BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    record      BYTEA  NOT NULL
);
