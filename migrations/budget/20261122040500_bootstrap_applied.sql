-- What was last applied of each entry that the configuration seeds, so that a start does not undo what was changed since.
CREATE TABLE bootstrap_applied (
    -- What the entry is about, and which one.
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The digest of what it said, sealed, as it may have said a secret; and what tells the key that sealed it from others.
    key_id TEXT NOT NULL,
    sealed_digest BYTEA NOT NULL,
    PRIMARY KEY (kind, name)
);
