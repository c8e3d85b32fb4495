-- The change of limits and budgets (policy_revision) that last touched a row.
ALTER TABLE limits ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE budgets ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
-- A budget of the kind 'default' covers every tenant without one of its own. There is one at most, of the id 'tenant'.
