-- Nobody asks a counted lease for its key or tenant: the record that replaces it names them again. Lease ids sort by
-- time, so the oldest are found by the primary key.
DROP INDEX lease_spend_by_time;
ALTER TABLE lease_spend DROP COLUMN key_id;
ALTER TABLE lease_spend DROP COLUMN tenant_id;
