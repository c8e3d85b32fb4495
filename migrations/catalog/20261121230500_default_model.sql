-- The model that requests get which ask for `default`: one row, or none. It goes with the model, as an earlier version
-- does not know that it must not remove that.
CREATE TABLE default_model (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    -- The revision that made it the default, and when.
    revision BIGINT NOT NULL,
    updated_at_unix_ms BIGINT NOT NULL
);
