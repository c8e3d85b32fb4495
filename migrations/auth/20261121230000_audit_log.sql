-- What was done, and what somebody was kept from doing. Nothing is ever changed or removed here; triggers see to that.
CREATE TABLE audit_log (
    -- Sorts by time.
    id TEXT PRIMARY KEY,
    -- Milliseconds since 1970-01-01 UTC.
    at_unix_ms BIGINT NOT NULL,
    -- The number of headgate.auth.v1.AuditActorKind.
    actor_kind INTEGER NOT NULL,
    -- Empty for who is no user. No reference, as what was done outlives who did it.
    user_id TEXT NOT NULL,
    -- What they logged in with at the time.
    email TEXT NOT NULL,
    -- From where. Empty where that is not known.
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    request_id TEXT NOT NULL,
    -- What was done to what.
    action TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    -- Empty for what belongs to no tenant.
    tenant_id TEXT NOT NULL,
    -- The numbers of headgate.auth.v1.AuditOutcome and headgate.common.v1.ErrorReason.
    outcome INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    -- The thing as JSON, without secrets. NULL: there was none, or nothing changed.
    before_json TEXT,
    after_json TEXT
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_by_user ON audit_log (user_id, id);
CREATE INDEX audit_log_by_action ON audit_log (action, id);
CREATE INDEX audit_log_by_resource ON audit_log (resource_kind, resource_id, id);
CREATE INDEX audit_log_by_request ON audit_log (request_id);
