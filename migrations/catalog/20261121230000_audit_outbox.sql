-- What the audit log is yet to be told. Written with the change that it is about, deleted once auth has it.
CREATE TABLE audit_outbox (
    -- Sorts by time.
    id TEXT PRIMARY KEY,
    -- A headgate.auth.v1.AuditEvent.
    event BYTEA NOT NULL
);
