-- What people and tools are told of a model: metadata is a JSON object of strings.
ALTER TABLE models ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';

-- Other names of models. That none of them is a model's name is kept by the service.
CREATE TABLE model_aliases (
    alias TEXT PRIMARY KEY,
    model_id TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE
);
CREATE INDEX model_aliases_by_model ON model_aliases (model_id);
