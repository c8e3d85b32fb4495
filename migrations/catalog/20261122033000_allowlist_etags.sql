-- The revision that changed a tenant's allowlist last. The row stays when the restriction is lifted, so that what was read
-- before does not look like what is there now. In a table of its own, as an earlier version removes the row of
-- restricted_tenants then. None: before this was noted, or never restricted.
CREATE TABLE tenant_models_revisions (
    tenant_id TEXT PRIMARY KEY,
    revision BIGINT NOT NULL
);
