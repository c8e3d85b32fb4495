-- Whom to tell when a budget runs low: a headgate.budget.v1.BudgetAlerts with the URLs of webhooks, sealed. NULL: nobody.
-- It stands in the budget's own row so that it goes when the budget does, also where a replica of the version before
-- removes it.
ALTER TABLE budgets ADD COLUMN sealed_alerts BYTEA;

-- Which key seals here, by what tells keys apart. NULL until the first start. Has one row.
CREATE TABLE sealing (
    id BIGINT NOT NULL PRIMARY KEY,
    key_check TEXT
);
INSERT INTO sealing (id, key_check) VALUES (1, NULL);
